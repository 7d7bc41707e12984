"""Events about an ended cancellation that wait until another one of its order has ended: somebody sees that they do."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.messages import Withdraw
from domain.outcome import State
from domain.request import LineScope
from domain.step import Owner
from providers.books.tables import WebhookEventRow
from runtime import search_attributes as attributes
from sandbox.shop import SampleOrder, card, line, request
from tests.fixtures.api import ApiSystem
from tests.processes.events import signals
from tests.system import SUPERVISOR, Handle, System, eventually
from tests.workflows.refunds import refund_of
from tests.workflows.samples import an_id
from workflows.cancellation import CancellationWorkflow


async def failed_behind_another(system: System) -> tuple[SampleOrder, str, str, Handle]:
    """L1 is cancelled and over; the rest of the order waits for an approval when the refund of L1 fails. The order, that
    refund, the ended cancellation, and the run that waits."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "600.00 USD")),
        tenders=(card("620.00 USD"),),
    )
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1)))
    refund = await refund_of(system, sample)
    _, second = await system.submit(request(sample, request_id="the-rest"))
    await system.wait_for_state(second, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.fail(refund)
    return sample, refund, first.cancellation_id, second


async def make_due(system: System, sample: SampleOrder) -> None:
    async with AsyncSession(system.engine) as session:
        of_order = update(WebhookEventRow).where(WebhookEventRow.order_id == sample.order_id)
        await session.execute(of_order.values(due_at=datetime.now(UTC)))
        await session.commit()


async def attempts(system: System, refund: str) -> int:
    """How often the event that says that the refund has failed was to be delivered."""
    about = select(WebhookEventRow.attempts).where(
        WebhookEventRow.subject == refund,
        WebhookEventRow.may_undo_outcome.is_(True),
        WebhookEventRow.delivered_at.is_(None),
        WebhookEventRow.due_at > datetime.now(UTC) + timedelta(minutes=2),
    )
    async with AsyncSession(system.engine) as session:
        return max(await session.scalars(about), default=0)


async def test_a_refund_that_fails_while_another_cancellation_waits_is_a_wait_of_that_one(
    api_system: ApiSystem,
) -> None:
    """I3, I6, rule 14: for weeks perhaps. The refund department sees it at once in the run that is under way."""
    system = api_system.system
    _, refund, ended, second = await failed_behind_another(system)
    seen = await system.wait_for_wait(second, lambda wait: wait.target == refund, "the failed refund is seen")
    assert seen
    assert (seen.state, seen.owner, seen.step) == (State.NEEDS_ATTENTION, Owner.REFUND_DEPARTMENT, None)
    assert ended in seen.reason
    assert datetime.now(UTC) < seen.due_at < datetime.now(UTC) + timedelta(days=2)
    shown = (await second.describe()).typed_search_attributes
    assert (shown[attributes.STATE], shown[attributes.OWNER]) == (State.NEEDS_ATTENTION, Owner.REFUND_DEPARTMENT)
    assert shown[attributes.DUE_AT] == seen.due_at


async def test_it_is_shown_once_and_looked_at_when_the_other_one_has_ended(api_system: ApiSystem) -> None:
    """Rule 13: an event that is put off again writes nothing."""
    system = api_system.system
    sample, refund, ended, second = await failed_behind_another(system)
    await system.wait_for_wait(second, lambda wait: wait.target == refund, "the failed refund is seen")
    tried = await attempts(system, refund)
    await make_due(system, sample)

    async def put_off_again() -> bool:
        return await attempts(system, refund) > tried

    await eventually(put_off_again, "it is put off once more")
    sent = await signals(second)
    assert len(sent) == len(set(sent)), "an event was sent twice"
    await system.send(second, CancellationWorkflow.withdraw, Withdraw(actor=SUPERVISOR))
    await second.result()
    assert (await system.progress(second)).waits == ()
    shown = (await second.describe()).typed_search_attributes
    assert shown.get(attributes.OWNER) is None
    await make_due(system, sample)
    again = system.current(sample.order_id)
    progress = await system.wait_for_state(again, State.NEEDS_ATTENTION)
    assert progress.cancellation_id == ended
    assert f"Refund {refund} of 20.00 USD" in progress.waits[0].reason
