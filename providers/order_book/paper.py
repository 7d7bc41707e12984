"""Documents and the ledger. Both only grow: what was wrong is taken back by another document and contra transfers."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ErrorCode, Refused
from domain.money import Money
from domain.order import TenderKind
from providers.order_book.effects import find_effect, record_effect
from providers.order_book.outbox import put_notices
from providers.order_book.port import Credit, CreditedTender, CreditNote, NewNotice
from providers.order_book.reading import lock_order, now
from providers.order_book.tables import (
    CancellationRow,
    DocumentCounterRow,
    DocumentKind,
    DocumentRow,
    EffectKind,
    LedgerAccount,
    TransferRow,
)

_PREFIX = {DocumentKind.CREDIT_NOTE: "CN", DocumentKind.DEBIT_NOTE: "DN"}
_SETTLED_FROM = {
    TenderKind.CARD: LedgerAccount.GATEWAY_CLEARING,
    TenderKind.GIFT_CARD: LedgerAccount.GIFT_CARD_LIABILITY,
    TenderKind.STORE_CREDIT: LedgerAccount.STORE_CREDIT_LIABILITY,
    TenderKind.MARKETPLACE: LedgerAccount.MARKETPLACE_CLEARING,
}


async def issue_credit(session: AsyncSession, credit: Credit, notices: Sequence[NewNotice], *, key: str) -> CreditNote:
    currency = credit.total.currency
    if credit.total.amount <= 0 or credit.total != Money.total(
        (tender.amount for tender in credit.tenders if not tender.failed), currency
    ):
        raise ValueError("a credit note is over the sum of its tenders, and over more than zero")
    await lock_order(session, credit.order_id)
    effect = await find_effect(session, key, EffectKind.CREDIT)
    note = await _document(session, credit.cancellation_id, DocumentKind.CREDIT_NOTE)
    if note is None:
        note = await _issue(
            session,
            DocumentKind.CREDIT_NOTE,
            cancellation_id=credit.cancellation_id,
            order_id=credit.order_id,
            total=credit.total,
            tax=credit.tax,
        )
        for part, amount, debit in (
            ("net", credit.total - credit.tax, LedgerAccount.SALES_RETURNS),
            ("tax", credit.tax, LedgerAccount.TAX_PAYABLE),
        ):
            if amount:
                session.add(
                    TransferRow(
                        key=f"{note.number}/{part}",
                        cancellation_id=credit.cancellation_id,
                        debit_account=debit,
                        credit_account=LedgerAccount.REFUNDS_PAYABLE,
                        amount=amount.amount,
                        currency=currency,
                        reference=note.number,
                        at=now(),
                    )
                )
    elif (note.total, note.tax, note.currency) != (credit.total.amount, credit.tax.amount, currency):
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"Credit note {note.number} of order {credit.order_id} is over "
            f"{Money(amount=note.total, currency=note.currency)}; {credit.total} cannot be credited under the same "
            "cancellation. Compare the refunds with the credit note and correct by hand.",
        )
    else:
        await _not_revoked(session, note)
    for tender in credit.tenders:
        if tender.failed:
            await take_settlement_back(session, credit.cancellation_id, tender)
        elif tender.settled and tender.amount:
            await _settle(session, credit.cancellation_id, tender)
    if effect is None:
        record_effect(
            session,
            key,
            EffectKind.CREDIT,
            order_id=credit.order_id,
            cancellation_id=credit.cancellation_id,
            reference=note.number,
        )
    await put_notices(session, credit.cancellation_id, credit.order_id, notices)
    return CreditNote(number=note.number, total=credit.total)


async def revoke_credit(session: AsyncSession, cancellation_id: str, *, key: str) -> str | None:
    order_id = await session.scalar(
        select(CancellationRow.order_id).where(CancellationRow.cancellation_id == cancellation_id)
    )
    if order_id is None:
        return None
    await lock_order(session, order_id)
    await find_effect(session, key, EffectKind.REVOKE_CREDIT)
    note = await _document(session, cancellation_id, DocumentKind.CREDIT_NOTE)
    if note is None:
        return None
    debit_note = await _document(session, cancellation_id, DocumentKind.DEBIT_NOTE)
    if debit_note is None:
        posted = (
            await session.scalars(select(TransferRow).where(TransferRow.cancellation_id == cancellation_id))
        ).all()
        total = Money(amount=note.total, currency=note.currency)
        tax = Money(amount=note.tax, currency=note.currency)
        debit_note = await _issue(
            session, DocumentKind.DEBIT_NOTE, cancellation_id=cancellation_id, order_id=order_id, total=total, tax=tax
        )
        for transfer in posted:
            session.add(
                TransferRow(
                    key=f"{debit_note.number}/{transfer.key}",
                    cancellation_id=cancellation_id,
                    debit_account=transfer.credit_account,
                    credit_account=transfer.debit_account,
                    amount=transfer.amount,
                    currency=transfer.currency,
                    reference=debit_note.number,
                    at=now(),
                )
            )
        record_effect(
            session,
            key,
            EffectKind.REVOKE_CREDIT,
            order_id=order_id,
            cancellation_id=cancellation_id,
            reference=debit_note.number,
        )
    return debit_note.number


def _settlement_key(cancellation_id: str, tender: CreditedTender) -> str:
    """One transfer per provider reference for ever. A person's own reference may cover several tenders (one bank transfer
    for all), so it counts once per tender."""
    if tender.by_hand:
        return f"settled/{cancellation_id}/{tender.tender_id}/by_hand/{tender.reference}"
    return f"settled/{tender.kind.value}/{tender.reference}"


async def take_settlement_back(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    """The contra transfer of a refund that had settled and failed afterwards: the customer is owed it again."""
    settled = await session.scalar(
        select(TransferRow).where(TransferRow.key == _settlement_key(cancellation_id, tender))
    )
    key = f"failed/{tender.kind.value}/{tender.reference}"
    if settled is None or await session.scalar(select(TransferRow).where(TransferRow.key == key)):
        return
    session.add(
        TransferRow(
            key=key,
            cancellation_id=cancellation_id,
            debit_account=settled.credit_account,
            credit_account=settled.debit_account,
            amount=settled.amount,
            currency=settled.currency,
            reference=tender.reference,
            at=now(),
        )
    )
    await session.flush()


async def _settle(session: AsyncSession, cancellation_id: str, tender: CreditedTender) -> None:
    key = _settlement_key(cancellation_id, tender)
    posted = await session.scalar(select(TransferRow).where(TransferRow.key == key))
    if posted is None:
        session.add(
            TransferRow(
                key=key,
                cancellation_id=cancellation_id,
                debit_account=LedgerAccount.REFUNDS_PAYABLE,
                credit_account=LedgerAccount.MANUAL_CLEARING if tender.by_hand else _SETTLED_FROM[tender.kind],
                amount=tender.amount.amount,
                currency=tender.amount.currency,
                reference=tender.reference,
                at=now(),
            )
        )
        await session.flush()
    elif (posted.cancellation_id, posted.amount, posted.currency) != (
        cancellation_id,
        tender.amount.amount,
        tender.amount.currency,
    ):
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"Refund {tender.reference} is in the ledger already with another amount or for another cancellation "
            f"({posted.cancellation_id}). Compare the two and correct by hand.",
        )


async def _not_revoked(session: AsyncSession, note: DocumentRow) -> None:
    debit_note = await _document(session, note.cancellation_id, DocumentKind.DEBIT_NOTE)
    if debit_note is not None:
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"Credit note {note.number} of order {note.order_id} was taken back by debit note {debit_note.number}; "
            "nothing more can be posted to it.",
        )


async def _document(session: AsyncSession, cancellation_id: str, kind: DocumentKind) -> DocumentRow | None:
    return await session.scalar(
        select(DocumentRow).where(DocumentRow.cancellation_id == cancellation_id, DocumentRow.kind == kind)
    )


async def _issue(
    session: AsyncSession, kind: DocumentKind, *, cancellation_id: str, order_id: str, total: Money, tax: Money
) -> DocumentRow:
    """The next number. The counter's row stays locked until the document is committed or given up together with it."""
    number = await session.scalar(
        update(DocumentCounterRow)
        .where(DocumentCounterRow.kind == kind)
        .values(last=DocumentCounterRow.last + 1)
        .returning(DocumentCounterRow.last)
    )
    document = DocumentRow(
        number=f"{_PREFIX[kind]}-{number:06d}",
        kind=kind,
        cancellation_id=cancellation_id,
        order_id=order_id,
        total=total.amount,
        tax=tax.amount,
        currency=total.currency,
        issued_at=now(),
    )
    session.add(document)
    await session.flush()
    return document
