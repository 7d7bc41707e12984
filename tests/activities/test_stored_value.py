"""reverse_payment, give_store_credit and restore_payment on gift cards and store credit, one attempt at a time."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.payments import PaymentActivities
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import RollBackOrdered
from domain.holder import NotTheHolder
from domain.keys import EffectKey
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.payment import Refund, RefundStatus
from domain.step import StepName
from providers.gateway.stripe import StripeGateway
from providers.stored_value.built_in import BuiltInStoredValue
from sandbox import built_in
from tests.activities.samples import Begun, attempt, begin, payments_at, planned
from tests.providers.merchant import OTHER_RUN

BACK = money("10.00 USD")
GIFT_CARD = Tender(tender_id="T1", kind=TenderKind.GIFT_CARD, amount=BACK, reference="GC-1")
PLANNED = planned("GC-1", refund="10.00 USD").model_copy(update={"tender": GIFT_CARD})
ROLL_BACK = RollBackOrdered(sentence="Rolled back.")


@pytest.fixture
def payments(gateway: StripeGateway, database: AsyncEngine) -> PaymentActivities:
    return payments_at(database, gateway)


@pytest.fixture
async def begun(database: AsyncEngine) -> Begun:
    """Paid by a gift card with 2.50 USD left on it."""
    return await begin(database, PLANNED, balances={"GC-1": money("2.50 USD")})


async def reverse(payments: PaymentActivities, begun: Begun) -> None:
    await attempt(payments.reverse_payment, await begun.step(StepName.REVERSE_PAYMENT))


async def restore(payments: PaymentActivities, begun: Begun) -> None:
    await attempt(payments.restore_payment, await begun.step(StepName.RESTORE_PAYMENT))


async def test_a_gift_card_gets_back_what_it_gave_and_the_books_say_so(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine
) -> None:
    """B12"""
    for _ in range(2):
        await reverse(payments, begun)

    case = await begun.case()
    assert case.is_done(StepName.REVERSE_PAYMENT, "T1")
    [refund] = case.reversal("T1").refunds
    assert (refund.amount, refund.status) == (BACK, RefundStatus.SUCCEEDED)
    assert refund == await begun.merchant.stored_value.find(case.keys_noted(StepName.REVERSE_PAYMENT, target="T1")[0])
    assert await built_in.balance(database, "GC-1") == money("12.50 USD")


async def test_what_was_put_back_and_whose_answer_was_lost_is_found_by_the_next_attempt(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B18: the stored value and our books are not one transaction."""
    lost = losing_once(BuiltInStoredValue.restore)
    monkeypatch.setattr(BuiltInStoredValue, "restore", lost)
    with pytest.raises(Unavailable):
        await reverse(payments, begun)
    assert (await begun.case()).reversal("T1").refunds == ()
    assert await built_in.balance(database, "GC-1") == money("12.50 USD")

    await reverse(payments, begun)

    assert len((await begun.case()).reversal("T1").refunds) == 1
    assert await built_in.balance(database, "GC-1") == money("12.50 USD")


def losing_once(call: Callable[..., Awaitable[Refund]]) -> Callable[..., Awaitable[Refund]]:
    answers = iter([False])

    async def lost(*args: object, **more: object) -> Refund:
        made = await call(*args, **more)
        if not next(answers, True):
            raise Unavailable("The stored value does not answer.")
        return made

    return lost


async def test_only_the_holder_moves_stored_value(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine
) -> None:
    """E19, M25."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(NotTheHolder):
        await attempt(payments.reverse_payment, step, OTHER_RUN)
    assert await built_in.balance(database, "GC-1") == money("2.50 USD")
    await attempt(payments.reverse_payment, step)
    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    with pytest.raises(NotTheHolder):
        await attempt(payments.restore_payment, await begun.step(StepName.RESTORE_PAYMENT), OTHER_RUN)
    assert await built_in.balance(database, "GC-1") == money("12.50 USD")


async def test_what_was_put_back_is_taken_back_once_and_a_late_attempt_puts_nothing_back(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine
) -> None:
    """I9"""
    late = await begun.step(StepName.REVERSE_PAYMENT)
    await reverse(payments, begun)
    await begun.merchant.write(begun.cancellation, ROLL_BACK)

    for _ in range(2):
        await restore(payments, begun)

    case = await begun.case()
    assert [refund.status for refund in case.reversal("T1").refunds] == [RefundStatus.CANCELED]
    assert case.is_done(StepName.RESTORE_PAYMENT, "T1")
    assert case.key_of(StepName.REVERSE_PAYMENT, "T1") == late.key.next
    with pytest.raises(Refused) as undone:
        await attempt(payments.reverse_payment, late)
    assert undone.value.code is ErrorCode.ROLLED_BACK
    assert await built_in.balance(database, "GC-1") == money("2.50 USD")


async def test_what_was_never_put_back_is_not_taken_back(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine
) -> None:
    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    await restore(payments, begun)
    assert await built_in.balance(database, "GC-1") == money("2.50 USD")


async def test_what_was_spent_meanwhile_is_a_persons_to_collect(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine
) -> None:
    await reverse(payments, begun)
    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    await built_in.spend_balance(database, "GC-1", money("2.51 USD"), key="purchase")

    for _ in range(2):
        with pytest.raises(Refused, match="has been spent since") as spent:
            await restore(payments, begun)
        assert spent.value.code is ErrorCode.REFUND_NOT_CANCELLABLE

    assert await built_in.balance(database, "GC-1") == money("9.99 USD")


async def test_what_earlier_puts_back_left_is_all_that_a_card_gets(
    payments: PaymentActivities, begun: Begun, database: AsyncEngine
) -> None:
    """I1: somebody has put a part back by hand, under a key of their own."""
    theirs = EffectKey("by-hand", StepName.REVERSE_PAYMENT, "T1")
    order_id = begun.cancellation.order_id
    await begun.merchant.stored_value.restore(order_id, GIFT_CARD, money("4.00 USD"), customer_id=None, key=theirs)

    await reverse(payments, begun)

    case = await begun.case()
    assert Money.total((refund.amount for refund in case.reversal("T1").refunds), "USD") == money("6.00 USD")
    assert case.reversal("T1").outstanding == money("0.00 USD")
    assert await built_in.balance(database, "GC-1") == money("12.50 USD")
