"""Stored value, documents and the ledger of the order book. On SQLite and PostgreSQL."""

import asyncio
from collections import defaultdict

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import ErrorCode, Refused
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.outcome import CancellationRecord
from domain.payment import RefundStatus
from providers.order_book.book import SqlOrderBook
from providers.order_book.port import CreditedTender, NewNotice, NoticeKind
from providers.order_book.tables import LedgerAccount as Account
from sandbox import books
from tests.providers.order_book_samples import CARD, by_card, credit, line, order, record

EMAIL = "customer@example.test"
GIFT_CARD = Tender(tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="GC-1")
SPLIT = order(lines=(line("52.35 USD", quantity=1),), tenders=(GIFT_CARD, CARD))


async def held(order_book: SqlOrderBook, database: AsyncEngine, number: int = 1) -> CancellationRecord:
    placed = order(f"O-{number}")
    await books.add_order(database, placed, email=EMAIL)
    opened = record(placed)
    await order_book.hold_order(opened, [], key=f"hold {number}")
    return opened


async def balances_by_account(database: AsyncEngine) -> dict[Account, int]:
    """Credits minus debits."""
    accounts: defaultdict[Account, int] = defaultdict(int)
    for transfer in await books.ledger(database):
        accounts[transfer.debit] -= transfer.amount.amount
        accounts[transfer.credit] += transfer.amount.amount
    return dict(accounts)


async def test_a_gift_card_gets_back_what_it_gave(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """B12, for the gift card's part."""
    await books.add_order(database, SPLIT, email=EMAIL, balances={"GC-1": money("2.50 USD")})

    refunds = [
        await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key="can-1/reverse_payment/T-gift/1")
        for _ in range(3)
    ]

    assert refunds[0].status is RefundStatus.SUCCEEDED
    assert refunds[1:] == [refunds[0], refunds[0]]
    assert await books.balance(database, "GC-1") == money("12.50 USD")
    payment = await order_book.read_balance("O-1", "T-gift")
    assert (payment.captured, payment.refunded, payment.refundable) == (
        money("10.00 USD"),
        money("10.00 USD"),
        money("0.00 USD"),
    )
    assert payment.made_under("can-1/reverse_payment/T-gift/1") == refunds[0]


async def test_a_gift_card_never_gets_back_more_than_it_gave(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I1, B12: also when many ask at once."""
    await books.add_order(database, SPLIT, email=EMAIL)

    answers = await asyncio.gather(
        *(order_book.restore_balance("O-1", "T-gift", money("3.00 USD"), key=f"k{n}") for n in range(10)),
        return_exceptions=True,
    )

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert {refusal.code for refusal in refusals} == {ErrorCode.REFUND_EXCEEDS_CAPTURED}
    assert all("at most, not 3.00 USD" in refusal.message for refusal in refusals)
    assert len(refusals) == 7
    assert await books.balance(database, "GC-1") == money("9.00 USD")


async def test_a_key_puts_one_amount_back(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, SPLIT, email=EMAIL)
    await order_book.restore_balance("O-1", "T-gift", money("3.00 USD"), key="k")

    with pytest.raises(Refused) as no:
        await order_book.restore_balance("O-1", "T-gift", money("4.00 USD"), key="k")

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert await books.balance(database, "GC-1") == money("3.00 USD")


async def test_a_tender_that_is_not_there_has_no_balance(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, SPLIT, email=EMAIL)

    with pytest.raises(Refused) as read:
        await order_book.read_balance("O-1", "T-404")
    with pytest.raises(Refused) as restored:
        await order_book.restore_balance("O-1", "T-404", money("1.00 USD"), key="k")

    assert {read.value.code, restored.value.code} == {ErrorCode.PAYMENT_NOT_FOUND}


async def test_a_card_has_no_balance_here_and_its_money_goes_to_the_customers_store_credit(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B29: opened when there is none, once for a key, and never more than the card gave."""
    await books.add_order(database, SPLIT, email=EMAIL)
    account = f"store-credit-{SPLIT.customer_id}-USD"

    with pytest.raises(Refused) as read:
        await order_book.read_balance("O-1", "T-card")
    for _ in range(2):
        await order_book.restore_balance("O-1", "T-card", money("1.00 USD"), key="k")
    with pytest.raises(Refused) as more:
        await order_book.restore_balance("O-1", "T-card", money("1000.00 USD"), key="k2")

    assert (read.value.code, more.value.code) == (ErrorCode.PAYMENT_NOT_FOUND, ErrorCode.REFUND_EXCEEDS_CAPTURED)
    assert await books.balance(database, account) == money("1.00 USD")
    assert await order_book.take_back_balance("O-1", "T-card", key="undo", undoes="k") is not None
    assert await books.balance(database, account) == money("0.00 USD")


async def test_a_restored_balance_is_taken_back_once(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I9: the undo, its repeat, and a late repeat of what it undid."""
    await books.add_order(database, SPLIT, email=EMAIL)
    restored = await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key="restore")

    undone = [
        await order_book.take_back_balance("O-1", "T-gift", key=key, undoes="restore")
        for key in ("undo", "undo", "another undo")
    ]

    canceled = restored.model_copy(update={"status": RefundStatus.CANCELED})
    assert undone == [canceled, canceled, canceled]
    assert await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key="restore") == canceled
    assert await books.balance(database, "GC-1") == money("0.00 USD")
    payment = await order_book.read_balance("O-1", "T-gift")
    assert (payment.refunded, payment.refunds) == (money("0.00 USD"), (canceled,))

    again = await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key="restore again")
    assert again.status is RefundStatus.SUCCEEDED


async def test_what_was_never_restored_is_not_taken_back(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, SPLIT, email=EMAIL, balances={"GC-1": money("2.50 USD")})

    assert await order_book.take_back_balance("O-1", "T-gift", key="undo", undoes="restore") is None

    assert await books.balance(database, "GC-1") == money("2.50 USD")


async def test_a_balance_that_was_spent_is_not_taken_back(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, SPLIT, email=EMAIL)
    await order_book.restore_balance("O-1", "T-gift", money("10.00 USD"), key="restore")
    await books.spend_balance(database, "GC-1", money("0.01 USD"), key="purchase")

    with pytest.raises(Refused, match="has been spent") as no:
        await order_book.take_back_balance("O-1", "T-gift", key="undo", undoes="restore")

    assert no.value.code is ErrorCode.REFUND_NOT_CANCELLABLE
    assert await books.balance(database, "GC-1") == money("9.99 USD")


async def test_the_database_itself_refuses_a_negative_balance(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, SPLIT, email=EMAIL, balances={"GC-1": money("2.50 USD")})

    with pytest.raises(IntegrityError):
        await books.spend_balance(database, "GC-1", money("2.51 USD"), key="purchase")

    assert await books.balance(database, "GC-1") == money("2.50 USD")


async def test_a_credit_note_is_issued_once_and_settled_as_the_money_arrives(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B22, I4: the note at once, each settlement once, whatever is sent again."""
    opened = await held(order_book, database)
    gift = CreditedTender(
        tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="SV-000001", settled=True
    )
    pending = credit(opened, gift, by_card("42.35 USD", "re_1", settled=False), tax=money("8.36 USD"))
    settled = credit(opened, gift, by_card("42.35 USD", "re_1"), tax=money("8.36 USD"))
    started = [NewNotice(kind=NoticeKind.REFUND_STARTED, amount=money("52.35 USD"))]

    notes = [await order_book.credit(pending, started, key="credit") for _ in range(2)]
    before = await balances_by_account(database)
    notes += [await order_book.credit(settled, [], key=key) for key in ("credit", "credit later", "credit later")]

    assert {(note.number, note.total) for note in notes} == {("CN-000001", money("52.35 USD"))}
    assert before[Account.REFUNDS_PAYABLE] == 4235  # still owed to the customer
    assert [(t.debit, t.credit, t.amount.amount, t.reference) for t in await books.ledger(database)] == [
        (Account.SALES_RETURNS, Account.REFUNDS_PAYABLE, 4399, "CN-000001"),
        (Account.TAX_PAYABLE, Account.REFUNDS_PAYABLE, 836, "CN-000001"),
        (Account.REFUNDS_PAYABLE, Account.GIFT_CARD_LIABILITY, 1000, "SV-000001"),
        (Account.REFUNDS_PAYABLE, Account.GATEWAY_CLEARING, 4235, "re_1"),
    ]
    after = await balances_by_account(database)
    assert after[Account.REFUNDS_PAYABLE] == 0
    assert sum(after.values()) == 0
    assert len(await books.notices(database)) == 1


async def test_what_a_person_paid_outside_has_an_account_of_its_own(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """One bank transfer may stand for two tenders."""
    opened = await held(order_book, database)
    by_hand = by_card("42.35 USD", "bank transfer 7").model_copy(update={"by_hand": True})
    gift = by_hand.model_copy(update={"tender_id": "T-gift", "kind": TenderKind.GIFT_CARD, "amount": money("1.00 USD")})

    for _ in range(2):
        await order_book.credit(credit(opened, by_hand, gift), [], key="credit")

    accounts = await balances_by_account(database)
    assert accounts == {Account.SALES_RETURNS: -4335, Account.REFUNDS_PAYABLE: 0, Account.MANUAL_CLEARING: 4335}


async def test_a_credit_note_is_not_changed(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    opened = await held(order_book, database)
    await order_book.credit(credit(opened, by_card("42.35 USD", "re_1")), [], key="credit")

    with pytest.raises(Refused, match=r"CN-000001 of order O-1 is over 42\.35 USD") as no:
        await order_book.credit(credit(opened, by_card("42.36 USD", "re_2")), [], key="credit again")

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert {transfer.reference for transfer in await books.ledger(database)} == {"CN-000001", "re_1"}


async def test_a_refund_is_posted_for_one_cancellation_only(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I4: one transfer per provider reference, for ever. What was refused leaves no gap in the numbers."""
    first, second = await held(order_book, database, 1), await held(order_book, database, 2)
    await order_book.credit(credit(first, by_card("42.35 USD", "re_1")), [], key="credit 1")

    with pytest.raises(Refused, match="re_1 is in the ledger already"):
        await order_book.credit(credit(second, by_card("42.35 USD", "re_1")), [], key="credit 2")
    note = await order_book.credit(credit(second, by_card("42.35 USD", "re_2")), [], key="credit 2")

    assert note.number == "CN-000002"


async def test_nothing_is_no_credit_note(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    opened = await held(order_book, database)

    with pytest.raises(ValueError, match="more than zero"):
        await order_book.credit(credit(opened, by_card("0.00 USD", "re_1")), [], key="credit")

    assert await books.documents(database) == []


async def test_numbers_have_no_gaps_when_many_are_issued_at_once(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """Twenty notes, each sent twice at the same time."""
    opened = [await held(order_book, database, number) for number in range(20)]

    notes = await asyncio.gather(
        *(
            order_book.credit(credit(one, by_card("1.00 USD", f"re_{n}")), [], key=f"credit {n}")
            for n, one in enumerate(opened)
            for _ in range(2)
        )
    )

    numbers = [f"CN-{number:06d}" for number in range(1, 21)]
    assert sorted({note.number for note in notes}) == numbers
    assert [document.number for document in await books.documents(database)] == numbers


@pytest.mark.parametrize(("currency", "net", "tax"), [("JPY", 8999, 900), ("KWD", 11757, 588), ("USD", 4399, 836)])
async def test_the_ledger_keeps_the_minor_units_of_each_currency(
    order_book: SqlOrderBook, database: AsyncEngine, currency: str, net: int, tax: int
) -> None:
    """B30: 9899 yen, 12.345 dinar, 52.35 dollars, exactly, in every document and transfer."""
    opened = await held(order_book, database)
    total = Money(amount=net + tax, currency=currency)
    tender = by_card("1 USD", "re_1").model_copy(update={"amount": total})

    await order_book.credit(credit(opened, tender, tax=Money(amount=tax, currency=currency)), [], key="credit")

    assert [document.total for document in await books.documents(database)] == [total]
    assert [t.amount for t in await books.ledger(database)] == [
        Money(amount=amount, currency=currency) for amount in (net, tax, net + tax)
    ]


async def test_a_credit_is_revoked_by_contra_transfers_and_a_debit_note(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """I4, I9: nothing is deleted, everything adds up to zero, once."""
    opened = await held(order_book, database)
    given = credit(opened, by_card("42.35 USD", "re_1"), tax=money("6.76 USD"))
    await order_book.credit(given, [], key="credit")

    numbers = [await order_book.revoke_credit(opened.cancellation_id, key=key) for key in ("revoke", "revoke", "n2")]

    assert numbers == ["DN-000001", "DN-000001", "DN-000001"]
    assert [(d.number, d.total) for d in await books.documents(database)] == [
        ("CN-000001", money("42.35 USD")),
        ("DN-000001", money("42.35 USD")),
    ]
    assert len(await books.ledger(database)) == 6
    assert set((await balances_by_account(database)).values()) == {0}
    with pytest.raises(Refused, match="taken back by debit note DN-000001"):
        await order_book.credit(given, [], key="credit")


async def test_without_a_credit_note_there_is_nothing_to_revoke(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    opened = await held(order_book, database)

    assert await order_book.revoke_credit(opened.cancellation_id, key="revoke") is None
    assert await order_book.revoke_credit("can-404", key="revoke") is None

    assert await books.documents(database) == []
    assert await books.ledger(database) == []


@pytest.mark.parametrize("table", ["ledger_transfers", "documents", "effects", "stored_value_entries"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
async def test_the_books_only_grow(order_book: SqlOrderBook, database: AsyncEngine, table: str, change: str) -> None:
    """I4: whoever writes to the database, what was recorded stays."""
    await books.add_order(database, SPLIT, email=EMAIL, balances={"GC-1": money("2.50 USD")})
    opened = record(SPLIT)
    await order_book.hold_order(opened, [], key="hold")
    await order_book.credit(credit(opened, by_card("42.35 USD", "re_1")), [], key="credit")
    column = "number" if table == "documents" else "key"

    with pytest.raises(IntegrityError, match=f"{table} is append-only"):
        async with database.begin() as connection:
            await connection.execute(text(change.format(table, column, column)))
