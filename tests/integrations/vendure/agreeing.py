"""After a cancellation Vendure's books, gateway, ledger, stock and the register say the same."""

from collections import Counter
from collections.abc import Mapping, Sequence

from domain.case import Case
from domain.money import Money
from domain.order import Order
from domain.outcome import CARRIED_OUT, CancellationResult
from domain.units import units_by_line
from providers.books.tables import DocumentKind
from sandbox import books
from sandbox.gateway.messages import EffectKind
from sandbox.vendure.answers import ShownOrder
from sandbox.vendure.money import money_of
from sandbox.vendure.placing import UNITS_IN_STOCK
from tests.integrations.vendure.over import OverVendure

_NOTHING: Mapping[int, int] = {}
_FAILED = {EffectKind.REFUND_FAILED, EffectKind.REFUND_CANCELED}
_BY_PAPER = {DocumentKind.CREDIT_NOTE: 1, DocumentKind.DEBIT_NOTE: -1}

Refunds = Mapping[str, Money]
"""By their references at the gateway."""


async def check_books(
    over: OverVendure,
    order: Order,
    *results: CancellationResult,
    taken_by_staff: Mapping[int, int] = _NOTHING,
    counted_as_on_hand: Mapping[int, int] = _NOTHING,
) -> None:
    """`order` is as it was placed, and `results` are those of its cancellations. By the line's index: `taken_by_staff` are
    units that left the order besides; `counted_as_on_hand` are units that plain Vendure counts so although they have left,
    which it does where it cancels units of their line."""
    cases = await over.cases(order)
    assert [(case.cancellation_id, case.ended and case.ended.outcome) for case in cases] == [
        (result.cancellation_id, result.outcome) for result in results
    ]
    shown = await over.shop.read(order.order_id)
    _check_lines(order, shown, cases, _by_line(order, taken_by_staff))
    await _check_stock(over, order, shown, _by_line(order, {} if over.has_plugin else counted_as_on_hand))
    refunds = {tender.tender_id: await _refunds_at_gateway(over, tender.reference) for tender in order.tenders}
    refunded = _total(order, *(amount for found in refunds.values() for amount in found.values()))
    assert _total(order, *(result.refunded for result in results if result.refunded)) == refunded
    _check_totals(order, shown, refunded + _total(order, *(result.released for result in results if result.released)))
    await _check_ledger(over, order, refunded)
    _check_payments(over, order, shown, refunds)
    if over.has_plugin:
        assert await over.shop.read_holder(order.order_id) is None, "it is still frozen"


def _by_line(order: Order, units: Mapping[int, int]) -> Counter[str]:
    return Counter({order.lines[at].line_id: quantity for at, quantity in units.items()})


def _total(order: Order, *amounts: Money) -> Money:
    return Money.total(amounts, order.currency)


def _check_lines(order: Order, shown: ShownOrder, cases: Sequence[Case], taken_by_staff: Counter[str]) -> None:
    """What is on its way back leaves the order when it arrives."""
    carried_out = [(case, case.plan) for case in cases if case.ended and case.ended.outcome in CARRIED_OUT]
    ours = units_by_line(
        line for case, plan in carried_out if plan for line in plan.lines if line.shipment_id not in case.expected_back
    )
    assert {line.id: (line.placed, line.quantity) for line in shown.lines} == {
        line.line_id: (line.quantity, line.quantity - ours[line.line_id] - taken_by_staff[line.line_id])
        for line in order.lines
    }
    is_empty = all(line.quantity == 0 for line in shown.lines)
    assert (shown.state == "Cancelled") == is_empty, shown.state


def _check_totals(order: Order, shown: ShownOrder, given_back: Money) -> None:
    """The shipping charge is gone where all has been given back."""
    left = {line.id: line.quantity for line in shown.lines}
    goods = _total(order, *(line.total.share(left[line.line_id], line.quantity) for line in order.lines))
    shipping = _total(order) if given_back == order.price else order.shipping
    assert money_of(shown.shipping, shown.currency) == shipping
    assert money_of(shown.total, shown.currency) == goods + shipping


async def _check_stock(over: OverVendure, order: Order, shown: ShownOrder, beside: Counter[str]) -> None:
    """What is in no parcel is on hand, and what is still to be packed is promised."""
    parcels = [parcel for parcel in shown.fulfillments if parcel.state != "Cancelled"]
    packed = units_by_line(part for parcel in parcels for part in parcel.lines)
    for line in shown.lines:
        stock = await over.shop.read_stock(order.order_id, line.id)
        assert stock.on_hand == UNITS_IN_STOCK - packed[line.id] + beside[line.id]
        assert stock.allocated == max(line.quantity - packed[line.id], 0)


async def _refunds_at_gateway(over: OverVendure, payment: str) -> Refunds:
    effects = await over.system.shop.gateway.effects(payment)
    failed = {effect.object_id for effect in effects if effect.kind in _FAILED}
    return {
        effect.object_id: Money(amount=effect.amount, currency=effect.currency.upper())
        for effect in effects
        if effect.kind is EffectKind.REFUND_CREATED and effect.object_id not in failed
    }


async def _check_ledger(over: OverVendure, order: Order, refunded: Money) -> None:
    """What was credited went back, and is owed no more."""
    documents = [found for found in await books.documents(over.system.engine) if found.order_id == order.order_id]
    credited = sum(_BY_PAPER[document.kind] * document.total.amount for document in documents)
    assert credited == refunded.amount
    await over.system.assert_books_balance()


def _check_payments(over: OverVendure, order: Order, shown: ShownOrder, refunds: Mapping[str, Refunds]) -> None:
    """Without the plugin Vendure is not told what has gone back, and shows nothing."""
    assert [(payment.id, money_of(payment.amount, shown.currency)) for payment in shown.payments] == [
        (tender.tender_id, tender.amount) for tender in order.tenders
    ]
    assert {
        payment.id: [
            (refund.reference, money_of(refund.total, shown.currency), refund.state) for refund in payment.refunds
        ]
        for payment in shown.payments
    } == {
        payment_id: [(reference, amount, "Settled") for reference, amount in found.items() if over.has_plugin]
        for payment_id, found in refunds.items()
    }
