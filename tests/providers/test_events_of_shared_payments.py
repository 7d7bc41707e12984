"""An event about a payment that pays several orders is an event of each of them. On SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from providers.books.inbox import SqlInbox
from providers.events.stripe import StripeEventKind
from providers.inbox.port import EventStatus, Provider, ProviderEvent
from sandbox import built_in
from tests.providers.merchant import Merchant, cancellation, order

FAILED = ProviderEvent(
    provider=Provider.STRIPE,
    event_id="evt_1",
    kind=StripeEventKind.REFUND_FAILED,
    payment="pi_1",
    refund="re_1",
    may_undo_outcome=True,
)


async def test_an_event_about_a_shared_payment_reaches_the_cancellation_of_each_order(database: AsyncEngine) -> None:
    """F3, E3: whose refund has failed is known from the facts of each; repeated, it is one event still."""
    for order_id in ("O-1", "O-2"):
        await built_in.add_order(database, order(order_id), email="customer@example.test")
        await Merchant.at(database).hold(cancellation(order(order_id)))
    events = SqlInbox(database)
    assert await events.receive(FAILED) is EventStatus.ACCEPTED
    assert await events.receive(FAILED) is EventStatus.REPEATED
    due = await events.claim_due(datetime.now(UTC) + timedelta(seconds=1), 10)
    assert {(event.order_id, event.subject, event.may_undo_outcome) for event in due} == {
        ("O-1", "re_1", True),
        ("O-2", "re_1", True),
    }
    for event in due:
        await events.mark_delivered(event, datetime.now(UTC))
    assert await events.claim_due(datetime.now(UTC) + timedelta(hours=1), 10) == []
