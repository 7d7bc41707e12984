"""How a cancellation is decided, closes its order, ends, and is opened again, each with its facts."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import Decided, EffectNoted, Ended, Entry, Fact, HolderSet, OrderClosed, RefundSeen, Requested, Run
from domain.keys import EffectKey, id_of
from domain.order import Order
from domain.plan import Plan
from providers.books.inbox import repeat_for_others, watch
from providers.books.ledger import collect, settle_rolled_back, take_settlement_back
from providers.books.outbox import put_notices
from providers.books.paper import post_settlements
from providers.books.writing import (
    LockedRow,
    append,
    case_known,
    case_of,
    check_verifying,
    effect_facts,
    find_open_row,
    find_row,
    held_by,
    lock,
    open_row,
    update_row,
)
from providers.cancellations.port import Ending
from providers.ledger.port import CreditedTender
from providers.outbox.port import NewNotice


async def note_hold(
    session: AsyncSession, requested: Requested, key: EffectKey, run: Run, until: datetime
) -> tuple[Entry, ...]:
    request, mine = requested.request, id_of(requested.request)
    opened = await find_open_row(session, request.order_id)
    if opened is not None and opened.cancellation_id != mine:
        raise _held(request.order_id, opened, "Wait until that one has ended, or withdraw it, and ask again.")
    own = opened or await find_row(session, mine)
    if own is None:
        await check_verifying(session, request.order_id, run)
        return await open_row(session, requested, run, [EffectNoted(key=key)], quiet_after=until)
    row = held_by(run, own)
    case = await case_of(session, mine)
    if case.roll_back_cause is not None or case.decided is not None:
        return case.entries
    row.quiet_after = max(until, row.quiet_after)
    if case.is_noted(key):
        await update_row(session, row)
        return case.entries
    return (*case.entries, *await append(session, row, [EffectNoted(key=key)]))


async def decide(
    session: AsyncSession,
    first_read: Order,
    decided: Decided,
    notices: Sequence[NewNotice],
    *,
    key: EffectKey,
    run: Run,
    known: Case | None,
) -> tuple[Entry, ...]:
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


def _named_by_providers(plan: Plan) -> list[str]:
    """What events about this cancellation will name."""
    named = [planned.tender.reference for planned in plan.tenders]
    for planned in plan.shipments:
        named += [planned.shipment.label_reference or "", planned.shipment.tracking_number or ""]
    return [reference for reference in named if reference]


async def release(
    session: AsyncSession, notices: Sequence[NewNotice], *, key: EffectKey, run: Run
) -> tuple[Entry, ...]:
    found = await find_row(session, key.cancellation_id)
    case = await case_of(session, key.cancellation_id)
    if found is None or found.closed_at is not None:
        return case.entries
    row = held_by(run, found)
    cause = case.roll_back_cause
    if cause is None:
        raise ValueError(f"cancellation {key.cancellation_id} is released, and no fact says why")
    await settle_rolled_back(session, case)
    await collect(session, case)
    await put_notices(session, key.cancellation_id, row.order_id, notices)
    ended = Ended(outcome=cause.outcome, sentence=cause.sentence)
    return (*case.entries, *await append(session, row, [*effect_facts(case, key), ended]))


async def close(
    session: AsyncSession,
    closed: OrderClosed,
    notices: Sequence[NewNotice],
    ending: Ending | None,
    *,
    key: EffectKey,
    run: Run,
) -> tuple[Entry, ...]:
    row = await lock(session, key.cancellation_id, run)
    case = await case_of(session, key.cancellation_id)
    if case.order_closed:
        return case.entries
    await put_notices(session, key.cancellation_id, row.order_id, notices)
    facts = effect_facts(case, key, [closed])
    if ending is not None and ending.seen == case.last_seq:
        facts += await _end(session, row, case, ending)
    return (*case.entries, *await append(session, row, facts))


async def end(session: AsyncSession, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
    cancellation = ending.key.cancellation_id
    found = await find_row(session, cancellation)
    case = await case_of(session, cancellation)
    if found is not None and found.closed_at is not None and found.holder == run and case.outcome_of(ending.key):
        return case.entries  # by an earlier attempt of this run
    row = held_by(run, found)
    return (*case.entries, *await append(session, row, await _end(session, row, case, ending)))


async def _end(session: AsyncSession, row: LockedRow, case: Case, ending: Ending) -> list[Fact]:
    """Post what there is to post; the facts of the end are returned, to be added."""
    if ending.credit is not None:
        await post_settlements(session, ending.credit)
    await collect(session, case)
    await put_notices(session, case.cancellation_id, row.order_id, ending.notices)
    return [*effect_facts(case, ending.key), ending.ended]


async def reopen(
    session: AsyncSession,
    cancellation: str,
    facts: Sequence[Fact],
    failed: Sequence[CreditedTender],
    notices: Sequence[NewNotice],
    *,
    seen: int,
    run: Run,
) -> bool:
    row = await find_row(session, cancellation)
    if row is None:
        raise ValueError(f"there is no cancellation {cancellation} to open again")
    if row.closed_at is None or row.facts != seen:
        return False
    other = await find_open_row(session, row.order_id)
    if other is not None:
        raise _held(row.order_id, other, f"{cancellation} is taken up again when that one has ended.")
    await append(session, row, [*facts, HolderSet(run=run)])
    for tender in failed:
        await take_settlement_back(session, cancellation, tender)
    for fact in facts:
        if isinstance(fact, RefundSeen) and fact.refund.part_for and fact.refund.status.has_failed:
            await repeat_for_others(session, row.order_id, fact.refund)
    await put_notices(session, cancellation, row.order_id, notices)
    return True


def _held(order_id: str, by: LockedRow, advice: str) -> Refused:
    return Refused(ErrorCode.ORDER_HELD, f"Order {order_id} is held by cancellation {by.cancellation_id}. {advice}")
