"""Events about an ended cancellation that meet a run which does not look at that one. They are sent until a look at it has
ended that began after them."""

from domain.outcome import Outcome
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, line
from tests.faults.events import GatewayNews, dispatching_events, receive_news, wait_for_delivery
from tests.system import Handle, System, eventually
from tests.workflows.samples import an_id
from tests.workflows.test_several_cancellations import of_line


def three_lines() -> SampleOrder:
    lines = (line("L1", 1, "64.00 USD"), line("L2", 1, "36.00 USD"), line("L3", 1, "10.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("110.00 USD"),))


async def cancel_lines(system: System, *line_ids: str) -> tuple[SampleOrder, list[str]]:
    """One after the other. The order, and their refunds."""
    sample = three_lines()
    await system.shop.place_order(sample)
    for line_id in line_ids:
        assert (await system.cancel(of_line(sample, line_id, line_id))).outcome is Outcome.CANCELLED
    made = await system.shop.gateway.effects(system.shop.payments[sample.order_id][0], EffectKind.REFUND_CREATED)
    return sample, [effect.object_id for effect in made]


async def receive(system: System, sample: SampleOrder, refund: str) -> None:
    await receive_news(system, GatewayNews(system.shop.payments[sample.order_id][0], refund=refund))


async def fail(system: System, sample: SampleOrder, *refunds: str) -> None:
    """Each fails, and its event is kept."""
    for refund in refunds:
        await system.shop.gateway.fail(refund)
        await receive(system, sample, refund)


async def wait_for_question_about(system: System, sample: SampleOrder, *refunds: str) -> tuple[str, Handle]:
    """The first of these refunds that a person is asked about, in the order's run of now."""
    run = system.current(sample.order_id)
    found: list[str] = []

    async def is_asked() -> bool:
        waits = [wait for wait in (await system.progress(run)).waits if wait.step is not None]
        found.extend(refund for refund in refunds if any(refund in wait.reason for wait in waits))
        return bool(found)

    await eventually(is_asked, f"a person is asked about {refunds}")
    return found[0], run


async def refund_again(system: System, run: Handle) -> None:
    [wait] = [wait for wait in (await system.progress(run)).waits if wait.step is not None]
    assert wait.step
    assert wait.target
    await system.retry(run, wait.step, wait.target)
    await system.finish(run)


async def test_two_refunds_of_two_cancellations_that_fail_together_are_both_heard_of(system: System) -> None:
    """I3, I11: the bank returns both in one file, and both events are sent on at once. One of them meets the run that the
    other one has started."""
    sample, refunds = await cancel_lines(system, "L1", "L2")
    await fail(system, sample, *refunds)
    async with dispatching_events(system):
        heard, run = await wait_for_question_about(system, sample, *refunds)
        await refund_again(system, run)
        [other] = {*refunds} - {heard}
        _, run = await wait_for_question_about(system, sample, other)
        await refund_again(system, run)
        await wait_for_delivery(system, sample.order_id)


async def test_a_refund_that_fails_while_the_next_cancellation_is_verified_is_heard_of(system: System) -> None:
    """I3, I11: the gateway wants to be asked later, and the books know nothing of the next cancellation yet."""
    sample, [refund] = await cancel_lines(system, "L1")
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=30)
    following = await system.start(of_line(sample, "L2", "L2"))
    await system.wait_for_look(following, sample.order_id)
    await fail(system, sample, refund)
    async with dispatching_events(system):
        await wait_for_delivery(system, sample.order_id, times=1)
        assert (await system.finish(following)).outcome is Outcome.CANCELLED
        await wait_for_question_about(system, sample, refund)


async def test_a_refund_that_fails_is_heard_of_although_the_run_that_was_to_look_is_lost(system: System) -> None:
    """I3: nothing of that run is in the books."""
    sample, [refund] = await cancel_lines(system, "L1")
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=30)
    await fail(system, sample, refund)
    async with dispatching_events(system):
        run = system.current(sample.order_id)
        await system.wait_for_look(run, sample.order_id)
        await system.lose(run)
        await wait_for_question_about(system, sample, refund)


async def test_an_event_is_delivered_by_a_look_that_finds_nothing(system: System) -> None:
    """Rule 13: the refund has not failed."""
    sample, [refund] = await cancel_lines(system, "L1")
    await receive(system, sample, refund)
    async with dispatching_events(system):
        await wait_for_delivery(system, sample.order_id)
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
