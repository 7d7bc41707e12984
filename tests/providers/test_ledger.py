"""Documents and the ledger. On SQLite and PostgreSQL."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import Credited, Entry
from domain.holder import NotTheHolder
from domain.keys import EffectKey
from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.step import StepName
from providers.books.tables import LedgerAccount as Account
from providers.ledger.port import CreditedTender
from providers.outbox.port import NewNotice, NoticeKind
from sandbox import books, built_in
from tests.providers.merchant import (
    CARD,
    OTHER_RUN,
    RUN,
    Cancellation,
    Merchant,
    by_card,
    cancellation,
    credit,
    order,
    parcel,
)

EMAIL = "customer@example.test"
GIFT_CARD = Tender(tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="GC-1")


async def held(merchant: Merchant, database: AsyncEngine, number: int = 1) -> Cancellation:
    placed = order(f"O-{number}")
    await built_in.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed)
    await merchant.hold(opened)
    return opened


def credit_key(opened: Cancellation, n: int = 1) -> EffectKey:
    return opened.key(StepName.CREDIT_REFUND, n=n)


def revoke_key(opened: Cancellation, n: int = 1) -> EffectKey:
    return opened.key(StepName.REVOKE_REFUND, n=n)


async def balances_by_account(database: AsyncEngine) -> dict[Account, int]:
    """Credits minus debits."""
    accounts: defaultdict[Account, int] = defaultdict(int)
    for transfer in await books.ledger(database):
        accounts[transfer.debit] -= transfer.amount.amount
        accounts[transfer.credit] += transfer.amount.amount
    return dict(accounts)


def credited(entries: Iterable[Entry]) -> tuple[str, Money]:
    """The number and the total of the credit note."""
    found = Case(entries).credited
    assert found is not None
    assert found.number is not None
    return found.number, found.total


async def test_a_credit_note_is_issued_once_and_settled_as_the_money_arrives(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """B22, I4: the note at once, each settlement once, whatever is sent again."""
    opened = await held(merchant, database)
    gift = CreditedTender(
        tender_id="T-gift", kind=TenderKind.GIFT_CARD, amount=money("10.00 USD"), reference="SV-000001", settled=True
    )
    pending = credit(opened, gift, by_card("42.35 USD", "re_1", settled=False), tax=money("8.36 USD"))
    settled = credit(opened, gift, by_card("42.35 USD", "re_1"), tax=money("8.36 USD"))
    started = [NewNotice(kind=NoticeKind.REFUND_STARTED, amount=money("52.35 USD"))]

    key = credit_key(opened)
    notes = [await merchant.books.credit(pending, started, key=key, run=RUN) for _ in range(2)]
    before = await balances_by_account(database)
    notes += [await merchant.books.credit(settled, [], key=credit_key(opened, n), run=RUN) for n in (1, 2, 2)]

    assert {credited(note) for note in notes} == {("CN-000001", money("52.35 USD"))}
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


async def test_what_a_person_paid_outside_has_an_account_of_its_own(merchant: Merchant, database: AsyncEngine) -> None:
    """One bank transfer may stand for two tenders."""
    opened = await held(merchant, database)
    outside = by_card("42.35 USD", "bank transfer 7").model_copy(update={"by_hand": True})
    gift = outside.model_copy(update={"tender_id": "T-gift", "kind": TenderKind.GIFT_CARD, "amount": money("1.00 USD")})

    for _ in range(2):
        await merchant.books.credit(credit(opened, outside, gift), [], key=credit_key(opened), run=RUN)

    accounts = await balances_by_account(database)
    assert accounts == {Account.SALES_RETURNS: -4335, Account.REFUNDS_PAYABLE: 0, Account.MANUAL_CLEARING: 4335}


async def test_a_credit_note_is_not_changed(merchant: Merchant, database: AsyncEngine) -> None:
    opened = await held(merchant, database)
    await merchant.books.credit(credit(opened, by_card("42.35 USD", "re_1")), [], key=credit_key(opened), run=RUN)

    with pytest.raises(Refused, match=r"CN-000001 of order O-1 is over 42\.35 USD") as no:
        await merchant.books.credit(
            credit(opened, by_card("42.36 USD", "re_2")), [], key=credit_key(opened, 2), run=RUN
        )

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert {transfer.reference for transfer in await books.ledger(database)} == {"CN-000001", "re_1"}


async def test_a_refund_is_posted_for_one_cancellation_only(merchant: Merchant, database: AsyncEngine) -> None:
    """I4: one transfer per provider reference, for ever. What was refused leaves no gap in the numbers."""
    first, second = await held(merchant, database, 1), await held(merchant, database, 2)
    await merchant.books.credit(credit(first, by_card("42.35 USD", "re_1")), [], key=credit_key(first), run=RUN)

    with pytest.raises(Refused, match="re_1 is in the ledger already"):
        await merchant.books.credit(credit(second, by_card("42.35 USD", "re_1")), [], key=credit_key(second), run=RUN)
    note = await merchant.books.credit(
        credit(second, by_card("42.35 USD", "re_2")), [], key=credit_key(second), run=RUN
    )

    assert Case(note).credit_note == "CN-000002"


async def test_nothing_is_no_credit_note(merchant: Merchant, database: AsyncEngine) -> None:
    opened = await held(merchant, database)

    with pytest.raises(ValueError, match="more than zero"):
        await merchant.books.credit(credit(opened, by_card("0.00 USD", "re_1")), [], key=credit_key(opened), run=RUN)

    assert await books.documents(database) == []


async def test_numbers_have_no_gaps_when_many_are_issued_at_once(merchant: Merchant, database: AsyncEngine) -> None:
    """Twenty notes, each sent twice at the same time."""
    opened = [await held(merchant, database, number) for number in range(20)]

    notes = await asyncio.gather(
        *(
            merchant.books.credit(
                credit(cancelled, by_card("1.00 USD", f"re_{n}")), [], key=credit_key(cancelled), run=RUN
            )
            for n, cancelled in enumerate(opened)
            for _ in range(2)
        )
    )

    numbers = [f"CN-{number:06d}" for number in range(1, 21)]
    assert sorted({credited(note)[0] for note in notes}) == numbers
    assert [document.number for document in await books.documents(database)] == numbers


@pytest.mark.parametrize(("currency", "net", "tax"), [("JPY", 8999, 900), ("KWD", 11757, 588), ("USD", 4399, 836)])
async def test_the_ledger_keeps_the_minor_units_of_each_currency(
    merchant: Merchant, database: AsyncEngine, currency: str, net: int, tax: int
) -> None:
    """B30: 9899 yen, 12.345 dinar, 52.35 dollars, exactly, in every document and transfer."""
    opened = await held(merchant, database)
    total = Money(amount=net + tax, currency=currency)
    tender = by_card("1 USD", "re_1").model_copy(update={"amount": total})

    await merchant.books.credit(
        credit(opened, tender, tax=Money(amount=tax, currency=currency)), [], key=credit_key(opened), run=RUN
    )

    assert [document.total for document in await books.documents(database)] == [total]
    assert [t.amount for t in await books.ledger(database)] == [
        Money(amount=amount, currency=currency) for amount in (net, tax, net + tax)
    ]


async def test_the_credit_is_in_the_facts(merchant: Merchant, database: AsyncEngine) -> None:
    opened = await held(merchant, database)
    given = credit(opened, by_card("42.35 USD", "re_1"))

    for n in (1, 1, 2):
        await merchant.books.credit(given, [], key=credit_key(opened, n), run=RUN)

    case = Case(await books.facts(database, "O-1"))
    credited = [entry.fact for entry in case.entries if isinstance(entry.fact, Credited)]
    assert credited == [Credited(number="CN-000001", total=money("42.35 USD"))]
    assert case.past_pivot
    with pytest.raises(NotTheHolder):
        await merchant.books.credit(given, [], key=credit_key(opened), run=OTHER_RUN)


async def test_where_no_money_was_taken_nothing_is_credited(merchant: Merchant, database: AsyncEngine) -> None:
    """B1"""
    opened = await held(merchant, database)

    for _ in range(2):
        await merchant.books.skip_credit("USD", key=credit_key(opened), run=RUN)

    case = Case(await books.facts(database, "O-1"))
    credited = [entry.fact for entry in case.entries if isinstance(entry.fact, Credited)]
    assert credited == [Credited(number=None, total=money("0.00 USD"))]
    assert case.is_done(StepName.CREDIT_REFUND, "O-1")
    assert await books.documents(database) == []


async def test_without_a_credit_note_there_is_nothing_to_revoke(merchant: Merchant, database: AsyncEngine) -> None:
    opened = await held(merchant, database)

    for _ in range(2):
        case = Case(await merchant.books.revoke_credit(key=revoke_key(opened), run=RUN))

    assert (case.credit_revoked, case.is_done(StepName.REVOKE_REFUND, "O-1")) == (False, True)
    assert case.entries == (await merchant.case(opened)).entries

    assert await books.documents(database) == []
    assert await books.ledger(database) == []
    assert await books.payable(database, opened.cancellation_id) is None


@pytest.mark.parametrize("table", ["facts", "ledger_transfers", "documents", "effects", "stored_value_entries"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
async def test_the_books_only_grow(merchant: Merchant, database: AsyncEngine, table: str, change: str) -> None:
    """I4: whoever writes to the database, what was recorded stays."""
    split = order(tenders=(GIFT_CARD, CARD), shipments=(parcel("S1", 3),))
    await built_in.add_order(database, split, email=EMAIL, balances={"GC-1": money("2.50 USD")})
    opened = cancellation(split)
    await merchant.hold(opened)
    await merchant.orders.withdraw_pick("O-1", "S1", key=opened.key(StepName.STOP_SHIPMENT, "S1"))
    await merchant.books.credit(credit(opened, by_card("42.35 USD", "re_1")), [], key=credit_key(opened), run=RUN)
    column = {"documents": "number", "facts": "kind"}.get(table, "key")

    with pytest.raises(IntegrityError, match=f"{table} is append-only"):
        async with database.begin() as connection:
            await connection.execute(text(change.format(table, column, column)))
