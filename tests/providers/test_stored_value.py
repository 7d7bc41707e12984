"""The built-in stored value: gift cards and store credit. On SQLite and PostgreSQL."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.payment import Refund, RefundStatus
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from providers.stored_value.built_in import BuiltInStoredValue
from sandbox import built_in
from tests.providers.merchant import CARD, cancellation, line, order

EMAIL = "customer@example.test"
GIFT_CARD = Tender(tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="GC-1")
SPLIT = order(lines=(line("52.35 USD", quantity=1),), tenders=(GIFT_CARD, CARD))
ONE = cancellation(SPLIT)


async def put_in(database: AsyncEngine, balance: str = "0.00 USD") -> None:
    """An order that a gift card has paid a part of, with what is left on it."""
    await built_in.add_order(database, SPLIT, email=EMAIL, balances={"GC-1": money(balance)})


def back(n: int = 1, tender: str = "T-gift") -> EffectKey:
    return ONE.key(StepName.REVERSE_PAYMENT, tender, n)


def undo(n: int = 1, tender: str = "T-gift") -> EffectKey:
    return ONE.key(StepName.RESTORE_PAYMENT, tender, n)


async def restore(
    stored_value: BuiltInStoredValue, amount: str, key: EffectKey, tender: Tender = GIFT_CARD, order_id: str = "O-1"
) -> Refund:
    return await stored_value.restore(order_id, tender, money(amount), customer_id=SPLIT.customer_id, key=key)


async def test_a_gift_card_gets_back_what_it_gave(stored_value: BuiltInStoredValue, database: AsyncEngine) -> None:
    """B12, for the gift card's part: once for a key."""
    await put_in(database, "2.50 USD")

    refunds = [await restore(stored_value, "10.00 USD", back()) for _ in range(3)]

    assert refunds[0].status is RefundStatus.SUCCEEDED
    assert refunds[1:] == [refunds[0], refunds[0]]
    assert await stored_value.find(back()) == refunds[0]
    assert await built_in.balance(database, "GC-1") == money("12.50 USD")
    payment = await stored_value.read("O-1", GIFT_CARD)
    assert (payment.captured, payment.refunded, payment.refundable) == (
        money("10.00 USD"),
        money("10.00 USD"),
        money("0.00 USD"),
    )
    assert payment.made_under(str(back())) == refunds[0]


async def test_attempts_at_the_same_time_put_back_once(stored_value: BuiltInStoredValue, database: AsyncEngine) -> None:
    """I5"""
    await put_in(database)

    refunds = await asyncio.gather(*(restore(stored_value, "3.00 USD", back()) for _ in range(8)))

    assert len(set(refunds)) == 1
    assert await built_in.balance(database, "GC-1") == money("3.00 USD")


async def test_a_gift_card_never_gets_back_more_than_it_gave(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    """I1, B12: also when many ask at once."""
    await put_in(database)

    answers = await asyncio.gather(
        *(restore(stored_value, "3.00 USD", back(n)) for n in range(1, 11)), return_exceptions=True
    )

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert {refusal.code for refusal in refusals} == {ErrorCode.REFUND_EXCEEDS_CAPTURED}
    assert all("at most, not 3.00 USD" in refusal.message for refusal in refusals)
    assert len(refusals) == 7
    assert await built_in.balance(database, "GC-1") == money("9.00 USD")


async def test_what_earlier_cancellations_put_back_takes_room_and_what_was_taken_back_gives_it(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    """M4, I1: room is what the tender gave, less all that is on it again, whoever put it there; each order has its own."""
    await put_in(database)
    second = cancellation(SPLIT, request_id="R-2").key(StepName.REVERSE_PAYMENT, "T-gift")
    await restore(stored_value, "6.00 USD", back())

    with pytest.raises(Refused, match=r"can get back 4\.00 USD at most, not 4\.01 USD"):
        await restore(stored_value, "4.01 USD", second)
    await restore(stored_value, "4.00 USD", second)
    with pytest.raises(Refused, match=r"can get back 0\.00 USD at most"):
        await restore(stored_value, "0.01 USD", second.next)
    await stored_value.take_back(undoes=back(), key=undo())
    with pytest.raises(Refused, match=r"can get back 6\.00 USD at most"):
        await restore(stored_value, "6.01 USD", second.next)
    await restore(stored_value, "6.00 USD", second.next)

    assert (await stored_value.read("O-1", GIFT_CARD)).refundable == money("0.00 USD")
    other = cancellation(order("O-2")).key(StepName.REVERSE_PAYMENT, "T-gift")
    assert (await restore(stored_value, "10.00 USD", other, order_id="O-2")).amount == money("10.00 USD")
    assert (await stored_value.read("O-1", GIFT_CARD)).refunded == money("10.00 USD")


async def test_nothing_is_not_put_back(stored_value: BuiltInStoredValue, database: AsyncEngine) -> None:
    await put_in(database)
    with pytest.raises(ValueError, match="above zero"):
        await restore(stored_value, "0.00 USD", back())


async def test_a_key_puts_one_amount_back(stored_value: BuiltInStoredValue, database: AsyncEngine) -> None:
    await put_in(database)
    await restore(stored_value, "3.00 USD", back())

    for amount, tender in (("4.00 USD", GIFT_CARD), ("3.00 USD", CARD)):
        with pytest.raises(Refused) as no:
            await restore(stored_value, amount, back(), tender)
        assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT

    assert await built_in.balance(database, "GC-1") == money("3.00 USD")


async def test_a_tender_whose_account_is_not_there_has_no_balance(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    await put_in(database)
    unknown = GIFT_CARD.model_copy(update={"tender_id": "T-404", "reference": "GC-404"})

    with pytest.raises(Refused) as read:
        await stored_value.read("O-1", unknown)
    with pytest.raises(Refused) as restored:
        await restore(stored_value, "1.00 USD", back(1, "T-404"), unknown)

    assert {read.value.code, restored.value.code} == {ErrorCode.PAYMENT_NOT_FOUND}
    assert await stored_value.find(back(1, "T-404")) is None


async def test_a_card_has_no_balance_here_and_its_money_goes_to_the_customers_store_credit(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    """B29: opened when there is none, once for a key, and never more than the card gave. Of a customer whom nobody knows
    there is none."""
    await put_in(database)
    account = f"store-credit-{SPLIT.customer_id}-USD"
    given = ONE.key(StepName.GIVE_STORE_CREDIT, "T-card")

    with pytest.raises(Refused) as read:
        await stored_value.read("O-1", CARD)
    for _ in range(2):
        await restore(stored_value, "1.00 USD", given, CARD)
    with pytest.raises(Refused) as more:
        await restore(stored_value, "1000.00 USD", given.next, CARD)
    with pytest.raises(Refused) as nobodys:
        await stored_value.restore("O-1", CARD, money("1.00 USD"), customer_id=None, key=given.next)

    assert (read.value.code, more.value.code) == (ErrorCode.PAYMENT_NOT_FOUND, ErrorCode.REFUND_EXCEEDS_CAPTURED)
    assert nobodys.value.code is ErrorCode.PAYMENT_NOT_FOUND
    assert await built_in.balance(database, account) == money("1.00 USD")
    canceled = await stored_value.take_back(undoes=given, key=undo(1, "T-card"))
    assert canceled.status is RefundStatus.CANCELED
    assert await built_in.balance(database, account) == money("0.00 USD")


async def test_a_restored_balance_is_taken_back_once(stored_value: BuiltInStoredValue, database: AsyncEngine) -> None:
    """I9: the undo, its repeat, another one, and a late repeat of what it undid."""
    await put_in(database)
    restored = await restore(stored_value, "10.00 USD", back())

    undone = [await stored_value.take_back(undoes=back(), key=undo(n)) for n in (1, 1, 2)]

    canceled = restored.model_copy(update={"status": RefundStatus.CANCELED})
    assert undone == [canceled, canceled, canceled]
    assert await stored_value.find(back()) == canceled
    assert await restore(stored_value, "10.00 USD", back()) == canceled
    assert await built_in.balance(database, "GC-1") == money("0.00 USD")
    payment = await stored_value.read("O-1", GIFT_CARD)
    assert (payment.refunded, payment.refunds) == (money("0.00 USD"), (canceled,))

    again = await restore(stored_value, "10.00 USD", back(2))
    assert again.status is RefundStatus.SUCCEEDED
    assert await stored_value.find(back(2)) == again


async def test_what_was_never_restored_is_not_found_and_not_taken_back(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    await put_in(database, "2.50 USD")

    assert await stored_value.find(back()) is None
    with pytest.raises(ValueError, match="nothing was put back"):
        await stored_value.take_back(undoes=back(), key=undo())

    assert await built_in.balance(database, "GC-1") == money("2.50 USD")


async def test_a_balance_that_was_spent_is_not_taken_back(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    await put_in(database)
    restored = await restore(stored_value, "10.00 USD", back())
    await built_in.spend_balance(database, "GC-1", money("0.01 USD"), key="purchase")

    for _ in range(2):
        with pytest.raises(Refused, match="has been spent") as no:
            await stored_value.take_back(undoes=back(), key=undo())

    assert no.value.code is ErrorCode.REFUND_NOT_CANCELLABLE
    assert await stored_value.find(back()) == restored
    assert await built_in.balance(database, "GC-1") == money("9.99 USD")


async def test_the_database_itself_refuses_a_negative_balance(database: AsyncEngine) -> None:
    await put_in(database, "2.50 USD")

    with pytest.raises(IntegrityError):
        await built_in.spend_balance(database, "GC-1", money("2.51 USD"), key="purchase")

    assert await built_in.balance(database, "GC-1") == money("2.50 USD")


# Gift cards that were bought

BOUGHT = order(
    lines=(line("50.00 USD", quantity=1),),
    shipments=(Shipment(shipment_id="S1", lines=(ShipmentLine(line_id="L1", quantity=1),), gift_card="GC-9"),),
)
OFF, ON = ONE.key(StepName.STOP_SHIPMENT, "S1"), ONE.key(StepName.RESUME_SHIPMENT, "S1")


async def bought(database: AsyncEngine) -> None:
    await built_in.add_order(database, BOUGHT, email=EMAIL, balances={"GC-9": money("50.00 USD")}, handed_over={"S1"})


async def test_an_unused_gift_card_is_deactivated_once_and_works_again_after_the_undo(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    """B15. A late repeat of what was undone does nothing; another one deactivates again."""
    await bought(database)
    assert not await stored_value.gift_card_used("GC-9")

    taken = [await stored_value.deactivate("GC-9", key=OFF) for _ in range(3)]
    assert taken == [money("50.00 USD")] * 3
    assert await built_in.balance(database, "GC-9") == money("0.00 USD")
    assert not await stored_value.gift_card_used("GC-9")

    for _ in range(3):
        await stored_value.reactivate("GC-9", undoes=OFF, key=ON)
    assert await built_in.balance(database, "GC-9") == money("50.00 USD")
    assert await stored_value.deactivate("GC-9", key=OFF) is None
    assert await built_in.balance(database, "GC-9") == money("50.00 USD")

    assert await stored_value.deactivate("GC-9", key=OFF.next) == money("50.00 USD")
    await stored_value.reactivate("GC-9", undoes=OFF.next, key=ON.next)
    await stored_value.reactivate("GC-9", undoes=OFF, key=ON.next.next)  # that was undone before
    assert await built_in.balance(database, "GC-9") == money("50.00 USD")


async def test_attempts_at_the_same_time_deactivate_once(
    stored_value: BuiltInStoredValue, database: AsyncEngine
) -> None:
    """I5"""
    await bought(database)

    taken: list[Money | None] = await asyncio.gather(*(stored_value.deactivate("GC-9", key=OFF) for _ in range(8)))

    assert taken == [money("50.00 USD")] * 8
    assert len(await built_in.effects(database)) == 1


async def test_a_used_gift_card_is_left_alone(stored_value: BuiltInStoredValue, database: AsyncEngine) -> None:
    """B15"""
    await bought(database)
    await built_in.spend_balance(database, "GC-9", money("0.01 USD"), key="spent")

    assert await stored_value.gift_card_used("GC-9")
    for _ in range(2):
        assert await stored_value.deactivate("GC-9", key=OFF) is None
        await stored_value.reactivate("GC-9", undoes=OFF, key=ON)  # it never was

    assert await built_in.balance(database, "GC-9") == money("49.99 USD")
    with pytest.raises(Refused) as refused:
        await stored_value.gift_card_used("GC-unknown")
    assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND
