"""Adding to the register within a transaction: what happens in the books themselves is noted and ended together with it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.case import Case
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import (
    Decided,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Ended,
    Entry,
    Fact,
    HolderSet,
    Joined,
    OrderClosed,
    Reopened,
    Requested,
    RollBackOrdered,
    Run,
)
from domain.holder import NotTheHolder, check_holder
from domain.keys import EffectKey, cancellation_id
from domain.money import Money
from domain.order import Order
from domain.outcome import Outcome
from domain.permissions import may_be_closed
from providers.books.clock import now
from providers.books.outbox import wake_deferred
from providers.books.tables import CancellationRow, FactRow, VerificationRow
from providers.database.columns import table_of

_CANCELLATIONS = table_of(CancellationRow)
_FACTS = table_of(FactRow)
_BY_ID = _CANCELLATIONS.c.cancellation_id == bindparam("id")

_ROW = select(*(column for column in _CANCELLATIONS.c if column.name != "first_read"))
_FIND = _ROW.where(_BY_ID).with_for_update()
_FIND_OPEN = _ROW.where(
    _CANCELLATIONS.c.order_id == bindparam("order"), _CANCELLATIONS.c.closed_at.is_(None)
).with_for_update()
_VERIFICATIONS = table_of(VerificationRow)
_FIND_VERIFICATION = select(_VERIFICATIONS).where(_VERIFICATIONS.c.order_id == bindparam("order")).with_for_update()
_UPDATE = update(_CANCELLATIONS).where(_BY_ID)
_INSERT, _INSERT_FACTS = insert(_CANCELLATIONS), insert(_FACTS)
_ENTRIES = (
    select(_FACTS.c.content)
    .where(_FACTS.c.cancellation_id == bindparam("id"), _FACTS.c.seq > bindparam("after"))
    .order_by(_FACTS.c.seq)
)


@dataclass
class LockedRow:
    """A cancellation's row, locked until the transaction ends. It is kept up to date by whatever writes it."""

    cancellation_id: str
    order_id: str
    holder_namespace: str
    holder_run: str
    facts: int
    quiet_after: datetime
    opened_at: datetime
    overtaken_until: datetime | None = None
    close_in_flight: datetime | None = None
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    customer_id: str | None = None

    @property
    def holder(self) -> Run:
        return Run(namespace=self.holder_namespace, run_id=self.holder_run)

    @property
    def ended(self) -> bool:
        return self.closed_at is not None


async def find_row(session: AsyncSession, cancellation: str) -> LockedRow | None:
    """The cancellation's row, locked; None: there is none."""
    found = (await session.execute(_FIND, {"id": cancellation})).mappings().first()
    return LockedRow(**found) if found else None


async def find_open_row(session: AsyncSession, order_id: str) -> LockedRow | None:
    """The row of the order's open cancellation, locked; None: none is open."""
    found = (await session.execute(_FIND_OPEN, {"order": order_id})).mappings().first()
    return LockedRow(**found) if found else None


async def lock(session: AsyncSession, cancellation: str, run: Run) -> LockedRow:
    """The cancellation's row, for the run that holds it. Raises NotTheHolder."""
    return check_held_by(run, await find_row(session, cancellation))


def check_held_by(run: Run, row: LockedRow | None) -> LockedRow:
    """The row, where the run holds the cancellation. Raises NotTheHolder."""
    if row is None:
        raise NotTheHolder(None)
    check_holder(row, run)
    return row


@dataclass(frozen=True)
class Verification:
    """The run that was the last to begin to verify an order."""

    run: Run
    at: datetime


async def find_verification(session: AsyncSession, order_id: str) -> Verification | None:
    """The order's verification, its row locked; None: no run has begun one."""
    found = (await session.execute(_FIND_VERIFICATION, {"order": order_id})).first()
    return Verification(Run(namespace=found.namespace, run_id=found.run_id), found.at) if found else None


async def check_verifying(session: AsyncSession, order_id: str, run: Run) -> None:
    """Raises NotTheHolder when another run has begun to verify the order since."""
    found = await find_verification(session, order_id)
    if found is not None and found.run != run:
        raise NotTheHolder(found.run)


async def open_row(
    session: AsyncSession, requested: Requested, run: Run, facts: Sequence[Fact], *, quiet_after: datetime | None = None
) -> tuple[Entry, ...]:
    """A new cancellation, held by the run, with its first entries, and `facts` after them."""
    request = requested.request
    at = now()
    row = LockedRow(
        cancellation_id=cancellation_id(request.order_id, request.request_id),
        order_id=request.order_id,
        holder_namespace=run.namespace,
        holder_run=run.run_id,
        facts=0,
        quiet_after=quiet_after or at,
        opened_at=at,
    )
    try:
        await session.execute(_INSERT, asdict(row))
        return await append(session, row, [requested, HolderSet(run=run), *facts])
    except IntegrityError as error:
        raise Unavailable(f"Another cancellation of order {request.order_id} was opened at this moment.") from error


async def append(
    session: AsyncSession, row: LockedRow, facts: Iterable[Fact], *, first_read: Order | None = None
) -> tuple[Entry, ...]:
    """Add facts to a cancellation whose row is locked, and keep what has changed of the row, and the order as it was read
    first. Raises NotPossible: a roll-back where the order may have been closed."""
    entries = []
    for fact in facts:
        row.facts += 1
        entry = Entry(seq=row.facts, at=now(), fact=fact)
        entries.append(entry)
        match fact:
            case HolderSet(run=run):
                row.holder_namespace, row.holder_run = run.namespace, run.run_id
            case Decided(customer_id=customer_id):
                row.customer_id = customer_id
            case Ended(outcome=outcome):
                row.outcome, row.closed_at = outcome, entry.at
                await wake_deferred(session, row.order_id)
            case Reopened():
                row.outcome = row.closed_at = None
            case OrderClosed():
                row.close_in_flight = None
            case RollBackOrdered() if row.close_in_flight:
                raise may_be_closed(row.order_id)
            case _:
                pass
    if entries:
        await update_row(session, row, **({"first_read": first_read} if first_read else {}))
        await session.execute(_INSERT_FACTS, [_fact_row(row.cancellation_id, entry) for entry in entries])
    return tuple(entries)


async def update_row(session: AsyncSession, row: LockedRow, **more: Order) -> None:
    await session.execute(_UPDATE, {"id": row.cancellation_id, **asdict(row), **more})


def _fact_row(cancellation: str, entry: Entry) -> dict[str, object]:
    fact = entry.fact
    return {
        "cancellation_id": cancellation,
        "seq": entry.seq,
        "kind": fact.kind,
        "request_id": fact.request.request_id if isinstance(fact, Requested | Joined) else None,
        "noted": str(fact.key) if isinstance(fact, EffectNoted) else None,
        "content": entry,
        "at": entry.at,
    }


async def entries_of(session: AsyncSession, cancellation: str, *, after: int = 0) -> tuple[Entry, ...]:
    return tuple(await session.scalars(_ENTRIES, {"id": cancellation, "after": after}))


async def case_of(session: AsyncSession, cancellation: str) -> Case:
    return Case(await entries_of(session, cancellation))


async def case_known(session: AsyncSession, row: LockedRow, known: Case | None) -> Case:
    """The case of a locked row: as it is `known`, unless something was written since."""
    if known is not None and known.has_all_entries and known.last_seq == row.facts:
        return known
    return await case_of(session, row.cancellation_id)


# Rule: What is being undone is not done once more meanwhile [under the lock]
def check_may_make(case: Case, key: EffectKey) -> None:
    """Asked under the lock of the cancellation's row, before an effect is noted. Refused: ROLLED_BACK."""
    if not case.may_make(key):
        cause = case.roll_back_cause
        why = cause.sentence if cause else "It was let go on."
        raise Refused(
            ErrorCode.ROLLED_BACK,
            f"{key.step.value} of {key.target} is not carried out any more, because it is being undone: {why}",
        )


def effect_facts(
    case: Case,
    key: EffectKey,
    more: Sequence[Fact] = (),
    *,
    amount: Money | None = None,
    reference: str | None = None,
    detail: str = "",
) -> list[Fact]:
    """The note of an effect in the books themselves, what it made, and its outcome. Refused: ROLLED_BACK."""
    check_may_make(case, key)
    return [
        *([] if case.is_noted(key) else [EffectNoted(key=key, amount=amount)]),
        *more,
        EffectEnded(key=key, outcome=EffectOutcome.DONE, reference=reference, detail=detail),
    ]
