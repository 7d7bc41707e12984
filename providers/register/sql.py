"""The register in SQL, beside the order book: SQLite or PostgreSQL, by the engine's URL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import EffectEnded, EffectNoted, Entry, Fact, HolderSet, Requested, Run
from domain.keys import EffectKey, id_of
from domain.money import Money
from domain.outcome import Outcome
from domain.permissions import NotTheHolder
from providers.order_book.columns import table_of
from providers.order_book.engine import looking, reading, transaction, upsert, writing
from providers.order_book.tables import CancellationRow, FactRow, VerificationRow
from providers.register.port import Change
from providers.register.writing import (
    LockedRow,
    append,
    case_known,
    case_of,
    check_may_make,
    check_verifying,
    entries_of,
    find_open_row,
    find_row,
    find_verification,
    held_by,
    lock,
    open_row,
    update_row,
)

_CANCELLATIONS, _FACTS = table_of(CancellationRow), table_of(FactRow)
_OF_ORDER = select(_CANCELLATIONS.c.cancellation_id).where(_CANCELLATIONS.c.order_id == bindparam("order"))
_OPEN = _OF_ORDER.where(_CANCELLATIONS.c.closed_at.is_(None))
_CARRIED_OUT = (
    _OF_ORDER.where(_CANCELLATIONS.c.outcome.in_((Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED)))
    .order_by(_CANCELLATIONS.c.closed_at.desc())
    .limit(1)
)
_OF_REQUEST = (
    select(_FACTS.c.cancellation_id)
    .join(_CANCELLATIONS, _CANCELLATIONS.c.cancellation_id == _FACTS.c.cancellation_id)
    .where(_CANCELLATIONS.c.order_id == bindparam("order"), _FACTS.c.request_id == bindparam("request"))
    .order_by(_CANCELLATIONS.c.opened_at.desc())
    .limit(1)
)


class SqlRegister:
    """Each method is one transaction, or one statement that reads; see providers/register/port.py for what it promises."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._looks = async_sessionmaker(looking(engine), expire_on_commit=False)
        self._reads = async_sessionmaker(reading(engine), expire_on_commit=False)
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)

    async def find(self, order_id: str, request_id: str, *, carried_out: bool = False) -> tuple[Entry, ...]:
        async with transaction(self._reads) as session:
            found = await session.scalar(_OPEN, {"order": order_id})
            if found is None:
                found = await _of_request(session, order_id, request_id)
            if found is None and carried_out:
                # Several may have taken lines out; the last of them left nothing.
                found = await session.scalar(_CARRIED_OUT, {"order": order_id})
            return await entries_of(session, found) if found else ()

    async def find_request(self, order_id: str, request_id: str) -> tuple[Entry, ...]:
        async with transaction(self._reads) as session:
            found = await _of_request(session, order_id, request_id)
            return await entries_of(session, found) if found else ()

    async def read(self, cancellation_id: str, *, after: int = 0) -> tuple[Entry, ...]:
        async with transaction(self._looks) as session:
            return await entries_of(session, cancellation_id, after=after)

    async def find_others(self, cancellation_id: str) -> tuple[tuple[Entry, ...], ...]:
        order = select(CancellationRow.order_id).where(CancellationRow.cancellation_id == cancellation_id)
        of_order = (
            CancellationRow.order_id == order.scalar_subquery(),
            CancellationRow.cancellation_id != cancellation_id,
        )
        async with transaction(self._reads) as session:
            others = await session.scalars(select(CancellationRow.cancellation_id).where(*of_order))
            return tuple([await entries_of(session, other) for other in others.all()])

    async def begin_verification(self, order_id: str, run: Run, at: datetime, *, from_elsewhere: bool = False) -> None:
        async with transaction(self._writes) as session:
            row = await find_verification(session, order_id)
            if row is not None and row.at > at and row.run != run and not from_elsewhere:
                if row.run.namespace == run.namespace:
                    raise NotTheHolder(row.run)
                raise _held_elsewhere(f"Order {order_id}", row.run.namespace)
            written = {"order_id": order_id, "namespace": run.namespace, "run_id": run.run_id, "at": at}
            await session.execute(upsert(session, VerificationRow), written)

    async def take_up(self, cancellation_id: str, run: Run, *, from_elsewhere: bool = False) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await find_row(session, cancellation_id)
            if row is not None and row.closed_at is None:
                await _hold(session, row, run, from_elsewhere=from_elsewhere)
            return await entries_of(session, cancellation_id)

    async def write(
        self, cancellation_id: str, run: Run, change: Change, *, known: Case | None = None
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await lock(session, cancellation_id, run)
            return await append(session, row, change(await case_known(session, row, known)))

    async def open(
        self, requested: Requested, run: Run, change: Change, *, known: str | None = None
    ) -> tuple[Entry, ...]:
        request = requested.request
        async with transaction(self._writes) as session:
            row = await find_row(session, known) if known else await find_open_row(session, request.order_id)
            row = row or await find_row(session, id_of(request))
            if row is None:
                opened = Case.opened_by(requested)
                return await open_row(session, requested, run, change(opened))
            if row.closed_at is not None:
                case = await case_of(session, row.cancellation_id)
                change(case)
                return case.entries
            await _hold(session, row, run, from_elsewhere=False)
            case = await case_of(session, row.cancellation_id)
            return (*case.entries, *await append(session, row, change(case)))

    async def refuse(self, requested: Requested, run: Run, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        mine = id_of(requested.request)
        async with transaction(self._writes) as session:
            opened = await find_open_row(session, requested.request.order_id)
            if opened is not None and opened.cancellation_id != mine:
                raise NotTheHolder(opened.holder)
            if opened is None:
                await check_verifying(session, requested.request.order_id, run)
                if await find_row(session, mine) is not None:
                    return await entries_of(session, mine)  # an earlier attempt has kept it
                return await open_row(session, requested, run, facts)
            row = held_by(run, opened)
            case = await case_of(session, mine)
            return (*case.entries, *await append(session, row, [] if case.roll_back_cause else facts))

    async def note_effect(
        self, key: EffectKey, run: Run, *, amount: Money | None, until: datetime, known: Case | None = None
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await lock(session, key.cancellation_id, run)
            case = await case_known(session, row, known)
            check_may_make(case, key)
            row.quiet_after = max(until, row.quiet_after)
            if case.is_noted(key):
                await update_row(session, row)
                return tuple(
                    e for e in case.entries if isinstance(e.fact, EffectNoted | EffectEnded) and e.fact.key == key
                )
            return await append(session, row, [EffectNoted(key=key, amount=amount)])

    async def quiet_after(self, cancellation_id: str) -> datetime:
        async with transaction(self._looks) as session:
            return (await session.get_one(CancellationRow, cancellation_id)).quiet_after


async def _of_request(session: AsyncSession, order_id: str, request_id: str) -> str | None:
    """The cancellation that a request opened or joined; the latest, where it opened one after it had joined another."""
    found: str | None = await session.scalar(_OF_REQUEST, {"order": order_id, "request": request_id})
    return found


async def _hold(session: AsyncSession, row: LockedRow, run: Run, *, from_elsewhere: bool) -> None:
    """Make the run the holder, where it is not."""
    holder = row.holder
    if holder == run:
        return
    if holder.namespace != run.namespace and not from_elsewhere:
        raise _held_elsewhere(f"Cancellation {row.cancellation_id} of order {row.order_id}", holder.namespace)
    await append(session, row, [HolderSet(run=run)])


def _held_elsewhere(what: str, namespace: str) -> Refused:
    return Refused(
        ErrorCode.HELD_ELSEWHERE,
        f"{what} is held by a run in the namespace {namespace}. Look there whether it is alive; if it is lost, retry "
        "this step to take over.",
    )
