"""The ledger's transfers. They only grow: what was wrong is taken back by contra transfers.

What we owe the customer is on `refunds_payable` and is never negative. What the customer got beyond it, because it was paid
twice or because the credit note was taken back, is on `customer_receivable` until it is collected or has failed after all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, case, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import NothingDue, SettledByHand
from domain.money import Money
from domain.order import TenderKind
from domain.step import MONEY_STEPS, StepName
from providers.books.clock import now
from providers.books.tables import DocumentRow, LedgerAccount, TransferRow
from providers.database.columns import table_of
from providers.ledger.port import CreditedTender

_PAYABLE, _RECEIVABLE = LedgerAccount.REFUNDS_PAYABLE, LedgerAccount.CUSTOMER_RECEIVABLE
_SETTLED_FROM = {
    TenderKind.CARD: LedgerAccount.GATEWAY_CLEARING,
    TenderKind.GIFT_CARD: LedgerAccount.GIFT_CARD_LIABILITY,
    TenderKind.STORE_CREDIT: LedgerAccount.STORE_CREDIT_LIABILITY,
    TenderKind.MARKETPLACE: LedgerAccount.MARKETPLACE_CLEARING,
}
_COLLECTED_BY = {StepName.CHECK_REFUND, StepName.RESTORE_PAYMENT}
_BEYOND = "/beyond"
"""Ends the key of the second part, where a transfer is split between the two accounts."""


_TRANSFERS = table_of(TransferRow)
_INSERT = insert(_TRANSFERS)
_POSTED = (
    select(_TRANSFERS)
    .where(_TRANSFERS.c.key.in_((bindparam("first"), bindparam("second"))))
    .order_by(_TRANSFERS.c.transfer_id)
)
_OF_ACCOUNT = bindparam("account", type_=_TRANSFERS.c.credit_account.type)
_BALANCE = select(
    func.coalesce(
        func.sum(case((_TRANSFERS.c.credit_account == _OF_ACCOUNT, _TRANSFERS.c.amount), else_=-_TRANSFERS.c.amount)), 0
    )
).where(
    _TRANSFERS.c.cancellation_id == bindparam("cancellation"),
    or_(_TRANSFERS.c.credit_account == _OF_ACCOUNT, _TRANSFERS.c.debit_account == _OF_ACCOUNT),
)


@dataclass(frozen=True)
class _Part:
    debit: LedgerAccount
    credit: LedgerAccount
    amount: int


async def payable(session: AsyncSession, cancellation_id: str, currency: str) -> Money:
    """What we still owe the customer."""
    return Money(amount=await _balance(session, cancellation_id, _PAYABLE), currency=currency)


# Rule: A credit note has the next number, and its transfers balance [its transfers]
async def post_credit(session: AsyncSession, note: DocumentRow) -> None:
    for name, amount, account in _parts_of(note):
        part = _Part(account, _PAYABLE, amount)
        await _post(session, note.cancellation_id, note.number, note.currency, f"{note.number}/{name}", part)


async def post_contra(session: AsyncSession, note: DocumentRow, debit_note: DocumentRow) -> None:
    """The credit note is taken back. What has been paid out stands, and the customer owes it from now on."""
    unpaid = await _balance(session, note.cancellation_id, _PAYABLE)
    for name, amount, account in _parts_of(note):
        owed = min(amount, unpaid)
        unpaid -= owed
        parts = [_Part(_PAYABLE, account, owed), _Part(_RECEIVABLE, account, amount - owed)]
        number = debit_note.number
        await _post(session, note.cancellation_id, number, note.currency, f"{number}/{name}", *parts)


# Rule: What has gone to the customer is posted; beyond the credit, it is owed to us
async def settle(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    """Money has gone to the customer, once for its reference."""
    if tender.by_bank:
        await _settle_by_bank(session, cancellation_id, tender)
        return
    key, amount = _settlement_key(cancellation_id, tender), tender.amount.amount
    if not amount:
        return
    posted = await _posted(session, key)
    if not posted:
        account = LedgerAccount.MANUAL_CLEARING if tender.by_hand is not None else _SETTLED_FROM[tender.kind]
        await _pay_out(session, cancellation_id, tender.reference, tender.amount, key=key, by=account)
    elif (posted[0].cancellation_id, sum(part.amount for part in posted), posted[0].currency) != (
        cancellation_id,
        amount,
        tender.amount.currency,
    ):
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"Refund {tender.reference} is in the ledger already with another amount or for another cancellation "
            f"({posted[0].cancellation_id}). Compare the two and correct by hand.",
        )


# Rule: What the bank has given back is posted by each cancellation, by its own part [the transfer]
async def _settle_by_bank(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    """What the bank has given, by one dispute for several cancellations perhaps, each of which posts its part. The part
    changes: a person may name the dispute as their own payment, or declare it not due. The difference is posted then."""
    key, account = (
        f"settled/{cancellation_id}/{tender.tender_id}/by_bank/{tender.reference}",
        _SETTLED_FROM[tender.kind],
    )
    found = await session.scalars(select(TransferRow).where(TransferRow.key.startswith(f"{key}/", autoescape=True)))
    posted = found.all()
    given = sum(row.amount if row.credit_account == account else -row.amount for row in posted)
    change = Money(amount=abs(tender.amount.amount - given), currency=tender.amount.currency)
    key = f"{key}/{len(posted) + 1}"
    if tender.amount.amount > given:
        await _pay_out(session, cancellation_id, tender.reference, change, key=key, by=account)
    else:
        await _take_back(session, cancellation_id, tender.reference, change, key=key, to=account)


# Rule: A refund that fails after it had settled is owed again in the ledger
async def take_settlement_back(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    """A refund that had settled has failed or was canceled since, or what was booked as paid by hand was a refund. What
    others had refunded before was never posted; where it fails, the money is owed to the customer all the same."""
    if tender.taken:
        await _owe(session, cancellation_id, tender)
        return
    if tender.lapsed:
        key, account = _lapse_key(cancellation_id, tender), _SETTLED_FROM[tender.kind]
        if not await _posted(session, key):
            await _take_back(session, cancellation_id, tender.reference, tender.amount, key=key, to=account)
        return
    settlement = _settlement_key(cancellation_id, tender)
    settled = await _posted(session, settlement)
    key = settlement.replace("settled/", "failed/", 1) if tender.by_hand is None else f"failed/{settlement}"
    if settled and not await _posted(session, key):
        amount = Money(amount=sum(part.amount for part in settled), currency=settled[0].currency)
        await _take_back(session, cancellation_id, tender.reference, amount, key=key, to=settled[0].credit_account)


# Rule: What was not to be captured, and is all the same, is owed [the transfer]
async def _owe(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    """It may become more, when more is captured: what is not posted yet is."""
    key, account = f"taken/{cancellation_id}/{tender.tender_id}", _SETTLED_FROM[tender.kind]
    found = await session.scalars(select(TransferRow).where(TransferRow.key.startswith(f"{key}/", autoescape=True)))
    posted = found.all()
    more = tender.amount - Money(amount=sum(row.amount for row in posted), currency=tender.amount.currency)
    if more.amount > 0:
        await _take_back(session, cancellation_id, tender.reference, more, key=f"{key}/{len(posted) + 1}", to=account)


# Rule: What has gone to the customer is posted; beyond the credit, it is owed to us [what was collected of it]
async def collect(session: AsyncSession, case: Case) -> None:
    """Post what people have collected from the customer, or given back of it, each once."""
    for entry in case.entries:
        fact = entry.fact
        if isinstance(fact, SettledByHand) and fact.step in _COLLECTED_BY and fact.amount:
            key = f"collected/{case.cancellation_id}/{fact.target}/{entry.seq}/{fact.reference}"
            if await _posted(session, key):
                continue
            account = LedgerAccount.MANUAL_CLEARING
            if fact.amount.amount > 0:
                await _take_back(session, case.cancellation_id, fact.reference, fact.amount, key=key, to=account)
            else:
                await _pay_out(session, case.cancellation_id, fact.reference, -fact.amount, key=key, by=account)


# Rule: What a person declares not due is taken off what is payable
async def waive(session: AsyncSession, case: Case, currency: str) -> None:
    """At the end of a cancellation, what is payable still: a person has declared it not due, under the number that they
    named."""
    facts = (entry.fact for entry in case.entries)
    steps = {*MONEY_STEPS, StepName.RESTORE_PAYMENT}
    waived = [fact for fact in facts if isinstance(fact, NothingDue) and fact.step in steps]
    if waived and (left := await _balance(session, case.cancellation_id, _PAYABLE)):
        key, part = (
            f"waived/{case.cancellation_id}/{case.last_seq}",
            _Part(_PAYABLE, LedgerAccount.REFUNDS_WAIVED, left),
        )
        await _post(session, case.cancellation_id, waived[-1].reference, currency, key, part)


async def settle_rolled_back(session: AsyncSession, case: Case) -> None:
    """What the customer has got although everything was undone. What others or the bank gave does not count, unless a person
    has collected it; and what failed of those of before is not the customer's, who has their order. What the bank has taken
    back is taken back, whoever has what was collected for it."""
    for reversal in case.reversals:
        counted = [
            r for r in reversal.refunds if r.key or reversal.is_named(r) or reversal.collected or reversal.has_lapsed(r)
        ]
        by_bank = [part for part in CreditedTender.of_bank(reversal) if reversal.collected or not part.amount]
        for tender in (*CreditedTender.of(reversal, counted), *by_bank):
            if tender.lapsed:
                await _undo_lapse(session, case.cancellation_id, tender)
            elif tender.failed:
                await take_settlement_back(session, case.cancellation_id, tender)
            else:
                await settle(session, case.cancellation_id, tender)


async def _undo_lapse(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    key, account = _lapse_key(cancellation_id, tender), _SETTLED_FROM[tender.kind]
    if await _posted(session, key) and not await _posted(session, f"{key}/undone"):
        await _pay_out(session, cancellation_id, tender.reference, tender.amount, key=f"{key}/undone", by=account)


def _lapse_key(cancellation_id: str, tender: CreditedTender) -> str:
    return f"lapsed/{cancellation_id}/{tender.reference}"


def _settlement_key(cancellation_id: str, tender: CreditedTender) -> str:
    """One settlement per provider reference for ever; a refund that is shared out has one for each part. A person's own
    reference may cover several payments (one bank transfer for all tenders, or for what failed later too), so it counts once
    for each time that they said so."""
    if tender.by_hand is not None:
        return f"settled/{cancellation_id}/{tender.tender_id}/by_hand/{tender.by_hand}/{tender.reference}"
    part = f"/{tender.part_for}" if tender.part_for else ""
    return f"settled/{tender.kind.value}/{tender.reference}{part}"


def _parts_of(note: DocumentRow) -> list[tuple[str, int, LedgerAccount]]:
    return [
        ("net", note.total - note.tax, LedgerAccount.SALES_RETURNS),
        ("tax", note.tax, LedgerAccount.TAX_PAYABLE),
    ]


async def _balance(session: AsyncSession, cancellation_id: str, account: LedgerAccount) -> int:
    """Credits less debits, for `customer_receivable` the other way round."""
    found = await session.scalar(_BALANCE, {"cancellation": cancellation_id, "account": account})
    balance = int(found or 0)
    return -balance if account is _RECEIVABLE else balance


async def _posted(session: AsyncSession, key: str) -> Sequence[Row[Any]]:
    """The transfer of this key, in its one or two parts."""
    return (await session.execute(_POSTED, {"first": key, "second": key + _BEYOND})).all()


async def _pay_out(
    session: AsyncSession, cancellation_id: str, reference: str, amount: Money, *, key: str, by: LedgerAccount
) -> None:
    """Money has gone to the customer. What we owe them is reduced first; the rest they owe us."""
    owed = min(amount.amount, await _balance(session, cancellation_id, _PAYABLE))
    parts = [_Part(_PAYABLE, by, owed), _Part(_RECEIVABLE, by, amount.amount - owed)]
    await _post(session, cancellation_id, reference, amount.currency, key, *parts)


async def _take_back(
    session: AsyncSession, cancellation_id: str, reference: str, amount: Money, *, key: str, to: LedgerAccount
) -> None:
    """Money has come back. What the customer had too much is reduced first; the rest is owed to them again."""
    too_much = min(amount.amount, max(await _balance(session, cancellation_id, _RECEIVABLE), 0))
    parts = [_Part(to, _PAYABLE, amount.amount - too_much), _Part(to, _RECEIVABLE, too_much)]
    await _post(session, cancellation_id, reference, amount.currency, key, *parts)


async def _post(
    session: AsyncSession, cancellation_id: str, reference: str, currency: str, key: str, *parts: _Part
) -> None:
    rows = [
        {
            "key": key + _BEYOND * number,
            "cancellation_id": cancellation_id,
            "debit_account": part.debit,
            "credit_account": part.credit,
            "amount": part.amount,
            "currency": currency,
            "reference": reference,
            "at": now(),
        }
        for number, part in enumerate(part for part in parts if part.amount)
    ]
    if rows:
        await session.execute(_INSERT, rows)
