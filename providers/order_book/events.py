"""The providers' events: kept once each before they are acknowledged, and sent to the order's cancellation afterwards."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, bindparam, delete, or_, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from domain.case import Case
from domain.money import Money
from domain.payment import Refund
from providers.order_book.engine import insert_once, looking, reading, transaction, writing
from providers.order_book.port import DueEvent, EndedCancellation, EventStatus, Provider, ProviderEvent
from providers.order_book.reading import cases_of, entries_where, now
from providers.order_book.tables import CancellationRow, ReplacedPaymentRow, ShipmentRow, TenderRow, WebhookEventRow

_CLAIM = timedelta(minutes=1)
_OF_ENDED = entries_where(
    select(CancellationRow.cancellation_id).where(
        CancellationRow.order_id == bindparam("order"), CancellationRow.closed_at.is_not(None)
    )
)


class SqlProviderEvents:
    """Each method is one transaction. All raise `Unavailable` when the database cannot be reached."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._looks = async_sessionmaker(looking(engine))
        self._reads = async_sessionmaker(reading(engine))
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)

    async def check_ready(self) -> None:
        """Raises Unavailable unless the database answers."""
        async with transaction(self._looks) as session:
            await session.execute(text("SELECT 1"))

    async def receive(self, event: ProviderEvent) -> EventStatus:
        """Keep an event with the order that it is about, and once more for each further order that its payment pays:
        whose it is, their facts know. The database refuses a second one of the same id, so of two deliveries at the
        same time one is the first."""
        async with transaction(self._writes) as session:
            orders = await _orders_of(session, event)
            order_id = next(iter(orders), None)
            at = now()
            row = {
                "provider": event.provider,
                "event_id": event.event_id,
                "kind": event.kind,
                "subject": event.refund or event.tracking_number,
                "may_undo_outcome": event.may_undo_outcome,
                "order_id": order_id,
                "received_at": at,
                "due_at": at,
                "attempts": 0,
            }
            inserted = await session.execute(insert_once(session, WebhookEventRow), row)
            assert isinstance(inserted, CursorResult)
            if not inserted.rowcount:
                return EventStatus.REPEATED
            for other in orders[1:]:
                more = {**row, "order_id": other, "event_id": f"{event.event_id}/{other}"}
                await session.execute(insert_once(session, WebhookEventRow), more)
            return EventStatus.ACCEPTED if order_id else EventStatus.UNMATCHED

    async def is_known(self, provider: Provider, event_id: str) -> bool:
        """Whether the event was kept already. `receive` has the last word."""
        async with transaction(self._looks) as session:
            return await session.get(WebhookEventRow, (provider, event_id)) is not None

    async def claim_due(self, at: datetime, limit: int) -> Sequence[DueEvent]:
        """Claim events that have not been delivered, oldest first. They are due again in a minute: where the claimant is
        lost, another one delivers them."""
        async with transaction(self._writes) as session:
            rows = await session.scalars(
                select(WebhookEventRow)
                .where(
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
                    )
                )
            return claimed

    async def find_ended(self, event: DueEvent) -> EndedCancellation | None:
        """The order's ended cancellation whose refund or parcel the event is about; None when there is none. A refund of
        somebody else's is about one that was carried out, where money of the order went another way, in whichever of them:
        the customer may have it twice now."""
        async with transaction(self._reads) as session:
            cases = await cases_of(session, _OF_ENDED, {"order": event.order_id})
            case = next((case for case in cases if event.subject in _subjects(case)), None)
            if case is None and event.provider is Provider.STRIPE and event.subject is not None:
                case = _carried_out_besides(cases)
            if case is None or case.request is None:
                return None
            return EndedCancellation(request=case.request, busy=await _is_under_way(session, event.order_id))

    async def is_under_way(self, order_id: str) -> bool:
        """Whether a cancellation of the order is open."""
        async with transaction(self._reads) as session:
            return await _is_under_way(session, order_id)

    async def mark_delivered(self, event: DueEvent, at: datetime) -> None:
        async with transaction(self._writes) as session:
            (await _row(session, event)).delivered_at = at

    async def delay(self, event: DueEvent, until: datetime) -> None:
        async with transaction(self._writes) as session:
            (await _row(session, event)).due_at = until

    async def give_up(self, event: DueEvent, why: str) -> None:
        async with transaction(self._writes) as session:
            (await _row(session, event)).given_up_why = why

    async def forget_before(self, before: datetime) -> None:
        """Delete what arrived before then and needs nothing more; no provider repeats an event for that long. What could not
        be delivered is kept until it is, or somebody gives it up."""
        done = or_(
            WebhookEventRow.order_id.is_(None),
            WebhookEventRow.delivered_at.is_not(None),
            WebhookEventRow.given_up_why.is_not(None),
        )
        async with transaction(self._writes) as session:
            await session.execute(delete(WebhookEventRow).where(WebhookEventRow.received_at < before, done))


async def _is_under_way(session: AsyncSession, order_id: str) -> bool:
    found = await session.scalar(
        select(CancellationRow.cancellation_id).where(
            CancellationRow.order_id == order_id, CancellationRow.closed_at.is_(None)
        )
    )
    return found is not None


def _subjects(case: Case) -> set[str]:
    """What the outcome rests on: the refunds that have not failed, and the parcels that were stopped. After a roll-back the
    parcels travel."""
    refunds = {r.reference for reversal in case.reversals for r in reversal.refunds if not r.status.has_failed}
    parcels = (
        {planned.shipment.tracking_number for planned in case.plan.shipments}
        if case.plan and case.ever_closed
        else set()
    )
    return refunds | {number for number in parcels if number}


def _carried_out_besides(cases: Sequence[Case]) -> Case | None:
    """A cancellation that was carried out, where one of these has left money with the customer another way: that one itself
    if it may be, and another one where it was rolled back."""
    another_way = [case for case in cases if any(_left_another_way(case))]
    carried_out = [case for case in (*another_way, *cases) if case.ever_closed]
    return carried_out[0] if another_way and carried_out else None


def _left_another_way(case: Case) -> Iterator[Money]:
    return (reversal.elsewhere if case.ever_closed else reversal.kept_elsewhere for reversal in case.reversals)


async def _orders_of(session: AsyncSession, event: ProviderEvent) -> Sequence[str]:
    if event.provider is Provider.STRIPE:
        if event.payment is None:
            return []
        found = await session.scalars(
            select(TenderRow.order_id)
            .where(TenderRow.reference == event.payment)
            .union(select(ReplacedPaymentRow.order_id).where(ReplacedPaymentRow.reference == event.payment))
        )
        return found.all()
    named = [ShipmentRow.label_reference == event.shipment] if event.shipment else []
    named += [ShipmentRow.tracking_number == event.tracking_number] if event.tracking_number else []
    if not named:
        return []
    return (await session.scalars(select(ShipmentRow.order_id).where(or_(*named)).limit(1))).all()


async def repeat_for_others(session: AsyncSession, order_id: str, failed: Refund) -> None:
    """A refund of which the order's other cancellations count a part as well has failed. Its event has been delivered to one
    of them, so it is due once more."""
    provider, event_id = Provider.STRIPE, f"failed/{failed.reference}/{failed.part_for}"
    if await session.get(WebhookEventRow, (provider, event_id)) is None:
        at = now()
        session.add(
            WebhookEventRow(
                provider=provider,
                event_id=event_id,
                kind="refund.failed",
                subject=failed.reference,
                may_undo_outcome=True,
                order_id=order_id,
                received_at=at,
                due_at=at,
                attempts=0,
            )
        )


async def _row(session: AsyncSession, event: DueEvent) -> WebhookEventRow:
    return await session.get_one(WebhookEventRow, (event.provider, event.event_id), with_for_update=True)
