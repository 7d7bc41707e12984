"""The providers' events: kept once each before they are acknowledged, and sent to the order's cancellation afterwards."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import CursorResult, bindparam, delete, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.facts import DisputeSeen, ReversalSeen
from domain.payment import Refund
from domain.reopening import find_case_about
from providers.books.adapter import SqlAdapter
from providers.books.reading import known_order
from providers.books.tables import CancellationRow, WatchedRow, WebhookEventRow
from providers.books.writing import LockedRow
from providers.database.columns import table_of
from providers.database.engine import insert_once, transaction
from providers.inbox.port import DueEvent, EndedCancellation, EventStatus, Provider, ProviderEvent

_CLAIM = timedelta(minutes=1)
_WATCHED, _CANCELLATIONS, _EVENTS = table_of(WatchedRow), table_of(CancellationRow), table_of(WebhookEventRow)
_OPEN = select(_CANCELLATIONS.c.cancellation_id).where(
    _CANCELLATIONS.c.order_id == bindparam("order"), _CANCELLATIONS.c.closed_at.is_(None)
)
_NOT_DELIVERED = (_EVENTS.c.delivered_at.is_(None), _EVENTS.c.given_up_why.is_(None))
_SENT = select(_EVENTS.c.event_id).where(
    _EVENTS.c.order_id == bindparam("order"), _EVENTS.c.sent_to.is_not(None), *_NOT_DELIVERED
)
_WATCHERS_OF = (
    select(_WATCHED.c.order_id, _WATCHED.c.reference)
    .where(_WATCHED.c.reference.in_(bindparam("references", expanding=True)))
    .order_by(_WATCHED.c.order_id)
)


class SqlInbox(SqlAdapter):
    """See providers/inbox/port.py for what it promises. Its times are those of this machine, like those of whoever sends."""

    async def check_ready(self) -> None:
        async with transaction(self._looks) as session:
            await session.execute(text("SELECT 1"))

    # Rule: An event is kept once, and matched to the orders that wait for it
    async def receive(self, event: ProviderEvent) -> EventStatus:
        async with transaction(self._writes) as session:
            watched = await _watched_by(session, event)
            order_id = next(iter(watched), None)
            at = datetime.now(UTC)
            row = {
                "provider": event.provider,
                "event_id": event.event_id,
                "kind": event.kind,
                "subject": _subject(event, watched[order_id] if order_id else ()),
                "may_undo_outcome": event.may_undo_outcome,
                "payment_taken": event.payment_taken,
                "dispute_won": event.won_dispute is not None,
                "order_id": order_id,
                "received_at": at,
                "due_at": at,
                "attempts": 0,
            }
            inserted = await session.execute(insert_once(session, WebhookEventRow), row)
            assert isinstance(inserted, CursorResult)
            if not inserted.rowcount:
                return EventStatus.REPEATED
            for other, names in [*watched.items()][1:]:
                subject, event_id = _subject(event, names), f"{event.event_id}/{other}"
                more = {**row, "order_id": other, "event_id": event_id, "subject": subject}
                await session.execute(insert_once(session, WebhookEventRow), more)
            return EventStatus.ACCEPTED if order_id else EventStatus.UNMATCHED

    async def is_known(self, provider: Provider, event_id: str) -> bool:
        async with transaction(self._looks) as session:
            return await session.get(WebhookEventRow, (provider, event_id)) is not None

    async def claim_due(self, at: datetime, limit: int) -> Sequence[DueEvent]:
        async with transaction(self._writes) as session:
            rows = await session.scalars(
                select(WebhookEventRow)
                .where(
                    WebhookEventRow.provider.in_([*Provider]),  # one of tomorrow's is left to a newer version
                    WebhookEventRow.order_id.is_not(None),
                    WebhookEventRow.delivered_at.is_(None),
                    WebhookEventRow.given_up_why.is_(None),
                    WebhookEventRow.due_at <= at,
                )
                .order_by(WebhookEventRow.due_at)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            claimed = []
            for row in rows:
                assert row.order_id is not None
                row.attempts += 1
                row.due_at = at + _CLAIM
                claimed.append(
                    DueEvent(
                        provider=row.provider,
                        event_id=row.event_id,
                        order_id=row.order_id,
                        subject=row.subject,
                        may_undo_outcome=row.may_undo_outcome,
                        attempts=row.attempts,
                        received_at=row.received_at,
                        payment_taken=row.payment_taken,
                        dispute_won=row.dispute_won,
                        sent_to=row.sent_to,
                    )
                )
            return claimed

    async def find_ended(self, event: DueEvent) -> EndedCancellation | None:
        async with transaction(self._reads) as session:
            known = await known_order(session, event.order_id)
            case = find_case_about(
                [case for case in known.cases if case.ended],
                event.subject,
                may_undo_outcome=event.may_undo_outcome,
                of_gateway=event.provider is Provider.STRIPE,
                payment_taken=event.payment_taken,
                dispute_won=event.dispute_won,
            )
            if case is None or case.request is None:
                return None
            due_at = event.received_at + case.terms.attention_due
            law = case.plan.refund_due if case.plan else None
            return EndedCancellation(
                request=case.request, busy=known.open is not None, due_at=min(due_at, law.at) if law else due_at
            )

    async def is_under_way(self, order_id: str) -> bool:
        async with transaction(self._looks) as session:
            return await session.scalar(_OPEN, {"order": order_id}) is not None

    async def mark_delivered(self, event: DueEvent, at: datetime) -> None:
        async with transaction(self._writes) as session:
            (await _row(session, event)).delivered_at = at

    async def record_sending(self, event: DueEvent, cancellation_id: str, until: datetime) -> None:
        async with transaction(self._writes) as session:
            row = await _row(session, event)
            row.sent_to, row.due_at = cancellation_id, until

    async def delay(self, event: DueEvent, until: datetime) -> None:
        async with transaction(self._writes) as session:
            (await _row(session, event)).due_at = until

    async def forget_before(self, before: datetime) -> None:
        done = or_(
            WebhookEventRow.order_id.is_(None),
            WebhookEventRow.delivered_at.is_not(None),
            WebhookEventRow.given_up_why.is_not(None),
        )
        async with transaction(self._writes) as session:
            await session.execute(delete(WebhookEventRow).where(WebhookEventRow.received_at < before, done))


# Rule: An event is kept once, and matched to the orders that wait for it [which orders]
async def _watched_by(session: AsyncSession, event: ProviderEvent) -> dict[str, set[str]]:
    """The orders that it is about, with those of its names that each is watched by. A payment may be of several orders."""
    return await watchers_of(session, [name for name in (event.payment, event.shipment, event.tracking_number) if name])


async def watchers_of(session: AsyncSession, references: Sequence[str]) -> dict[str, set[str]]:
    """The orders whose cancellations are about some of these, each with which."""
    watched: dict[str, set[str]] = {}
    found = (await session.execute(_WATCHERS_OF, {"references": references})).tuples() if references else ()
    for order_id, reference in found:
        watched.setdefault(order_id, set()).add(reference)
    return watched


def _subject(event: ProviderEvent, names: Collection[str]) -> str | None:
    """What it is about, by a name that the order knows: a shop may keep the label of a parcel, and not its tracking
    number. What is about a payment as a whole has none, unless the bank gave it back or it was taken."""
    parcel = [name for name in (event.tracking_number, event.shipment) if name]
    of_parcel = next((name for name in parcel if name in names), event.tracking_number)
    return event.refund or event.won_dispute or of_parcel or (event.payment if event.may_undo_outcome else None)


async def watch(session: AsyncSession, order_id: str, references: Sequence[str]) -> None:
    """Events that name one of these are about the order."""
    at = datetime.now(UTC)
    rows = [{"reference": reference, "order_id": order_id, "since": at} for reference in references]
    if rows:
        await session.execute(insert_once(session, WatchedRow), rows)


# Rule: An event about an ended cancellation is delivered by a look at that one
async def events_sent(session: AsyncSession, order_id: str) -> Sequence[str]:
    """The order's events that were sent to ended cancellations, and that no look has delivered."""
    return (await session.scalars(_SENT, {"order": order_id})).all()


async def deliver_sent(session: AsyncSession, cancellation_id: str, event_ids: Sequence[str]) -> None:
    looked_for = (_EVENTS.c.event_id.in_(event_ids), _EVENTS.c.sent_to == cancellation_id, *_NOT_DELIVERED)
    await session.execute(update(_EVENTS).where(*looked_for).values(delivered_at=datetime.now(UTC)))


async def repeat_for_others(session: AsyncSession, order_id: str, failed: Refund) -> None:
    """A refund of which the order's other cancellations count a part as well has failed. Its event has been delivered to one
    of them, so it is due once more."""
    await _repeat(session, order_id, f"failed/{failed.reference}/{failed.part_for}", failed.reference, "repeated")


async def repeat_for_payment(
    session: AsyncSession, row: LockedRow, payment: str, seen: ReversalSeen | DisputeSeen
) -> None:
    """The same for a payment that was taken with what was not to be by this cancellation, or of which the bank gave back
    something besides: by others perhaps, or for others."""
    if isinstance(seen, ReversalSeen):
        event_id = f"taken/{payment}/{row.cancellation_id}"
        await _repeat(session, row.order_id, event_id, payment, "taken", payment_taken=True)
    else:
        for lost in seen.charge_backs:
            await _repeat(
                session, row.order_id, f"given_back/{lost.reference}/{row.cancellation_id}", payment, "given back"
            )


async def repeat_won_disputes(session: AsyncSession, row: LockedRow, numbers: Collection[str]) -> None:
    """The same for disputes that a person had named for this cancellation, or by which the bank had given something back of
    it, and of others of the order perhaps."""
    for number in sorted(numbers):
        await _repeat(
            session, row.order_id, f"won/{number}/{row.cancellation_id}", number, "dispute won", dispute_won=True
        )


async def _repeat(
    session: AsyncSession,
    order_id: str,
    event_id: str,
    subject: str,
    kind: str,
    *,
    payment_taken: bool = False,
    dispute_won: bool = False,
) -> None:
    """An event of our own: the provider has none."""
    provider = Provider.STRIPE
    if await session.get(WebhookEventRow, (provider, event_id)) is None:
        at = datetime.now(UTC)
        session.add(
            WebhookEventRow(
                provider=provider,
                event_id=event_id,
                kind=kind,
                subject=subject,
                may_undo_outcome=True,
                payment_taken=payment_taken,
                dispute_won=dispute_won,
                order_id=order_id,
                received_at=at,
                due_at=at,
                attempts=0,
            )
        )


async def _row(session: AsyncSession, event: DueEvent) -> WebhookEventRow:
    return await session.get_one(WebhookEventRow, (event.provider, event.event_id), with_for_update=True)
