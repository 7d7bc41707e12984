"""The register in SQL: SQLite or PostgreSQL, by the engine's URL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import (
    Decided,
    DisputeSeen,
    EffectEnded,
    EffectNoted,
    Ended,
    Entry,
    Fact,
    HolderSet,
    OrderClosed,
    RefundSeen,
    Requested,
    ReversalSeen,
    Run,
)
from domain.holder import NotTheHolder
from domain.keys import EffectKey, id_of
from domain.known_order import KnownOrder
from domain.money import Money
from domain.order import Order
from domain.outcome import CARRIED_OUT
from domain.plan import Plan
from domain.policy import CustomerHistory
from domain.request import CHANGES_OF_MIND
from domain.step import StepName
from providers.books.adapter import SqlAdapter
from providers.books.inbox import (
    deliver_sent,
    events_sent,
    repeat_for_others,
    repeat_for_payment,
    repeat_won_disputes,
    watch,
    watchers_of,
)
from providers.books.ledger import post_settlements
from providers.books.outbox import put_notices
from providers.books.reading import known_order
from providers.books.tables import CancellationRow, FactRow, VerificationRow
from providers.books.transfers import collect, settle_rolled_back, take_settlement_back, waive
from providers.books.writing import (
    LockedRow,
    append,
    case_known,
    case_of,
    check_held_by,
    check_may_make,
    check_verifying,
    effect_facts,
    entries_of,
    find_open_row,
    find_row,
    find_verification,
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
_ORDERS_OF = select(_CANCELLATIONS.c.order_id).where(_CANCELLATIONS.c.customer_id == bindparam("customer")).distinct()


class SqlRegister(SqlAdapter):
    """See providers/cancellations/port.py for what it promises."""

    async def of_order(self, order_id: str) -> KnownOrder:
        async with transaction(self._reads) as session:
            return await known_order(session, order_id)

    async def orders_of_customer(self, customer_id: str) -> Sequence[str]:
        async with transaction(self._looks) as session:
            return (await session.scalars(_ORDERS_OF, {"customer": customer_id})).all()

    async def orders_of(self, payments: Sequence[str]) -> Sequence[str]:
        async with transaction(self._looks) as session:
            return [*await watchers_of(session, payments)]

    async def read(self, cancellation_id: str, *, after: int = 0) -> tuple[Entry, ...]:
        async with transaction(self._looks) as session:
            return await entries_of(session, cancellation_id, after=after)

    # Rule: A customer's changes of mind are counted; policy.toml says how many are too many
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

    # Rule: A run takes over from another one
    async def take_up(self, cancellation_id: str, run: Run, *, from_elsewhere: bool = False) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await find_row(session, cancellation_id)
            if row is not None and row.closed_at is None:
                await _make_holder(session, row, run, from_elsewhere=from_elsewhere)
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
            await _make_holder(session, row, run, from_elsewhere=False)
            case = await case_of(session, row.cancellation_id)
            return (*case.entries, *await append(session, row, change(case)))

    async def refuse(
        self, requested: Requested, run: Run, facts: Sequence[Fact], notices: Sequence[NewNotice]
    ) -> tuple[Entry, ...]:
        mine = id_of(requested.request)
        async with transaction(self._writes) as session:
            opened = await find_open_row(session, requested.request.order_id)
            if opened is not None and opened.cancellation_id != mine:
                raise NotTheHolder(opened.holder)
            if opened is None:
                await check_verifying(session, requested.request.order_id, run)
                if await find_row(session, mine) is not None:
                    return await entries_of(session, mine)  # an earlier attempt has kept it
                await put_notices(session, mine, requested.request.order_id, notices)
                return await open_row(session, requested, run, facts)
            row = check_held_by(run, opened)
            case = await case_of(session, mine)
            if case.roll_back_cause:
                return case.entries
            await put_notices(session, mine, row.order_id, notices)
            return (*case.entries, *await append(session, row, facts))

    async def note_hold(self, requested: Requested, key: EffectKey, run: Run, *, until: datetime) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            request, mine = requested.request, id_of(requested.request)
            opened = await find_open_row(session, request.order_id)
            if opened is not None and opened.cancellation_id != mine:
                raise _held(request.order_id, opened, "Wait until that one has ended, or withdraw it, and ask again.")
            own = opened or await find_row(session, mine)
            if own is None:
                await check_verifying(session, request.order_id, run)
                return await open_row(session, requested, run, [EffectNoted(key=key)], quiet_after=until)
            row = check_held_by(run, own)
            case = await case_of(session, mine)
            if case.roll_back_cause is not None or case.decided is not None:
                return case.entries
            row.quiet_after = max(until, row.quiet_after)
            if case.is_noted(key):
                await update_row(session, row)
                return case.entries
            return (*case.entries, *await append(session, row, [EffectNoted(key=key)]))

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
            row = await lock(session, key.cancellation_id, run)
            case = await case_known(session, row, known)
            if case.roll_back_cause is not None or case.decided is not None:
                return case.entries
            assert decided.plan is not None
            kept = first_read.model_copy(update={"contact": None})
            written = await append(session, row, effect_facts(case, key, [decided]), first_read=kept)
            await watch(session, row.order_id, _named_by_providers(decided.plan))
            await put_notices(session, key.cancellation_id, row.order_id, notices)
            return (*case.entries, *written)

    async def note_effect(
        self, key: EffectKey, run: Run, *, amount: Money | None, until: datetime, known: Case | None = None
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await lock(session, key.cancellation_id, run)
            case = await case_known(session, row, known)
            check_may_make(case, key)
            if case.is_noted(key) and not case.is_outcome_known(key):
                row.overtaken_until = row.quiet_after
            row.quiet_after = max(until, row.quiet_after)
            if key.step is StepName.CLOSE_ORDER:
                row.close_in_flight = row.close_in_flight or until
            if case.is_noted(key):
                await update_row(session, row)
                return tuple(
                    e for e in case.entries if isinstance(e.fact, EffectNoted | EffectEnded) and e.fact.key == key
                )
            return await append(session, row, [EffectNoted(key=key, amount=amount)])

    async def order_when_decided(self, cancellation_id: str) -> Order | None:
        async with transaction(self._looks) as session:
            return (await session.get_one(CancellationRow, cancellation_id)).first_read

    async def quiet_after(self, cancellation_id: str, *, all_known: bool = False) -> datetime:
        async with transaction(self._looks) as session:
            row = await session.get_one(CancellationRow, cancellation_id)
            return (row.overtaken_until or row.opened_at) if all_known else row.quiet_after

    async def close_in_flight(self, cancellation_id: str) -> bool:
        async with transaction(self._looks) as session:
            return (await session.get_one(CancellationRow, cancellation_id)).close_in_flight is not None

    async def note_not_closed(self, cancellation_id: str, run: Run, *, until: datetime) -> bool:
        async with transaction(self._writes) as session:
            row = await lock(session, cancellation_id, run)
            if row.close_in_flight == until:
                row.close_in_flight = None
                await update_row(session, row)
            return row.close_in_flight is None

    async def close(
        self, closed: OrderClosed, notices: Sequence[NewNotice], ending: Ending | None, *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            row = await lock(session, key.cancellation_id, run)
            case = await case_of(session, key.cancellation_id)
            if case.order_closed:
                return case.entries
            await put_notices(session, key.cancellation_id, row.order_id, notices)
            facts = effect_facts(case, key, [closed])
            if ending is not None and ending.seen == case.last_seq:
                facts += await _end(session, row, case, ending)
            return (*case.entries, *await append(session, row, facts))

    async def end(self, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            cancellation = ending.key.cancellation_id
            found = await find_row(session, cancellation)
            case = await case_of(session, cancellation)
            if (
                found is not None
                and found.closed_at is not None
                and found.holder == run
                and case.outcome_of(ending.key)
            ):
                return case.entries  # by an earlier attempt of this run
            row = check_held_by(run, found)
            return (*case.entries, *await append(session, row, await _end(session, row, case, ending)))

    async def release(self, notices: Sequence[NewNotice], *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            found = await find_row(session, key.cancellation_id)
            case = await case_of(session, key.cancellation_id)
            if found is None or found.closed_at is not None:
                return case.entries
            row = check_held_by(run, found)
            cause = case.roll_back_cause
            if cause is None:
                raise ValueError(f"cancellation {key.cancellation_id} is released, and no fact says why")
            await settle_rolled_back(session, case)
            await collect(session, case)
            if case.plan:
                await waive(session, case, case.plan.currency)
            await put_notices(session, key.cancellation_id, row.order_id, notices)
            ended = Ended(outcome=cause.outcome, sentence=cause.sentence)
            return (*case.entries, *await append(session, row, [*effect_facts(case, key), ended]))

    async def events_sent(self, order_id: str) -> Sequence[str]:
        async with transaction(self._looks) as session:
            return await events_sent(session, order_id)

    async def mark_looked_at(self, cancellation_id: str, event_ids: Sequence[str]) -> None:
        async with transaction(self._writes) as session:
            await deliver_sent(session, cancellation_id, event_ids)

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
            row = await find_row(session, cancellation_id)
            if row is None:
                raise ValueError(f"there is no cancellation {cancellation_id} to open again")
            if row.closed_at is None or row.facts != seen:
                return False
            other = await find_open_row(session, row.order_id)
            if other is not None:
                raise _held(row.order_id, other, f"{cancellation_id} is taken up again when that one has ended.")
            await append(session, row, [*facts, HolderSet(run=run)])
            for tender in failed:
                await take_settlement_back(session, cancellation_id, tender)
            for fact in facts:
                if isinstance(fact, RefundSeen) and fact.refund.part_for and fact.refund.status.has_failed:
                    await repeat_for_others(session, row.order_id, fact.refund)
                if isinstance(fact, ReversalSeen | DisputeSeen):
                    reversal = (await case_of(session, cancellation_id)).reversal(fact.target)
                    await repeat_for_payment(session, row, reversal.planned.tender.reference, fact)
                    if isinstance(fact, DisputeSeen):
                        await repeat_won_disputes(session, row, {*reversal.won, *reversal.lapsed_charge_backs})
            await put_notices(session, cancellation_id, row.order_id, notices)
            return True

    async def watch(self, order_id: str, references: Sequence[str]) -> None:
        async with transaction(self._writes) as session:
            await watch(session, order_id, references)


async def _make_holder(session: AsyncSession, row: LockedRow, run: Run, *, from_elsewhere: bool) -> None:
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


def _named_by_providers(plan: Plan) -> list[str]:
    """What events about this cancellation will name."""
    named = [planned.tender.reference for planned in plan.tenders]
    for planned in plan.shipments:
        named += planned.shipment.named_by_carrier
    return [reference for reference in named if reference]


async def _end(session: AsyncSession, row: LockedRow, case: Case, ending: Ending) -> list[Fact]:
    """Post what there is to post; the facts of the end are returned, to be added."""
    if ending.credit is not None:
        await post_settlements(session, ending.credit)
    await collect(session, case)
    if case.plan is not None:
        await waive(session, case, case.plan.currency)
    await put_notices(session, case.cancellation_id, row.order_id, ending.notices)
    return [*effect_facts(case, ending.key), ending.ended]


def _held(order_id: str, by: LockedRow, advice: str) -> Refused:
    return Refused(ErrorCode.ORDER_HELD, f"Order {order_id} is held by cancellation {by.cancellation_id}. {advice}")
