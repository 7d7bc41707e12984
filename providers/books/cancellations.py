"""The register in SQL: SQLite or PostgreSQL, by the engine's URL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import Decided, EffectEnded, EffectNoted, Entry, Fact, HolderSet, OrderClosed, Requested, Run
from domain.keys import EffectKey, id_of
from domain.known_order import KnownOrder
from domain.money import Money
from domain.order import Order
from domain.outcome import CARRIED_OUT
from domain.permissions import NotTheHolder
from domain.policy import CustomerHistory
from domain.request import CHANGES_OF_MIND
from providers.books import lifecycle
from providers.books.adapter import SqlAdapter
from providers.books.inbox import watch
from providers.books.reading import known_order
from providers.books.tables import CancellationRow, FactRow, VerificationRow
from providers.books.writing import (
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
from providers.cancellations.port import Change, Ending
from providers.database.columns import table_of
from providers.database.engine import transaction, upsert
from providers.ledger.port import CreditedTender
from providers.outbox.port import NewNotice

_CANCELLATIONS, _FACTS = table_of(CancellationRow), table_of(FactRow)
_CARRIED_OUT_FOR = (
    select(_CANCELLATIONS.c.order_id, _FACTS.c.content)
    .join(_FACTS, _FACTS.c.cancellation_id == _CANCELLATIONS.c.cancellation_id)
    .where(
        _CANCELLATIONS.c.customer_id == bindparam("customer"),
        _CANCELLATIONS.c.order_id != bindparam("except"),
        _CANCELLATIONS.c.closed_at >= bindparam("since"),
        _CANCELLATIONS.c.outcome.in_(CARRIED_OUT),
        _FACTS.c.kind == "requested",
    )
)


class SqlRegister(SqlAdapter):
    """See providers/cancellations/port.py for what it promises."""

    async def of_order(self, order_id: str) -> KnownOrder:
        async with transaction(self._reads) as session:
            return await known_order(session, order_id)

    async def read(self, cancellation_id: str, *, after: int = 0) -> tuple[Entry, ...]:
        async with transaction(self._looks) as session:
            return await entries_of(session, cancellation_id, after=after)

    async def history(self, customer_id: str, since: datetime, *, but: str) -> CustomerHistory:
        async with transaction(self._looks) as session:
            found = await session.execute(_CARRIED_OUT_FOR, {"customer": customer_id, "except": but, "since": since})
            orders = {
                order_id
                for order_id, entry in found.tuples()
                if isinstance(entry.fact, Requested) and entry.fact.request.reason in CHANGES_OF_MIND
            }
            return CustomerHistory(cancellations=len(orders))

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

    async def note_hold(self, requested: Requested, key: EffectKey, run: Run, *, until: datetime) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.note_hold(session, requested, key, run, until)

    async def decide(
        self,
        first_read: Order,
        decided: Decided,
        notices: Sequence[NewNotice],
        *,
        key: EffectKey,
        run: Run,
        known: Case | None = None,
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.decide(session, first_read, decided, notices, key=key, run=run, known=known)

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

    async def close(
        self, closed: OrderClosed, notices: Sequence[NewNotice], ending: Ending | None, *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.close(session, closed, notices, ending, key=key, run=run)

    async def end(self, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.end(session, ending, run=run)

    async def release(self, notices: Sequence[NewNotice], *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.release(session, notices, key=key, run=run)

    async def reopen(
        self,
        cancellation_id: str,
        facts: Sequence[Fact],
        failed: Sequence[CreditedTender],
        notices: Sequence[NewNotice],
        *,
        seen: int,
        run: Run,
    ) -> bool:
        async with transaction(self._writes) as session:
            return await lifecycle.reopen(session, cancellation_id, facts, failed, notices, seen=seen, run=run)

    async def watch(self, order_id: str, references: Sequence[str]) -> None:
        async with transaction(self._writes) as session:
            await watch(session, order_id, references)


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
