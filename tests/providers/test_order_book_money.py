"""Stored value in the order book: gift cards and store credit. On SQLite and PostgreSQL."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.money import money
from domain.order import Tender, TenderKind
from domain.payment import RefundStatus
from domain.permissions import NotTheHolder
from domain.step import StepName
from providers.order_book.book import SqlOrderBook
from sandbox import books
from tests.providers.order_book_samples import CARD, OTHER_RUN, RUN, Cancellation, cancellation, hold, line, order

EMAIL = "customer@example.test"
GIFT_CARD = Tender(tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="GC-1")
SPLIT = order(lines=(line("52.35 USD", quantity=1),), tenders=(GIFT_CARD, CARD))


async def opened(order_book: SqlOrderBook, database: AsyncEngine, balance: str = "0.00 USD") -> Cancellation:
    await books.add_order(database, SPLIT, email=EMAIL, balances={"GC-1": money(balance)})
    one = cancellation(SPLIT)
    await hold(order_book, one)
    return one


def restore(one: Cancellation, n: int = 1, tender: str = "T-gift") -> EffectKey:
    return one.key(StepName.REVERSE_PAYMENT, tender, n)


def undo(one: Cancellation, n: int = 1, tender: str = "T-gift") -> EffectKey:
    return one.key(StepName.RESTORE_PAYMENT, tender, n)


async def test_a_gift_card_gets_back_what_it_gave(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """B12, for the gift card's part."""
    one = await opened(order_book, database, "2.50 USD")

    refunds = [
        await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key=restore(one), run=RUN)
        for _ in range(3)
    ]

    assert refunds[0].status is RefundStatus.SUCCEEDED
    assert refunds[1:] == [refunds[0], refunds[0]]
    case = Case(await books.facts(database, "O-1"))
    assert case.is_done(StepName.REVERSE_PAYMENT, "T-gift")
    assert case.reversal("T-gift").refunds == (refunds[0],)
    assert await books.balance(database, "GC-1") == money("12.50 USD")
    payment = await order_book.read_balance("O-1", "T-gift")
    assert (payment.captured, payment.refunded, payment.refundable) == (
        money("10.00 USD"),
        money("10.00 USD"),
        money("0.00 USD"),
    )
    assert payment.made_under(str(restore(one))) == refunds[0]


async def test_a_gift_card_never_gets_back_more_than_it_gave(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I1, B12: also when many ask at once."""
    one = await opened(order_book, database)

    answers = await asyncio.gather(
        *(
            order_book.restore_balance("O-1", "T-gift", money("3.00 USD"), key=restore(one, n), run=RUN)
            for n in range(1, 11)
        ),
        return_exceptions=True,
    )

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert {refusal.code for refusal in refusals} == {ErrorCode.REFUND_EXCEEDS_CAPTURED}
    assert all("at most, not 3.00 USD" in refusal.message for refusal in refusals)
    assert len(refusals) == 7
    assert await books.balance(database, "GC-1") == money("9.00 USD")


async def test_a_key_puts_one_amount_back(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    one = await opened(order_book, database)
    await order_book.restore_balance("O-1", "T-gift", money("3.00 USD"), key=restore(one), run=RUN)

    with pytest.raises(Refused) as no:
        await order_book.restore_balance("O-1", "T-gift", money("4.00 USD"), key=restore(one), run=RUN)

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert await books.balance(database, "GC-1") == money("3.00 USD")


async def test_a_tender_that_is_not_there_has_no_balance(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    one = await opened(order_book, database)

    with pytest.raises(Refused) as read:
        await order_book.read_balance("O-1", "T-404")
    with pytest.raises(Refused) as restored:
        await order_book.restore_balance("O-1", "T-404", money("1.00 USD"), key=restore(one, 1, "T-404"), run=RUN)

    assert {read.value.code, restored.value.code} == {ErrorCode.PAYMENT_NOT_FOUND}


async def test_a_card_has_no_balance_here_and_its_money_goes_to_the_customers_store_credit(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B29: opened when there is none, once for a key, and never more than the card gave."""
    one = await opened(order_book, database)
    account = f"store-credit-{SPLIT.customer_id}-USD"
    credit_key = one.key(StepName.GIVE_STORE_CREDIT, "T-card")

    with pytest.raises(Refused) as read:
        await order_book.read_balance("O-1", "T-card")
    for _ in range(2):
        await order_book.restore_balance("O-1", "T-card", money("1.00 USD"), key=credit_key, run=RUN)
    with pytest.raises(Refused) as more:
        await order_book.restore_balance("O-1", "T-card", money("1000.00 USD"), key=credit_key.next, run=RUN)

    assert (read.value.code, more.value.code) == (ErrorCode.PAYMENT_NOT_FOUND, ErrorCode.REFUND_EXCEEDS_CAPTURED)
    assert await books.balance(database, account) == money("1.00 USD")
    assert (
        await order_book.take_back_balance("O-1", "T-card", key=undo(one, 1, "T-card"), undoes=credit_key, run=RUN)
        is not None
    )
    assert await books.balance(database, account) == money("0.00 USD")


async def test_a_restored_balance_is_taken_back_once(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I9: the undo, its repeat, and a late repeat of what it undid."""
    one = await opened(order_book, database)
    restored = await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key=restore(one), run=RUN)

    undone = [
        await order_book.take_back_balance("O-1", "T-gift", key=undo(one, n), undoes=restore(one), run=RUN)
        for n in (1, 1, 2)
    ]

    canceled = restored.model_copy(update={"status": RefundStatus.CANCELED})
    case = Case(await books.facts(database, "O-1"))
    assert case.reversal("T-gift").refunds == (canceled,)
    assert case.key_of(StepName.REVERSE_PAYMENT, "T-gift") == restore(one, 2)
    assert undo(one) not in case.all_keys_noted(undo(one).step, target=undo(one).target), (
        "that is the activity's to note"
    )
    assert undone == [canceled, canceled, canceled]
    assert await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key=restore(one), run=RUN) == canceled
    assert await books.balance(database, "GC-1") == money("0.00 USD")
    payment = await order_book.read_balance("O-1", "T-gift")
    assert (payment.refunded, payment.refunds) == (money("0.00 USD"), (canceled,))

    again = await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key=restore(one, 2), run=RUN)
    assert again.status is RefundStatus.SUCCEEDED


async def test_what_was_never_restored_is_not_taken_back(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    one = await opened(order_book, database, "2.50 USD")

    assert await order_book.take_back_balance("O-1", "T-gift", key=undo(one), undoes=restore(one), run=RUN) is None

    assert await books.balance(database, "GC-1") == money("2.50 USD")


async def test_a_balance_that_was_spent_is_not_taken_back(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    one = await opened(order_book, database)
    await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key=restore(one), run=RUN)
    await books.spend_balance(database, "GC-1", money("0.01 USD"), key="purchase")

    with pytest.raises(Refused, match="has been spent") as no:
        await order_book.take_back_balance("O-1", "T-gift", key=undo(one), undoes=restore(one), run=RUN)

    assert no.value.code is ErrorCode.REFUND_NOT_CANCELLABLE
    assert await books.balance(database, "GC-1") == money("9.99 USD")


async def test_the_database_itself_refuses_a_negative_balance(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await opened(order_book, database, "2.50 USD")

    with pytest.raises(IntegrityError):
        await books.spend_balance(database, "GC-1", money("2.51 USD"), key="purchase")

    assert await books.balance(database, "GC-1") == money("2.50 USD")


async def test_only_the_holder_moves_stored_value(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """E19, M25."""
    one = await opened(order_book, database)
    with pytest.raises(NotTheHolder):
        await order_book.restore_balance("O-1", "T-gift", money("1.00 USD"), key=restore(one), run=OTHER_RUN)
    await order_book.restore_balance("O-1", "T-gift", money("1.00 USD"), key=restore(one), run=RUN)
    with pytest.raises(NotTheHolder):
        await order_book.take_back_balance("O-1", "T-gift", key=undo(one), undoes=restore(one), run=OTHER_RUN)
    assert await books.balance(database, "GC-1") == money("1.00 USD")
