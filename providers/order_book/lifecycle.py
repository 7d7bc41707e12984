"""How a cancellation holds an order, lets it go, closes it, ends, and is opened again, each with its facts."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.case import Case
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import Decided, Ended, Entry, Fact, HolderSet, OrderClosed, RefundSeen, Requested, Run
from domain.keys import EffectKey, cancellation_id
from domain.order import Order
from providers.order_book.closing import Closing, count_back, take_out
from providers.order_book.columns import EffectKind, table_of
from providers.order_book.effects import is_done, record_effect
from providers.order_book.events import repeat_for_others
from providers.order_book.ledger import collect, settle_rolled_back, take_settlement_back
from providers.order_book.outbox import put_notices
from providers.order_book.paper import post_settlements
from providers.order_book.port import CreditedTender, Ending, NewNotice
from providers.order_book.reading import load_order, lock_order, read_order
from providers.order_book.tables import CancellationRow, OrderRow
from providers.register.writing import (
    LockedRow,
    append,
    case_of,
    check_verifying,
    effect_facts,
    find_open_row,
    find_row,
    held_by,
    lock,
    note_and_end,
    open_row,
)

_ORDERS = table_of(OrderRow)
_HOLD = update(_ORDERS).where(_ORDERS.c.order_id == bindparam("held"))


async def hold_order(
    session: AsyncSession,
    seen: Order,
    requested: Requested,
    decided: Decided,
    notices: Sequence[NewNotice],
    *,
    key: EffectKey,
    run: Run,
) -> tuple[Entry, ...]:
    request = requested.request
    mine = cancellation_id(request.order_id, request.request_id)
    order = await read_order(session, request.order_id, lock=True)
    opened = await find_open_row(session, order.order_id)
    if opened is not None and opened.cancellation_id != mine:
        raise _held(order.order_id, opened, "Wait until that one has ended, or withdraw it, and ask again.")
    own = opened or await find_row(session, mine)
    if own is None:
        await check_verifying(session, order.order_id, run)
        _check_unchanged(order, seen)
        facts = effect_facts(Case.opened_by(requested), key, [decided])
        entries = await open_row(session, requested, run, facts)
    else:
        row = held_by(run, own)
        case = await case_of(session, mine)
        held = await is_done(session, key, EffectKind.HOLD_ORDER)
        if held or case.decided is not None or case.roll_back_cause is not None:
            return case.entries
        _check_unchanged(order, seen)
        entries = (*case.entries, *await note_and_end(session, row, key, [decided], case=case))
    await session.execute(_HOLD, {"held": order.order_id, "held_by": mine})
    await record_effect(session, key, EffectKind.HOLD_ORDER, order_id=order.order_id)
    await put_notices(session, mine, order.order_id, notices)
    return entries


def _check_unchanged(order: Order, seen: Order) -> None:
    """It was decided by the order as it was read, and the warehouse may have packed a parcel since. Raises Unavailable."""
    if order != seen:
        raise Unavailable(
            f"Order {seen.order_id} has changed while it was looked at; it is read and decided about again."
        )


async def release_order(
    session: AsyncSession, order_id: str, notices: Sequence[NewNotice], *, key: EffectKey, run: Run
) -> None:
    # The promise was never touched: reservations are given up when the order is closed, not when it is held.
    order = await session.get(OrderRow, order_id, with_for_update=True, populate_existing=True)
    found = await find_row(session, key.cancellation_id)
    if found is None or found.closed_at is not None:
        return
    row = held_by(run, found)
    case = await case_of(session, key.cancellation_id)
    cause = case.roll_back_cause
    if cause is None:
        raise ValueError(f"cancellation {key.cancellation_id} is released, and no fact says why")
    await settle_rolled_back(session, case)
    await collect(session, case)
    ended = Ended(outcome=cause.outcome, sentence=cause.sentence)
    await note_and_end(session, row, key, case=case, after=[ended])
    if order is not None:
        _take_hold_off(order, key)
        if not await is_done(session, key, EffectKind.RELEASE_ORDER):
            await record_effect(session, key, EffectKind.RELEASE_ORDER, order_id=order_id)
        await put_notices(session, key.cancellation_id, order_id, notices)


async def close_order(
    session: AsyncSession,
    order_id: str,
    notices: Sequence[NewNotice],
    ending: Ending | None,
    *,
    key: EffectKey,
    run: Run,
) -> tuple[Entry, ...]:
    order = await load_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    done = await is_done(session, key, EffectKind.CLOSE_ORDER)
    case = await case_of(session, key.cancellation_id)
    if case.order_closed:
        return case.entries
    if order.locked_reason is not None:
        raise Refused(
            ErrorCode.ORDER_LOCKED,
            f"Order {order_id} cannot be changed: {order.locked_reason}. "
            "Have it unlocked in the order management system, then retry the step.",
        )
    if case.ever_closed:
        await count_back(session, order, Closing.before(case), Closing.of(case))
    else:
        await take_out(session, order, Closing.of(case))
    if not done:
        await record_effect(session, key, EffectKind.CLOSE_ORDER, order_id=order_id)
    _take_hold_off(order, key)
    await put_notices(session, key.cancellation_id, order_id, notices)
    facts = effect_facts(case, key, [OrderClosed()])
    if ending is not None and ending.seen == case.last_seq:
        facts += await _end(session, order_id, case, ending)
    return (*case.entries, *await append(session, row, facts))


async def close_cancellation(session: AsyncSession, order_id: str, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
    await lock_order(session, order_id)
    cancellation = ending.key.cancellation_id
    found = await find_row(session, cancellation)
    case = await case_of(session, cancellation)
    if found is not None and found.closed_at is not None and found.holder == run and case.outcome_of(ending.key):
        return case.entries  # by an earlier attempt of this run
    row = held_by(run, found)
    return (*case.entries, *await append(session, row, await _end(session, order_id, case, ending)))


async def _end(session: AsyncSession, order_id: str, case: Case, ending: Ending) -> list[Fact]:
    """Post what there is to post; the facts of the end are returned, to be added."""
    if ending.credit is not None:
        await post_settlements(session, ending.credit)
    await collect(session, case)
    await put_notices(session, case.cancellation_id, order_id, ending.notices)
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
    found = await session.scalar(
        select(CancellationRow.order_id).where(CancellationRow.cancellation_id == cancellation)
    )
    if found is None:
        raise ValueError(f"there is no cancellation {cancellation} to open again")
    order = await lock_order(session, found)
    row = await find_row(session, cancellation)
    assert row is not None
    if row.closed_at is None or row.facts != seen:
        return False
    other = await find_open_row(session, order.order_id)
    if other is not None:
        raise _held(order.order_id, other, f"{cancellation} is taken up again when that one has ended.")
    await append(session, row, [*facts, HolderSet(run=run)])
    for tender in failed:
        await take_settlement_back(session, cancellation, tender)
    for fact in facts:
        if isinstance(fact, RefundSeen) and fact.refund.part_for and fact.refund.status.has_failed:
            await repeat_for_others(session, order.order_id, fact.refund)
    await put_notices(session, cancellation, order.order_id, notices)
    return True


def _held(order_id: str, by: LockedRow, advice: str) -> Refused:
    return Refused(ErrorCode.ORDER_HELD, f"Order {order_id} is held by cancellation {by.cancellation_id}. {advice}")


def _take_hold_off(order: OrderRow, key: EffectKey) -> None:
    if order.held_by == key.cancellation_id:
        order.held_by = None
