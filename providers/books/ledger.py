"""The ledger: credit notes and debit notes with gapless numbers. What was wrong is taken back by another document."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ErrorCode, Refused
from domain.facts import Credited, CreditRevoked, Entry, Run
from domain.keys import EffectKey
from domain.money import Money
from providers.books.adapter import SqlAdapter
from providers.books.clock import now
from providers.books.outbox import put_notices
from providers.books.tables import DocumentCounterRow, DocumentKind, DocumentRow
from providers.books.transfers import post_contra, post_credit, settle, take_settlement_back
from providers.books.writing import append, case_of, effect_facts, lock
from providers.database.columns import table_of
from providers.database.engine import transaction
from providers.ledger.port import Credit
from providers.outbox.port import NewNotice

_Documents = Mapping[DocumentKind, DocumentRow]

_FIND = select(DocumentRow).where(DocumentRow.cancellation_id == bindparam("cancellation"))
_COUNTERS = table_of(DocumentCounterRow)
_COUNT = (
    update(_COUNTERS)
    .where(_COUNTERS.c.kind == bindparam("counted"))
    .values(last=_COUNTERS.c.last + 1)
    .returning(_COUNTERS.c.last)
)
_PREFIX = {DocumentKind.CREDIT_NOTE: "CN", DocumentKind.DEBIT_NOTE: "DN"}


class SqlLedger(SqlAdapter):
    """See providers/ledger/port.py for what it promises."""

    # Rule: A credit note has the next number, and its transfers balance
    async def credit(
        self, credit: Credit, notices: Sequence[NewNotice], *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            currency = credit.total.currency
            given = Money.total((tender.amount for tender in credit.tenders if not tender.failed), currency)
            if credit.total.amount <= 0 or credit.total > given:
                # Less than the sum: what the customer has got twice is credited once.
                raise ValueError("a credit note is for what its tenders got back, and for more than zero")
            row = await lock(session, key.cancellation_id, run)
            case = await case_of(session, key.cancellation_id)
            documents = await _documents(session, credit.cancellation_id)
            note = documents.get(DocumentKind.CREDIT_NOTE)
            if note is None:
                note = await _issue(
                    session,
                    DocumentKind.CREDIT_NOTE,
                    cancellation_id=credit.cancellation_id,
                    order_id=credit.order_id,
                    total=credit.total,
                    tax=credit.tax,
                )
                await post_credit(session, note)
            elif (note.total, note.tax, note.currency) != (credit.total.amount, credit.tax.amount, currency):
                raise Refused(
                    ErrorCode.IDEMPOTENCY_CONFLICT,
                    f"Credit note {note.number} of order {credit.order_id} is over "
                    f"{Money(amount=note.total, currency=note.currency)}; {credit.total} cannot be credited under the same "
                    "cancellation. Compare the refunds with the credit note and correct by hand.",
                )
            await _post_settlements(session, credit, documents)
            if case.outcome_of(key) is None:
                more = [] if case.credit_note == note.number else [Credited(number=note.number, total=credit.total)]
                facts = effect_facts(case, key, more, amount=credit.total, reference=note.number)
                case.add(*await append(session, row, facts))
            await put_notices(session, credit.cancellation_id, credit.order_id, notices)
            return case.entries

    async def skip_credit(self, currency: str, *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await lock(session, key.cancellation_id, run)
            case = await case_of(session, key.cancellation_id)
            if case.credited is None:
                nothing = Credited(number=None, total=Money.zero(currency))
                case.add(*await append(session, row, effect_facts(case, key, [nothing])))
            return case.entries

    # Rule: A credit is revoked by contra transfers and a debit note
    async def revoke_credit(self, *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await lock(session, key.cancellation_id, run)
            case = await case_of(session, key.cancellation_id)
            if case.outcome_of(key) is not None:
                return case.entries
            documents = await _documents(session, key.cancellation_id)
            note, debit_note = documents.get(DocumentKind.CREDIT_NOTE), documents.get(DocumentKind.DEBIT_NOTE)
            if note is None:
                nothing = effect_facts(case, key, detail="nothing was credited")
                return (*case.entries, *await append(session, row, nothing))
            if debit_note is None:
                debit_note = await _issue(
                    session,
                    DocumentKind.DEBIT_NOTE,
                    cancellation_id=key.cancellation_id,
                    order_id=row.order_id,
                    total=Money(amount=note.total, currency=note.currency),
                    tax=Money(amount=note.tax, currency=note.currency),
                )
                await post_contra(session, note, debit_note)
            number = debit_note.number
            more = [] if case.credit_revoked else [CreditRevoked(number=number)]
            return (*case.entries, *await append(session, row, effect_facts(case, key, more, reference=number)))


async def post_settlements(session: AsyncSession, credit: Credit) -> None:
    """The money of a credit as it arrives, and what has failed of it. Refused once the credit note is taken back."""
    await _post_settlements(session, credit, await _documents(session, credit.cancellation_id))


async def _post_settlements(session: AsyncSession, credit: Credit, documents: _Documents) -> None:
    debit_note = documents.get(DocumentKind.DEBIT_NOTE)
    if debit_note is not None:
        raise Refused(
            ErrorCode.IDEMPOTENCY_CONFLICT,
            f"The credit note of order {credit.order_id} was taken back by debit note {debit_note.number}; nothing more can "
            "be posted to it.",
        )
    for tender in credit.tenders:
        if tender.failed:
            await take_settlement_back(session, credit.cancellation_id, tender)
        elif tender.settled:
            await settle(session, credit.cancellation_id, tender)


async def _documents(session: AsyncSession, cancellation_id: str) -> _Documents:
    found = await session.scalars(_FIND, {"cancellation": cancellation_id})
    return {document.kind: document for document in found}


async def _issue(
    session: AsyncSession, kind: DocumentKind, *, cancellation_id: str, order_id: str, total: Money, tax: Money
) -> DocumentRow:
    """The next number. The counter's row stays locked until the document is committed or given up together with it."""
    number = await session.scalar(_COUNT, {"counted": kind})
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
