"""Whatever an order looks like, and however it is cancelled part by part: the money adds up."""

from collections import Counter, defaultdict
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.earlier import EarlierReversal
from domain.money import Money
from domain.order import Order, OrderLine, Tender, TenderKind
from domain.payment import Payment, Refund, RefundStatus
from domain.plan import Plan, PlannedTender
from domain.planning import NotCancellable, make_plan
from domain.request import LineScope
from domain.shipment import GoodsGroup, LabelStatus, Shipment, ShipmentLine, Tracking
from domain.terms import Terms
from tests.domain import build
from tests.domain.build import NOW, request

pytestmark = pytest.mark.properties

CURRENCIES = ("USD", "JPY", "KWD")
TENDERS = (TenderKind.CARD, TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """An order of up to four lines with taxes, a discount on the whole and a shipping charge, paid with up to three tenders,
    some of it in parcels."""
    currency = draw(st.sampled_from(CURRENCIES))

    def money(most: int) -> Money:
        return Money(amount=draw(st.integers(0, most)), currency=currency)

    lines = []
    for n in range(draw(st.integers(1, 4))):
        total = money(100_000)
        lines.append(
            OrderLine(
                line_id=f"L{n}",
                sku=f"SKU-{n}",
                title=f"Thing {n}",
                quantity=draw(st.integers(1, 6)),
                total=total,
                tax=money(total.amount),
            )
        )
    goods = sum(line.total.amount for line in lines)
    shipping = money(2_000)
    discount = money(goods + shipping.amount)
    due = goods - discount.amount + shipping.amount
    parts: list[int] = []
    for _ in range(draw(st.integers(0, 2))):
        parts.append(draw(st.integers(0, due - sum(parts))))
    parts.insert(0, due - sum(parts))
    shipments = []
    for line in lines:
        left = line.quantity
        for n in range(draw(st.integers(0, 2))):
            packed = draw(st.integers(0, left))
            left -= packed
            if packed:
                shipments.append(
                    Shipment(
                        shipment_id=f"S-{line.line_id}-{n}",
                        lines=(ShipmentLine(line_id=line.line_id, quantity=packed),),
                        label_reference=f"shp-{line.line_id}-{n}",
                    )
                )
    return Order(
        order_id="1001",
        customer_id="C-1",
        placed_at=NOW,
        currency=currency,
        lines=tuple(lines),
        tenders=tuple(
            Tender(
                tender_id=f"T{n}",
                kind=TENDERS[n],
                amount=Money(amount=part, currency=currency),
                reference=f"ref-{n}",
            )
            for n, part in enumerate(parts)
        ),
        shipments=tuple(shipments),
        shipping=shipping,
        shipping_tax=money(shipping.amount),
        shipping_credited=Money.zero(currency),
        discount=discount,
    )


class Fate(StrEnum):
    """What becomes of the refund that a cancellation planned, once it is over."""

    HOLDS = "holds"
    FAILS_AFTERWARDS = "fails afterwards"
    ANOTHER_WAY = "given back another way, or declared not due"


class Books:
    """What gateway and books remember between two cancellations. The card's payment may have been made over more: what
    `others` paid with it, captured or reserved."""

    def __init__(self, order: Order, captured: dict[str, int], others: tuple[int, int] = (0, 0), step: int = 1) -> None:
        self.order = order
        self.step = step
        self.captured = captured
        self.others = {order.tenders[0].tender_id: others}
        self.refunded: Counter[str] = Counter()
        self.released: Counter[str] = Counter()
        self.refunds: defaultdict[str, list[Refund]] = defaultdict(list)

    def money(self, amount: int) -> Money:
        return Money(amount=amount, currency=self.order.currency)

    def payments(self) -> dict[str, Payment]:
        """A part of a reservation that was given up stays reserved at the gateway until all of it is."""
        return {
            tender.tender_id: Payment(
                reference=tender.reference,
                captured=self.money(self.captured[tender.tender_id] + self._of_others(tender)[0]),
                capturable=self.money(
                    tender.amount.amount - self.captured[tender.tender_id] + self._of_others(tender)[1]
                ),
                refunded=self.money(
                    sum(r.amount.amount for r in self.refunds[tender.tender_id] if not r.status.has_failed)
                ),
                refunds=tuple(self.refunds[tender.tender_id]),
                step=self.step,
            )
            for tender in self.order.tenders
        }

    def _of_others(self, tender: Tender) -> tuple[int, int]:
        return self.others.get(tender.tender_id, (0, 0))

    def plan(self, *scope: LineScope, where: dict[str, GoodsGroup] | None = None, shipping: bool = False) -> Plan:
        return make_plan(
            cancellation_id="can-1",
            order=self.order,
            request=request(*scope).model_copy(update={"shipping": shipping}),
            payments=self.payments(),
            trackings={
                shipment.shipment_id: Tracking(
                    group=(where or {}).get(shipment.shipment_id, GoodsGroup.NOT_HANDED_OVER), label=LabelStatus.ACTIVE
                )
                for shipment in self.order.shipments
            },
            terms=Terms(),
        )

    def _reverse(self, part: PlannedTender, fate: Fate) -> EarlierReversal:
        """What is planned for one tender is given back, and noted for the next cancellation."""
        tender_id = part.tender.tender_id
        assert part.refund <= part.refundable, "more is refunded than is left"
        assert part.release <= part.capturable, "more is released than is reserved"
        self.refunded[tender_id] += part.refund.amount
        self.released[tender_id] += part.release.amount
        reference = f"re-{tender_id}-{len(self.refunds[tender_id])}"
        status = RefundStatus.FAILED if fate is Fate.FAILS_AFTERWARDS else RefundStatus.SUCCEEDED
        made = [Refund(reference=reference, amount=part.refund, status=status)] if fate is not Fate.ANOTHER_WAY else []
        self.refunds[tender_id] += made
        references = tuple(refund.reference for refund in made)
        zero = part.refund - part.refund
        by_provider = fate is not Fate.ANOTHER_WAY
        return EarlierReversal(
            cancellation_id="can-earlier",
            released=part.release,
            due=part.refund,
            of_provider=part.refund if by_provider else zero,
            another_way=zero if by_provider else part.refund,
            refunds=references,
        )

    def carry_out(self, plan: Plan, fate: Fate = Fate.HOLDS) -> None:
        """As closing does: units leave their lines and parcels, the shipping is credited, the tenders are noted."""
        reversed_now = {part.tender.tender_id: self._reverse(part, fate) for part in plan.tenders}
        gone: Counter[str] = Counter()
        for line in plan.lines:
            gone[line.line_id] += line.quantity
        stopped = {planned.shipment.shipment_id for planned in plan.shipments}
        self.order = self.order.model_copy(
            update={
                "lines": tuple(
                    line.model_copy(update={"cancelled": line.cancelled + gone[line.line_id]})
                    for line in self.order.lines
                ),
                "shipments": tuple(
                    shipment for shipment in self.order.shipments if shipment.shipment_id not in stopped
                ),
                "shipping_credited": (self.order.shipping_credited or Money.zero(plan.currency)) + plan.shipping,
                "tenders": tuple(
                    tender.model_copy(
                        update={"earlier_reversals": (*tender.earlier_reversals, reversed_now[tender.tender_id])}
                    )
                    for tender in self.order.tenders
                ),
            }
        )


def paid(data: st.DataObject, order: Order) -> Books:
    """All of it captured, or a card of which a part is reserved only."""
    captured = {tender.tender_id: tender.amount.amount for tender in order.tenders}
    card = order.tenders[0]
    if data.draw(st.booleans(), label="the card is captured in part"):
        captured[card.tender_id] = data.draw(st.integers(0, card.amount.amount), label="captured")
    return Books(order, captured)


@given(order=orders(), data=st.data())
def test_any_series_of_partial_cancellations_gives_back_exactly_what_was_paid(
    order: Order, data: st.DataObject
) -> None:
    """B8, B12, B32, B34: per tender and in sum, never a unit more at any time; and every cent of tax once. I11: whatever has
    become of what earlier ones gave back, it is not given back by the next one."""
    books = paid(data, order)
    taxes, values = 0, 0
    while any(line.remaining for line in books.order.lines):
        scope = a_part(data, books.order)
        plan = books.plan(*scope, shipping=bool(scope) and data.draw(st.booleans(), label="with the shipping charge"))
        assert all(amount.amount >= 0 for amount in plan.amounts)
        assert Money.total((line.shipping for line in plan.lines), order.currency) == plan.shipping
        if not plan.everything:
            assert plan.refund + plan.release == plan.value
        taxes += plan.tax.amount
        values += plan.value.amount
        books.carry_out(plan, data.draw(st.sampled_from(Fate), label="what becomes of its refunds"))
        for tender in order.tenders:
            assert books.refunded[tender.tender_id] <= books.captured[tender.tender_id]
            back = books.refunded[tender.tender_id] + books.released[tender.tender_id]
            assert back <= tender.amount.amount
    for tender in order.tenders:
        assert books.refunded[tender.tender_id] == books.captured[tender.tender_id]
        assert books.released[tender.tender_id] == tender.amount.amount - books.captured[tender.tender_id]
    assert values == sum(tender.amount.amount for tender in order.tenders)
    after_discount = order.discounted()
    assert taxes == sum(line.tax.amount for line in after_discount.lines) + (
        after_discount.shipping_tax.amount if after_discount.shipping_tax and after_discount.shipping else 0
    )


@given(
    units=st.integers(1, 12),
    total=st.integers(1, 500),
    shipping=st.integers(0, 40),
    step=st.sampled_from((1, 10, 100)),
    data=st.data(),
)
def test_a_provider_that_takes_amounts_in_steps_is_never_a_step_ahead_or_behind(
    units: int, total: int, shipping: int, step: int, data: st.DataObject
) -> None:
    """E9: what has gone back is what the cancelled part is worth, or less than a step more; in the end it is exact."""
    goods = -(-total // step) * step
    shipping = -(-shipping // step) * step
    zero = Money.zero("KWD")
    line = OrderLine(
        line_id="L1",
        sku="SKU-1",
        title="Thing",
        quantity=units,
        total=zero.model_copy(update={"amount": goods}),
        tax=zero,
    )
    paid = Money(amount=goods + shipping, currency="KWD")
    card = build.tender("T0", "KWD").model_copy(update={"amount": paid})
    order = build.order(line, tenders=(card,)).model_copy(update={"shipping": Money(amount=shipping, currency="KWD")})
    books, worth = Books(order, {"T0": paid.amount}, step=step), 0
    while left := books.order.lines[0].remaining:
        plan = books.plan(LineScope(line_id="L1", quantity=data.draw(st.integers(1, left))))
        assert plan.refund.amount % step == 0
        if not plan.everything:
            assert plan.rounding == plan.refund - plan.value
        worth += plan.value.amount
        books.carry_out(plan)
        assert 0 <= books.refunded["T0"] - worth < step
    assert books.refunded["T0"] == paid.amount


def a_part(data: st.DataObject, order: Order) -> tuple[LineScope, ...]:
    """Some units of the order, or the whole rest."""
    open_lines = [line for line in order.lines if line.remaining]
    if data.draw(st.booleans(), label="the whole rest"):
        return ()
    chosen = data.draw(st.lists(st.sampled_from(open_lines), min_size=1, unique_by=lambda line: line.line_id))
    return tuple(LineScope(line_id=line.line_id, quantity=data.draw(st.integers(1, line.remaining))) for line in chosen)


@given(order=orders(), data=st.data())
def test_of_a_shared_payment_any_series_of_cancellations_gives_back_the_orders_own_share(
    order: Order, data: st.DataObject
) -> None:
    """F3, E3, rule 9: never more than the order paid by the card, in the end just that, and what others reserve with it
    is not released."""
    others = data.draw(st.tuples(st.integers(0, 50_000), st.integers(0, 50_000)).filter(any), label="others'")
    card = order.tenders[0]
    captured = {tender.tender_id: tender.amount.amount for tender in order.tenders}
    captured[card.tender_id] = data.draw(st.sampled_from((0, card.amount.amount)), label="captured")
    books = Books(order, captured, others)
    while any(line.remaining for line in books.order.lines):
        plan = books.plan(*a_part(data, books.order))
        if not plan.everything:
            assert plan.given_back == plan.value
        of_card = next(part for part in plan.tenders if part.tender.tender_id == card.tender_id)
        assert of_card.released_by_capture is bool(of_card.release)
        books.carry_out(plan)
        back = books.refunded[card.tender_id] + books.released[card.tender_id]
        assert back <= card.amount.amount
    assert back == card.amount.amount


@given(order=orders(), data=st.data())
def test_what_the_carrier_does_not_stop_keeps_its_price_and_its_part_of_the_shipping_charge(
    order: Order, data: st.DataObject
) -> None:
    """C7, C10: what is cancelled and what stays are the order, to the unit."""
    books = paid(data, order)
    where = {
        shipment.shipment_id: data.draw(
            st.sampled_from((GoodsGroup.NOT_HANDED_OVER, GoodsGroup.IN_NETWORK, GoodsGroup.DELIVERED))
        )
        for shipment in order.shipments
    }
    try:
        plan = books.plan(where=where)
    except NotCancellable:
        assert all(where[shipment.shipment_id] is not GoodsGroup.NOT_HANDED_OVER for shipment in order.shipments)
        return
    in_network = [planned.shipment.shipment_id for planned in plan.shipments if planned.group is GoodsGroup.IN_NETWORK]
    declined = frozenset(data.draw(st.lists(st.sampled_from(in_network), unique=True)) if in_network else [])
    left = plan.without(declined)
    assert left.shipping <= plan.shipping
    assert {line.shipment_id for line in left.lines}.isdisjoint(declined)
    units = Counter[str]()
    for line in left.lines:
        units[line.line_id] += line.quantity
    for out in left.left_out:
        units[out.line_id] += out.quantity
    assert units == Counter({line.line_id: line.quantity for line in order.lines})
    if declined or plan.left_out:
        assert left.refund + left.release == left.value
        kept = sum(tender.amount.amount for tender in order.tenders) - left.value.amount
        assert kept >= 0
    books.carry_out(left)
    if any(line.remaining for line in books.order.lines):
        assert left.value + books.plan().value == Money.total((t.amount for t in order.tenders), order.currency)


@given(order=orders())
def test_a_discount_is_divided_over_all_it_was_granted_on_without_losing_a_unit(order: Order) -> None:
    """F2, E2: nothing costs less than nothing afterwards, or has more tax than it costs, or had less than its share."""
    after, discount = order.discounted(), order.discount
    assert discount is not None
    assert after.price == order.price - discount
    costs = [(line.total, line.tax) for line in order.lines] + [(order.shipping, order.shipping_tax)]
    left = [(line.total, line.tax) for line in after.lines] + [(after.shipping, after.shipping_tax)]
    for (total, tax), (rest, rest_tax) in zip(costs, left, strict=True):
        assert tax is not None
        assert rest_tax is not None
        assert 0 <= rest.amount <= total.amount
        assert 0 <= rest_tax.amount <= max(rest.amount, 0)
        if order.price:
            off_by = (total - rest).amount * order.price.amount - discount.amount * total.amount
            assert abs(off_by) < order.price.amount, "a unit or more away from its share"


@given(amount=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_an_amount_is_split_without_losing_a_unit(amount: int, weights: list[int]) -> None:
    parts = Money(amount=amount, currency="USD").split(weights)
    assert sum(part.amount for part in parts) == amount
    whole = sum(weights)
    if whole:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part.amount * whole - amount * weight) < whole, "a unit or more away from its share"
