"""The inbox: which events are about an order's cancellation, and that each is delivered. On SQLite and PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from domain.facts import OrderClosed, ParcelReceived, Reopened
from domain.request import LineScope
from domain.shipment import StopStatus
from domain.step import StepName
from providers.books.inbox import SqlInbox
from providers.books.tables import WatchedRow, WebhookEventRow
from providers.events.stripe import StripeEventKind
from providers.inbox.port import DueEvent, EventStatus, Provider, ProviderEvent
from sandbox import books, built_in
from sandbox.carrier.model import EventKind
from tests.providers.merchant import LATER, RUN, Cancellation, Merchant, cancellation, order, parcel, refunded, stops

EMAIL = "customer@example.test"
SENT = order(shipments=(parcel("S1", 3, label="shp_1"),))
ABOUT = DueEvent(
    provider=Provider.STRIPE,
    event_id="evt_1",
    order_id="O-1",
    subject="re_1",
    may_undo_outcome=True,
    attempts=1,
    received_at=datetime.now(UTC),
)


@pytest.fixture
def inbox(database: AsyncEngine) -> SqlInbox:
    return SqlInbox(database)


def of_payment(payment: str | None, event_id: str = "evt_1", *, may_undo: bool = False) -> ProviderEvent:
    return ProviderEvent(
        provider=Provider.STRIPE,
        event_id=event_id,
        kind=StripeEventKind.REFUND_UPDATED,
        payment=payment,
        refund="re_1",
        may_undo_outcome=may_undo,
    )


def of_parcel(shipment: str | None, tracking_number: str | None, event_id: str = "evt_1") -> ProviderEvent:
    return ProviderEvent(
        provider=Provider.EASYPOST,
        event_id=event_id,
        kind=EventKind.TRACKER_UPDATED,
        shipment=shipment,
        tracking_number=tracking_number,
    )


async def placed(database: AsyncEngine) -> Cancellation:
    await built_in.add_order(database, SENT, email=EMAIL)
    return cancellation(SENT)


async def decided(merchant: Merchant, database: AsyncEngine) -> Cancellation:
    one = await placed(database)
    await merchant.hold(one)
    return one


async def rows(database: AsyncEngine) -> list[WebhookEventRow]:
    async with AsyncSession(database) as session:
        return [*await session.scalars(select(WebhookEventRow).order_by(WebhookEventRow.event_id))]


# What an event is about


async def test_an_event_is_about_the_order_whose_payment_label_or_tracking_number_was_decided_about(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    await decided(merchant, database)
    events = [
        of_payment("pi_1"),
        of_parcel("shp_1", None, "evt_1"),
        of_parcel(None, "1Zshp_1", "evt_2"),
        of_parcel("shp_unknown", "1Zshp_1", "evt_3"),
    ]

    assert [await inbox.receive(event) for event in events] == [EventStatus.ACCEPTED] * 4

    due = await inbox.claim_due(datetime.now(UTC) + timedelta(seconds=1), 10)
    assert [event.order_id for event in due] == ["O-1"] * 4


@pytest.mark.parametrize(
    "event",
    [of_payment("pi_unknown"), of_payment(None), of_parcel("shp_9", "1Z9"), of_parcel(None, None)],
    ids=["payment", "no payment", "parcel", "no parcel"],
)
async def test_an_event_about_nothing_of_ours_is_kept_and_never_delivered(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine, event: ProviderEvent
) -> None:
    await decided(merchant, database)

    assert await inbox.receive(event) is EventStatus.UNMATCHED
    assert await inbox.receive(event) is EventStatus.REPEATED

    assert await inbox.is_known(event.provider, event.event_id)
    assert await inbox.claim_due(LATER, 10) == []
    [kept] = await rows(database)
    assert (kept.order_id, kept.attempts, kept.delivered_at) == (None, 0, None)


async def test_an_order_whose_cancellation_nobody_has_decided_about_has_no_events(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """Neither one that nobody asked to cancel, nor one that is being verified, nor one that was withdrawn before. An event
    that came before the decision is not delivered after it: what it says, the decision has read."""
    one = await placed(database)
    assert await inbox.receive(of_payment("pi_1", "evt_1")) is EventStatus.UNMATCHED
    await merchant.books.note_hold(one.requested, one.key(StepName.VERIFY_ORDER), RUN, until=LATER)
    assert await inbox.receive(of_payment("pi_1", "evt_2")) is EventStatus.UNMATCHED
    await merchant.release(one)
    assert await inbox.receive(of_payment("pi_1", "evt_3")) is EventStatus.UNMATCHED

    await merchant.hold(cancellation(SENT, request_id="R-2"))

    assert await inbox.claim_due(LATER, 10) == []
    assert await inbox.receive(of_payment("pi_1", "evt_4")) is EventStatus.ACCEPTED
    assert await inbox.receive(of_payment("pi_1", "evt_3")) is EventStatus.REPEATED
    assert [event.event_id for event in await inbox.claim_due(LATER, 10)] == ["evt_4"]


async def test_an_event_about_a_cancellation_that_has_ended_is_about_it_still(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """B23"""
    one = await decided(merchant, database)
    await merchant.close(one)
    await merchant.end(one)
    assert await inbox.receive(of_payment("pi_1", may_undo=True)) is EventStatus.ACCEPTED


async def test_labels_that_an_order_got_later_are_watched_as_well(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """Each once."""
    await decided(merchant, database)
    new = of_parcel("shp_2", "1Z2", "evt_2")
    assert await inbox.receive(new.model_copy(update={"event_id": "evt_1"})) is EventStatus.UNMATCHED

    for _ in range(2):
        await merchant.books.watch("O-1", ["shp_2", "1Z2", "shp_1"])
    await merchant.books.watch("O-1", [])

    assert await inbox.receive(new) is EventStatus.ACCEPTED
    async with AsyncSession(database) as session:
        watched = await session.execute(select(WatchedRow.order_id, WatchedRow.reference))
    assert sorted(watched.tuples()) == [
        ("O-1", "1Z2"),
        ("O-1", "1Zshp_1"),
        ("O-1", "pi_1"),
        ("O-1", "shp_1"),
        ("O-1", "shp_2"),
    ]


# Kept once, claimed, delivered


async def test_one_event_is_kept_once_and_claimed_by_one(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    await decided(merchant, database)
    event = of_payment("pi_1")
    assert not await inbox.is_known(Provider.STRIPE, "evt_1")
    statuses = await asyncio.gather(*(inbox.receive(event) for _ in range(8)))
    assert sorted(statuses) == [EventStatus.ACCEPTED, *[EventStatus.REPEATED] * 7]
    assert await inbox.is_known(Provider.STRIPE, "evt_1")
    assert not await inbox.is_known(Provider.EASYPOST, "evt_1")
    assert await inbox.receive(of_parcel("shp_1", None)) is EventStatus.ACCEPTED, "two providers may use the same id"

    soon = datetime.now(UTC) + timedelta(days=1)
    claims = await asyncio.gather(*(inbox.claim_due(soon, 10) for _ in range(4)))
    claimed = [event for claim in claims for event in claim]
    assert sorted((event.provider, event.order_id, event.subject) for event in claimed) == [
        (Provider.EASYPOST, "O-1", "shp_1"),
        (Provider.STRIPE, "O-1", "re_1"),
    ]
    by_provider = {event.provider: event for event in claimed}
    await inbox.mark_delivered(by_provider[Provider.STRIPE], soon)
    await give_up(database, "evt_1", Provider.EASYPOST)
    assert await inbox.claim_due(soon + timedelta(days=1), 10) == []
    await inbox.forget_before(soon)
    assert await rows(database) == []


async def test_an_event_keeps_that_it_may_undo_the_outcome(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    await decided(merchant, database)
    assert await inbox.receive(of_payment("pi_1", may_undo=True)) is EventStatus.ACCEPTED
    [due] = await inbox.claim_due(datetime.now(UTC) + timedelta(seconds=1), 10)
    assert (due.may_undo_outcome, due.subject) == (True, "re_1")


async def test_an_event_that_was_not_delivered_is_due_again_and_not_forgotten(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """M29"""
    await decided(merchant, database)
    for event_id, payment in (("evt_1", "pi_1"), ("evt_2", "pi_1"), ("evt_3", "pi_1"), ("evt_4", "pi_of_nobody")):
        await inbox.receive(of_payment(payment, event_id))
    at = datetime.now(UTC)
    due = {event.event_id: event for event in await inbox.claim_due(at, 10)}
    assert sorted(due) == ["evt_1", "evt_2", "evt_3"]
    await inbox.mark_delivered(due["evt_1"], at)
    await give_up(database, "evt_2")
    await inbox.forget_before(at + timedelta(days=30))
    assert [row.event_id for row in await rows(database)] == ["evt_3"]
    assert await inbox.claim_due(at + timedelta(seconds=59), 10) == [], "its claim is a minute long"
    [again] = await inbox.claim_due(at + timedelta(seconds=60), 10)
    assert (again.event_id, again.attempts) == ("evt_3", 2)
    await inbox.delay(again, at + timedelta(hours=1))
    assert await inbox.claim_due(at + timedelta(minutes=59), 10) == []
    assert len(await inbox.claim_due(at + timedelta(hours=1), 10)) == 1


async def test_it_is_ready_when_its_database_answers(inbox: SqlInbox) -> None:
    await inbox.check_ready()


# After the end


async def test_an_event_about_an_ended_cancellation_waits_while_another_one_is_under_way(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    first = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(first)
    assert await inbox.is_under_way("O-1")
    await merchant.close(first, refunded("100.00 USD", "re_1"))
    await merchant.end(first)
    assert not await inbox.is_under_way("O-1")
    found = await inbox.find_ended(ABOUT)
    assert found is not None
    assert (found.request, found.busy) == (first.request, False)

    await merchant.hold(cancellation(await books.order(database, "O-1"), request_id="R-2"))

    assert await inbox.is_under_way("O-1")
    found = await inbox.find_ended(ABOUT)
    assert found is not None
    assert (found.request, found.busy) == (first.request, True)
    assert await inbox.find_ended(ABOUT.model_copy(update={"subject": "re_9"})) is None
    assert await inbox.find_ended(ABOUT.model_copy(update={"subject": None})) is None
    assert await inbox.find_ended(ABOUT.model_copy(update={"order_id": "O-404"})) is None


async def test_an_event_that_was_sent_to_an_ended_cancellation_is_delivered_by_a_look_that_began_after_it(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """Neither by a look at another cancellation, nor by one that had begun before."""
    one = await decided(merchant, database)
    for event_id in ("evt_1", "evt_2", "evt_3"):
        await inbox.receive(of_payment("pi_1", event_id, may_undo=True))
    at = datetime.now(UTC) + timedelta(seconds=1)
    seen, late, given_up = await inbox.claim_due(at, 10)
    later = at + timedelta(minutes=5)
    assert await merchant.books.events_sent("O-1") == []
    for event in (seen, given_up):
        await inbox.record_sending(event, one.cancellation_id, later)
    begun_with = await merchant.books.events_sent("O-1")
    assert {*begun_with} == {seen.event_id, given_up.event_id}
    await inbox.record_sending(late, one.cancellation_id, later)
    await give_up(database, given_up.event_id)

    await merchant.books.mark_looked_at("another", begun_with)
    assert {*await merchant.books.events_sent("O-1")} == {seen.event_id, late.event_id}
    await merchant.books.mark_looked_at(one.cancellation_id, begun_with)

    assert await merchant.books.events_sent("O-1") == [late.event_id]
    assert await inbox.claim_due(later - timedelta(seconds=1), 10) == []
    [again] = await inbox.claim_due(later, 10)
    assert (again.event_id, again.sent_to) == (late.event_id, one.cancellation_id)


async def test_a_refund_of_a_cancellation_that_was_rolled_back_is_found_by_its_event(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """I1: the customer may have paid back what never arrives. Its parcels travel, as they should."""
    one = await decided(merchant, database)
    await merchant.write(one, refunded("300.00 USD", "re_1"))
    await merchant.release(one)
    found = await inbox.find_ended(ABOUT)
    assert found is not None
    assert found.request == one.request
    tracking = SENT.shipments[0].tracking_number
    of_tracking = ABOUT.model_copy(update={"provider": Provider.EASYPOST, "subject": tracking})
    assert await inbox.find_ended(of_tracking) is None


async def test_a_parcel_of_a_cancellation_that_was_carried_out_is_found_by_its_event(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """C4"""
    one = await decided(merchant, database)
    await merchant.close(one)
    await merchant.end(one)
    tracking = SENT.shipments[0].tracking_number
    found = await inbox.find_ended(ABOUT.model_copy(update={"provider": Provider.EASYPOST, "subject": tracking}))
    assert found is not None
    assert found.request == one.request


async def test_an_event_that_undoes_nothing_is_about_a_cancellation_that_expects_its_parcel_back(
    merchant: Merchant, inbox: SqlInbox, database: AsyncEngine
) -> None:
    """Its lines leave the order when it has arrived, in a system that would restock them at once."""
    one = await decided(merchant, database)
    await merchant.write(one, *stops(one, StopStatus.COMING_BACK))
    closed = OrderClosed(expected_back=("S1",))
    await merchant.books.close(closed, [], None, key=one.key(StepName.CLOSE_ORDER), run=RUN)
    await merchant.end(one)
    moves = ABOUT.model_copy(update={"provider": Provider.EASYPOST, "subject": "1Zshp_1", "may_undo_outcome": False})
    found = await inbox.find_ended(moves)
    assert found is not None
    assert (found.request, found.busy) == (one.request, False)
    assert await inbox.find_ended(moves.model_copy(update={"subject": "1Z9"})) is None
    assert await inbox.find_ended(ABOUT.model_copy(update={"may_undo_outcome": False})) is None

    await merchant.reopen(one, [Reopened(why="A parcel has arrived."), ParcelReceived(shipment_id="S1")], [], [])
    await merchant.end(one)
    assert await inbox.find_ended(moves) is None


async def give_up(database: AsyncEngine, event_id: str, provider: Provider = Provider.STRIPE) -> None:
    """As a person does (docs/operations.md)."""
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE webhook_events SET given_up_why = 'by phone' WHERE event_id = :id AND provider = :provider"),
            {"id": event_id, "provider": provider.value},
        )
