"""Sales on a marketplace: the adapter, over HTTP, against the marketplace stand-in."""

import itertools

import pytest

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.money import money
from domain.payment import Refund, RefundStatus
from domain.request import ReasonCode
from providers.marketplace.mirakl import MiraklMarketplace
from providers.marketplace.port import SaleLine
from sandbox.marketplace.model import MARKETPLACE_KEY, Actor, EffectKind, FaultKind, Operation, SoldLine
from sandbox.marketplace_admin import MarketplaceAdmin

REQUESTED, CANCELLED = EffectKind.REFUND_REQUESTED, EffectKind.CANCELLED
REASON = ReasonCode.NO_LONGER_NEEDED

_numbers = itertools.count(1)


async def sold(
    marketplace: MarketplaceAdmin,
    *lines: SoldLine,
    currency: str = "EUR",
    charged: bool = True,
    takes_off: bool = False,
) -> str:
    """A sale of its own for each test. Without `lines`: line 1 of 2 units for 100.00 with 8.00 of shipping, 10.80 of it the
    marketplace's, and line 2 of 1 unit for 30.00, 3.00 of it the marketplace's: 124.20 for the seller."""
    order_id = f"M-{next(_numbers)}"
    usual = (
        SoldLine(id="1", quantity=2, price=10000, shipping=800, commission=1080),
        SoldLine(id="2", quantity=1, price=3000, commission=300),
    )
    given = [line.model_copy(update={"id": f"{order_id}-{line.id}"}) for line in lines or usual]
    await marketplace.sell(order_id, given, currency=currency, charged=charged, takes_off=takes_off)
    return order_id


def of(order_id: str, line: int, quantity: int, before: int = 0) -> SaleLine:
    return SaleLine(line_id=f"{order_id}-{line}", quantity=quantity, cancelled_before=before)


async def effects(marketplace: MarketplaceAdmin, order_id: str) -> list[tuple[EffectKind, str, int]]:
    found = await marketplace.effects(order_id)
    return [(effect.kind, effect.line_id.removeprefix(f"{order_id}-"), effect.quantity) for effect in found]


def shares(refunds: tuple[Refund, ...]) -> list[str]:
    return [str(refund.amount) for refund in refunds]


async def test_a_sale_is_a_payment_of_the_sellers_share(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    order_id = await sold(marketplace_sandbox)
    sale = await marketplace.read_sale(order_id)
    assert (sale.reference, sale.captured) == (order_id, money("124.20 EUR"))
    assert (sale.capturable, sale.refunded, sale.refunds) == (money("0 EUR"), money("0 EUR"), ())


@pytest.mark.parametrize(
    ("charged", "kind", "status"), [(True, REQUESTED, RefundStatus.PENDING), (False, CANCELLED, RefundStatus.SUCCEEDED)]
)
async def test_a_whole_sale_is_cancelled(
    marketplace_sandbox: MarketplaceAdmin,
    marketplace: MiraklMarketplace,
    charged: bool,
    kind: EffectKind,
    status: RefundStatus,
) -> None:
    """A buyer who was charged is owed money until the marketplace has paid; one who was not is owed nothing."""
    order_id = await sold(marketplace_sandbox, charged=charged)
    refunds = await marketplace.cancel(order_id, [of(order_id, 1, 2), of(order_id, 2, 1)], REASON, key="k/1")
    assert shares(refunds) == ["97.20 EUR", "27.00 EUR"]
    assert {refund.status for refund in refunds} == {status}
    assert {refund.key for refund in refunds} == {None}
    sale = await marketplace.read_sale(order_id)
    assert sale.refunds == refunds
    assert (sale.captured, sale.refundable) == (money("124.20 EUR"), money("0 EUR"))
    assert await effects(marketplace_sandbox, order_id) == [(kind, "1", 2), (kind, "2", 1)]
    assert [made.reference for made in await marketplace_sandbox.effects(order_id)] == [
        made.reference for made in refunds
    ]


async def test_a_refund_is_pending_until_the_marketplace_has_paid_the_buyer(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    order_id = await sold(marketplace_sandbox)
    [pending] = await marketplace.cancel(order_id, [of(order_id, 2, 1)], REASON, key="k/1")
    assert pending.status is RefundStatus.PENDING
    await marketplace_sandbox.settle(order_id)
    [settled] = (await marketplace.read_sale(order_id)).refunds
    assert (settled.reference, settled.status) == (pending.reference, RefundStatus.SUCCEEDED)
    assert settled.created_at == pending.created_at is not None
    [again] = await marketplace.cancel(order_id, [of(order_id, 2, 1)], REASON, key="k/1")
    assert again == settled


@pytest.mark.parametrize("charged", [True, False])
async def test_parts_of_a_line_add_up_to_it(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool
) -> None:
    """Shipping goes with the last unit, and what cannot be divided too."""
    line = SoldLine(id="1", quantity=3, price=1000, shipping=500, tax=100, commission=101)
    order_id = await sold(marketplace_sandbox, line, charged=charged)
    [first] = await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    [second] = await marketplace.cancel(order_id, [of(order_id, 1, 2, before=1)], REASON, key="k/2")
    assert shares((first, second)) == ["3.44 EUR", "11.55 EUR"]
    sale = await marketplace.read_sale(order_id)
    assert (sale.captured, sale.refunded) == (money("14.99 EUR"), money("14.99 EUR"))
    assert [quantity for _, _, quantity in await effects(marketplace_sandbox, order_id)] == [1, 2]


@pytest.mark.parametrize("charged", [True, False])
async def test_a_repeated_call_has_one_effect(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool
) -> None:
    order_id = await sold(marketplace_sandbox, charged=charged)
    first = await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1") == first
    assert len(await effects(marketplace_sandbox, order_id)) == 1
    second = await marketplace.cancel(order_id, [of(order_id, 1, 1, before=1)], REASON, key="k/2")
    assert second != first
    assert await marketplace.cancel(order_id, [of(order_id, 1, 1, before=1)], REASON, key="k/2") == second
    assert len(await effects(marketplace_sandbox, order_id)) == 2


@pytest.mark.parametrize("fault", [FaultKind.DROP_AFTER_COMMIT, FaultKind.HTTP_500_AFTER_COMMIT])
@pytest.mark.parametrize(("charged", "operation"), [(True, Operation.ORDERS_REFUND), (False, Operation.ORDERS_CANCEL)])
async def test_a_cancelation_whose_answer_was_lost_is_found_and_not_repeated(
    marketplace_sandbox: MarketplaceAdmin,
    marketplace: MiraklMarketplace,
    charged: bool,
    operation: Operation,
    fault: FaultKind,
) -> None:
    order_id = await sold(marketplace_sandbox, charged=charged)
    await marketplace_sandbox.add_fault(operation, fault, order_id=order_id)
    with pytest.raises(OutcomeUnknown):
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    [refund] = await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    [effect] = await marketplace_sandbox.effects(order_id)
    assert (effect.reference, effect.quantity) == (refund.reference, 1)


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.HTTP_500])
async def test_a_cancelation_that_never_happened_is_unknown_and_made_by_the_next_attempt(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, fault: FaultKind
) -> None:
    order_id = await sold(marketplace_sandbox)
    await marketplace_sandbox.add_fault(Operation.ORDERS_REFUND, fault, order_id=order_id)
    with pytest.raises(OutcomeUnknown):
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert await effects(marketplace_sandbox, order_id) == []
    await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert await effects(marketplace_sandbox, order_id) == [(REQUESTED, "1", 1)]


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.HTTP_429])
async def test_what_cannot_be_read_after_the_call_is_unknown_and_found_by_the_next_attempt(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, fault: FaultKind
) -> None:
    order_id = await sold(marketplace_sandbox)
    await marketplace_sandbox.add_fault(Operation.ORDERS_READ, fault, order_id=order_id, after=1)
    with pytest.raises(OutcomeUnknown):
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert await effects(marketplace_sandbox, order_id) == [(REQUESTED, "1", 1)]


@pytest.mark.parametrize("by", [Actor.MARKETPLACE, Actor.BUYER])
@pytest.mark.parametrize("charged", [True, False])
async def test_what_others_cancelled_is_adopted(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool, by: Actor
) -> None:
    order_id = await sold(marketplace_sandbox, charged=charged)
    theirs = await marketplace_sandbox.withdraw(order_id, f"{order_id}-1", 1, by=by)
    whole = [of(order_id, 1, 2), of(order_id, 2, 1)]
    refunds = await marketplace.cancel(order_id, whole, REASON, key="k/1")
    assert refunds[0].reference == theirs.id
    assert [quantity for _, _, quantity in await effects(marketplace_sandbox, order_id)] == [1, 1, 1]
    assert (await marketplace.read_sale(order_id)).refundable == money("0 EUR")
    assert await marketplace.cancel(order_id, whole, REASON, key="k/1") == refunds


async def test_a_whole_line_cancelled_by_others_without_a_quantity_is_adopted(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    """Mirakl calls the quantity of a cancelation informative; the amount says that nothing is left."""
    order_id = await sold(marketplace_sandbox)
    theirs = await marketplace_sandbox.withdraw(order_id, f"{order_id}-1", 2, reports_quantity=False)
    refunds = await marketplace.cancel(order_id, [of(order_id, 1, 2)], REASON, key="k/1")
    assert [refund.reference for refund in refunds] == [theirs.id]
    assert len(await effects(marketplace_sandbox, order_id)) == 1


async def test_taxes_that_the_marketplace_hands_on_are_no_share_of_the_seller(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    line = SoldLine(id="M-tax-1", quantity=2, price=1000, tax=190, commission=100)
    await marketplace_sandbox.sell("M-tax", [line], tax_for_seller=False)
    await marketplace.cancel("M-tax", [of("M-tax", 1, 1)], REASON, key="k/1")
    sale = await marketplace.read_sale("M-tax")
    assert (sale.captured, sale.refunded) == (money("9.00 EUR"), money("4.50 EUR"))


@pytest.mark.parametrize(
    ("currency", "captured", "half"), [("JPY", "8999 JPY", "4500 JPY"), ("KWD", "8.999 KWD", "4.500 KWD")]
)
async def test_amounts_have_the_decimals_of_their_currency(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, currency: str, captured: str, half: str
) -> None:
    order_id = await sold(
        marketplace_sandbox, SoldLine(id="1", quantity=2, price=9999, commission=1000), currency=currency
    )
    refunds = await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    sale = await marketplace.read_sale(order_id)
    assert str(sale.captured) == captured
    assert shares(refunds) == [half]
    assert sale.refunded == refunds[0].amount


async def test_what_was_shipped_is_not_cancelled(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    order_id = await sold(marketplace_sandbox)
    await marketplace_sandbox.ship(order_id)
    with pytest.raises(Refused, match="SHIPPED") as caught:
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert caught.value.code is ErrorCode.REFUND_REFUSED
    assert await effects(marketplace_sandbox, order_id) == []


@pytest.mark.parametrize(("line", "quantity", "before"), [(7, 1, 0), (1, 3, 0), (1, 1, 2)])
async def test_a_line_or_units_that_were_never_sold_are_refused(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, line: int, quantity: int, before: int
) -> None:
    order_id = await sold(marketplace_sandbox)
    with pytest.raises(Refused) as caught:
        await marketplace.cancel(order_id, [of(order_id, line, quantity, before)], REASON, key="k/1")
    assert caught.value.code is ErrorCode.REFUND_REFUSED
    assert await effects(marketplace_sandbox, order_id) == []


async def test_a_no_of_the_marketplace_is_refused_in_its_words(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    order_id = await sold(marketplace_sandbox)
    await marketplace_sandbox.add_fault(Operation.ORDERS_REFUND, FaultKind.REFUSE, order_id=order_id)
    with pytest.raises(Refused, match="not allowed in the current state") as caught:
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert caught.value.code is ErrorCode.REFUND_REFUSED


async def test_a_buyer_who_is_being_charged_is_waited_for(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace
) -> None:
    line = SoldLine.model_validate({"id": "1", "quantity": 1, "price": 100, "state": "WAITING_DEBIT_PAYMENT"})
    order_id = await sold(marketplace_sandbox, line)
    with pytest.raises(Unavailable):
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")


async def test_an_unknown_sale_is_not_found(marketplace: MiraklMarketplace) -> None:
    with pytest.raises(Refused) as caught:
        await marketplace.read_sale("M-none")
    assert caught.value.code is ErrorCode.PAYMENT_NOT_FOUND
    with pytest.raises(Refused) as caught:
        await marketplace.cancel("M-none", [of("M-none", 1, 1)], REASON, key="k/1")
    assert caught.value.code is ErrorCode.PAYMENT_NOT_FOUND


@pytest.mark.parametrize("operation", [Operation.ORDERS_READ, Operation.ORDERS_REFUND])
async def test_a_rate_limit_says_when_to_ask_again(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, operation: Operation
) -> None:
    order_id = await sold(marketplace_sandbox)
    await marketplace_sandbox.add_fault(operation, FaultKind.HTTP_429, order_id=order_id, seconds=9)
    with pytest.raises(Unavailable) as caught:
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert caught.value.retry_after == 9
    assert await effects(marketplace_sandbox, order_id) == []


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.HTTP_500])
async def test_a_failed_look_is_unavailable_and_nothing_happened(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, fault: FaultKind
) -> None:
    order_id = await sold(marketplace_sandbox)
    await marketplace_sandbox.add_fault(Operation.ORDERS_READ, fault, order_id=order_id)
    with pytest.raises(Unavailable):
        await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert await effects(marketplace_sandbox, order_id) == []


@pytest.mark.parametrize("reason_code", ["18", "no-such-code"])
async def test_the_reason_code_is_the_marketplaces_own_where_one_is_set(
    marketplace_sandbox: MarketplaceAdmin, reason_code: str
) -> None:
    order_id = await sold(marketplace_sandbox)
    mirakl = MiraklMarketplace(marketplace_sandbox.url, MARKETPLACE_KEY, reason_code=reason_code, orders_every=0)
    try:
        if reason_code == "18":
            await mirakl.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
        else:
            with pytest.raises(Refused, match="reason code in the settings"):
                await mirakl.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    finally:
        await mirakl.aclose()


@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize("reason", [ReasonCode.OUT_OF_STOCK, ReasonCode.OTHER])
async def test_without_one_it_is_one_that_every_marketplace_starts_with(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool, reason: ReasonCode
) -> None:
    """The stand-in refuses a code of the wrong kind."""
    order_id = await sold(marketplace_sandbox, charged=charged)
    await marketplace.cancel(order_id, [of(order_id, 1, 1)], reason, key="k/1")


async def test_a_wrong_key_is_refused_without_showing_it(marketplace_sandbox: MarketplaceAdmin) -> None:
    mirakl = MiraklMarketplace(marketplace_sandbox.url, "other-secret")
    with pytest.raises(Refused) as caught:
        await mirakl.read_sale(await sold(marketplace_sandbox))
    await mirakl.aclose()
    assert caught.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS
    assert "other-secret" not in caught.value.message


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    mirakl = MiraklMarketplace(f"http://127.0.0.1:{unused_tcp_port}", MARKETPLACE_KEY, orders_every=0)
    with pytest.raises(Unavailable):
        await mirakl.cancel("M-1", [of("M-1", 1, 1)], REASON, key="k/1")
    await mirakl.aclose()
