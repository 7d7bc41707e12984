"""Money that the customer has got too much: in the ledger it is a receivable, and the payable is never negative."""

import random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import CreditRevoked, RollBackOrdered
from domain.money import Money, money
from domain.order import TenderKind
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.step import StepName
from providers.books.tables import LedgerAccount as Account
from providers.ledger.port import Credit, CreditedTender
from sandbox import books, built_in
from tests.providers.merchant import (
    RUN,
    STAFF,
    Cancellation,
    Merchant,
    by_card,
    by_hand,
    cancellation,
    credit,
    order,
    refunded,
)

ROLL_BACK = RollBackOrdered(sentence="Rolled back because the goods are gone.", by=STAFF)


async def held(merchant: Merchant, database: AsyncEngine) -> Cancellation:
    await built_in.add_order(database, order(), email="customer@example.test")
    one = cancellation(order())
    await merchant.hold(one)
    return one


def outside(amount: str, reference: str, fact: int = 1) -> CreditedTender:
    return by_card(amount, reference).model_copy(update={"by_hand": fact})


def failed(amount: str, reference: str) -> CreditedTender:
    return by_card(amount, reference, settled=False).model_copy(update={"failed": True})


async def issue(merchant: Merchant, one: Cancellation, *tenders: CreditedTender, total: str = "60.00 USD") -> Credit:
    given = credit(one, *tenders, tax=money("9.58 USD"), total=money(total))
    await merchant.books.credit(given, [], key=one.key(StepName.CREDIT_REFUND), run=RUN)
    return given


async def revoke(merchant: Merchant, one: Cancellation, n: int = 1) -> Case:
    """What the books have by then."""
    return Case(await merchant.books.revoke_credit(key=one.key(StepName.REVOKE_REFUND, n=n), run=RUN))


async def release(merchant: Merchant, one: Cancellation) -> None:
    await merchant.books.release([], key=one.key(StepName.RELEASE_ORDER), run=RUN)


async def accounts(database: AsyncEngine) -> dict[Account, int]:
    """What is not zero: what we owe, and what the money came out of, above zero; what is owed to us below."""
    found: dict[Account, int] = {}
    for transfer in await books.ledger(database):
        found[transfer.debit] = found.get(transfer.debit, 0) - transfer.amount.amount
        found[transfer.credit] = found.get(transfer.credit, 0) + transfer.amount.amount
        assert found.get(Account.REFUNDS_PAYABLE, 0) >= 0, f"the payable is negative after {transfer.key}"
    return {account: amount for account, amount in found.items() if amount}


async def test_a_credit_of_which_nothing_was_paid_is_revoked_to_nothing(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """I4, I9: by a debit note and contra transfers, once; nothing is deleted."""
    one = await held(merchant, database)
    given = await issue(merchant, one, by_card("60.00 USD", "re_1", settled=False))

    known = [await revoke(merchant, one, n) for n in (1, 1, 2)]

    assert [case.credit_revoked for case in known] == [True] * 3
    assert known[-1].entries == (await merchant.case(one)).entries
    assert [(d.number, d.total) for d in await books.documents(database)] == [
        ("CN-000001", money("60.00 USD")),
        ("DN-000001", money("60.00 USD")),
    ]
    assert len(await books.ledger(database)) == 4
    assert await accounts(database) == {}
    revoked = [e.fact for e in await books.facts(database, "O-1") if isinstance(e.fact, CreditRevoked)]
    assert revoked == [CreditRevoked(number="DN-000001")]
    with pytest.raises(Refused, match="taken back by debit note DN-000001") as no:
        await merchant.books.credit(given, [], key=one.key(StepName.CREDIT_REFUND), run=RUN)
    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT


@pytest.mark.parametrize(("paid", "receivable"), [("60.00 USD", 6000), ("52.00 USD", 5200), ("5.00 USD", 500)])
async def test_what_had_been_paid_is_owed_by_the_customer_after_the_revocation(
    merchant: Merchant, database: AsyncEngine, paid: str, receivable: int
) -> None:
    """M18: the transfer stands, because nobody got anything back."""
    one = await held(merchant, database)
    rest = money("60.00 USD") - money(paid)
    pending = [by_card(str(rest), "re_2", settled=False)] if rest else []
    await issue(merchant, one, outside(paid, "bank transfer 7"), *pending)

    await revoke(merchant, one)

    assert await accounts(database) == {Account.CUSTOMER_RECEIVABLE: -receivable, Account.MANUAL_CLEARING: receivable}
    assert await books.payable(database, one.cancellation_id) == money("0.00 USD")


async def test_two_payments_under_one_proof_are_both_posted_and_each_once(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """I4"""
    one = await held(merchant, database)
    for _ in range(2):
        await issue(merchant, one, outside("40.00 USD", "bank 1", 4), outside("20.00 USD", "bank 1", 7))
    posted = [t.amount for t in await books.ledger(database) if t.reference == "bank 1"]
    assert posted == [money("40.00 USD"), money("20.00 USD")]


def from_bank(amount: str, number: str = "dp_1") -> CreditedTender:
    return by_card(amount, number).model_copy(update={"by_bank": True})


async def test_what_the_bank_has_given_is_in_the_ledger_as_it_is_now(merchant: Merchant, database: AsyncEngine) -> None:
    """I4: posted each time, and each difference once: a second dispute is lost, and a person names the first."""
    one = await held(merchant, database)
    for first, second in (("40.00 USD", "0.00 USD"), ("40.00 USD", "20.00 USD"), ("0.00 USD", "20.00 USD")):
        for _ in range(2):
            await issue(merchant, one, by_card("60.00 USD", "re_1"), from_bank(first), from_bank(second, "dp_2"))
    posted = [(t.reference, t.amount, t.debit) for t in await books.ledger(database) if t.reference.startswith("dp")]
    assert posted == [
        ("dp_1", money("40.00 USD"), Account.CUSTOMER_RECEIVABLE),
        ("dp_2", money("20.00 USD"), Account.CUSTOMER_RECEIVABLE),
        ("dp_1", money("40.00 USD"), Account.GATEWAY_CLEARING),
    ]
    assert (await accounts(database))[Account.CUSTOMER_RECEIVABLE] == -2000


async def test_what_a_person_collects_is_posted_once_with_the_release(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M18: paid by hand, rolled back, collected by a person under their proof."""
    one = await held(merchant, database)
    await merchant.write(one, by_hand("60.00 USD", "bank transfer 7"))
    said = len(await books.facts(database, one.order_id))
    await issue(merchant, one, outside("60.00 USD", "bank transfer 7", said))
    collected = by_hand("60.00 USD", "bank statement 8", StepName.RESTORE_PAYMENT)
    await merchant.write(one, ROLL_BACK)
    await revoke(merchant, one)
    await merchant.write(one, collected)

    for _ in range(2):
        await release(merchant, one)

    assert await accounts(database) == {}
    [proof] = [t for t in await books.ledger(database) if t.reference == "bank statement 8"]
    assert (proof.debit, proof.credit) == (Account.MANUAL_CLEARING, Account.CUSTOMER_RECEIVABLE)
    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.ROLLED_BACK]


async def test_a_refund_that_was_never_credited_and_stays_with_the_customer_is_a_receivable(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """Rolled back before the credit note, with a refund that nobody could cancel; one that was canceled counts for nothing,
    and what somebody else had refunded is not ours."""
    one = await held(merchant, database)
    theirs = refunded("5.00 USD", "re_theirs")
    theirs = theirs.model_copy(update={"refund": theirs.refund.model_copy(update={"key": None})})
    canceled = refunded("20.00 USD", "re_2", RefundStatus.CANCELED)
    await merchant.write(one, refunded("40.00 USD", "re_1"), canceled, theirs, ROLL_BACK)

    await release(merchant, one)

    assert await accounts(database) == {Account.CUSTOMER_RECEIVABLE: -4000, Account.GATEWAY_CLEARING: 4000}


async def test_what_settles_although_it_was_paid_by_hand_is_a_receivable_until_it_is_collected(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M37, E23: in the books at once, and balanced when a person has collected it."""
    one = await held(merchant, database)
    await merchant.write(one, refunded("60.00 USD", "re_1", RefundStatus.PENDING), by_hand("60.00 USD", "bank 7"))
    twice = (outside("60.00 USD", "bank 7"), by_card("60.00 USD", "re_1"))
    await issue(merchant, one, *twice)
    assert await accounts(database) == {
        Account.SALES_RETURNS: -5042,
        Account.TAX_PAYABLE: -958,
        Account.CUSTOMER_RECEIVABLE: -6000,
        Account.MANUAL_CLEARING: 6000,
        Account.GATEWAY_CLEARING: 6000,
    }
    await merchant.close(one, by_hand("60.00 USD", "bank 8", StepName.CHECK_REFUND))

    given = credit(one, *twice, total=money("60.00 USD"))
    for _ in range(2):
        await merchant.end(one, given)

    assert await accounts(database) == {
        Account.SALES_RETURNS: -5042,
        Account.TAX_PAYABLE: -958,
        Account.GATEWAY_CLEARING: 6000,
    }
    assert len([t for t in await books.ledger(database) if t.reference == "bank 8"]) == 1


async def test_a_settlement_that_is_only_partly_owed_is_split(merchant: Merchant, database: AsyncEngine) -> None:
    """M17: and the same refund sent again is the same one; with another amount it is a conflict."""
    one = await held(merchant, database)
    await issue(merchant, one, outside("50.00 USD", "bank 7"), by_card("30.00 USD", "re_1"))

    await issue(merchant, one, outside("50.00 USD", "bank 7"), by_card("30.00 USD", "re_1"))

    about = [(t.debit, t.amount) for t in await books.ledger(database) if t.reference == "re_1"]
    assert about == [
        (Account.REFUNDS_PAYABLE, money("10.00 USD")),
        (Account.CUSTOMER_RECEIVABLE, money("20.00 USD")),
    ]
    with pytest.raises(Refused, match="re_1 is in the ledger already"):
        await issue(merchant, one, outside("50.00 USD", "bank 7"), by_card("31.00 USD", "re_1"))


async def test_a_refund_that_fails_after_it_was_replaced_takes_the_receivable_off(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """B23, M17: what is still owed is nothing, because the customer has it another way."""
    one = await held(merchant, database)
    await issue(merchant, one, by_card("60.00 USD", "re_1"), outside("60.00 USD", "bank 7"))

    for _ in range(2):
        await issue(merchant, one, failed("60.00 USD", "re_1"), outside("60.00 USD", "bank 7"))

    assert await accounts(database) == {
        Account.SALES_RETURNS: -5042,
        Account.TAX_PAYABLE: -958,
        Account.MANUAL_CLEARING: 6000,
    }


async def test_a_settlement_that_is_canceled_after_the_revocation_owes_nobody_anything(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """I9: a refund that could still be cancelled at the provider after it had been posted."""
    one = await held(merchant, database)
    await merchant.write(one, refunded("60.00 USD", "re_1"))
    await issue(merchant, one, by_card("60.00 USD", "re_1"))
    await merchant.write(one, ROLL_BACK)
    await revoke(merchant, one)
    await merchant.write(one, refunded("60.00 USD", "re_1", RefundStatus.CANCELED))

    await release(merchant, one)

    assert await accounts(database) == {}


async def test_a_credit_note_is_never_over_more_than_went_back(merchant: Merchant, database: AsyncEngine) -> None:
    one = await held(merchant, database)
    with pytest.raises(ValueError, match="what its tenders got back"):
        await issue(merchant, one, by_card("59.99 USD", "re_1"))
    assert await books.documents(database) == []


@pytest.mark.parametrize("seed", range(8))
async def test_the_payable_is_never_negative_whatever_comes_in_whichever_order(
    merchant: Merchant, database: AsyncEngine, seed: int
) -> None:
    """I4, M17: after each transfer; and what is payable less what is receivable is what was credited less what was given."""
    chance = random.Random(seed)
    one = await held(merchant, database)
    tenders: list[CreditedTender] = []
    revoked = False
    for n in range(12):
        amount = f"{chance.randint(1, 60)}.00 USD"
        what = chance.choice(["refund", "refund", "by hand", "store credit", "fails", "fails", "collected", "revoke"])
        match what:
            case "refund":
                tenders.append(by_card(amount, f"re_{n}", settled=chance.random() < 0.7))
            case "by hand":
                tenders.append(outside(amount, f"bank {n}"))
            case "store credit":
                kind = {"kind": TenderKind.STORE_CREDIT}
                tenders.append(by_card(amount, f"SV-{n}").model_copy(update=kind))
            case "fails" if tenders:
                at = chance.randrange(len(tenders))
                if not tenders[at].by_hand:
                    tenders[at] = tenders[at].model_copy(update={"failed": True, "settled": False})
            case "collected":
                await merchant.write(one, by_hand(amount, f"proof {n}", StepName.CHECK_REFUND))
            case _:
                pass
        given = Money.total((t.amount for t in tenders if not t.failed), "USD")
        if not await books.documents(database) and given > money("60.00 USD"):
            await issue(merchant, one, *tenders)
        elif await books.documents(database) and not revoked and given >= money("60.00 USD"):
            await issue(merchant, one, *tenders)
            if what == "revoke" and n > 8:
                await revoke(merchant, one)
                revoked = True
        await accounts(database)
    if not await books.documents(database):
        return
    await merchant.close(one)
    await merchant.end(one, None)
    found = await accounts(database)
    owed = found.get(Account.REFUNDS_PAYABLE, 0) + found.get(Account.CUSTOMER_RECEIVABLE, 0)
    out = (Account.GATEWAY_CLEARING, Account.STORE_CREDIT_LIABILITY, Account.MANUAL_CLEARING)
    assert owed == (0 if revoked else 6000) - sum(found.get(account, 0) for account in out)
    assert sum(found.values()) == 0
