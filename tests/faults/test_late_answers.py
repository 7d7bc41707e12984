"""A provider's event arrives before the answer to the call that it is about, and an answer that comes when another namespace
has taken the cancellation over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import pytest

from domain.errors import OutcomeUnknown
from domain.outcome import Outcome, State
from domain.step import StepName
from runtime.plugin import TASK_QUEUE
from sandbox.gateway.messages import EffectKind
from sandbox.shop import request
from tests.faults.invariants import violations
from tests.faults.model import Said, Verb
from tests.faults.staff import Staff, place_order
from tests.faults.stories import STORIES, Story
from tests.faults.test_webhooks import Delivery, deliver, read_events
from tests.faults.world import read_world
from tests.fixtures.api import Api, environment, running_api
from tests.observing import eventually
from tests.system import Handle, System
from tests.workflows.test_namespaces import elsewhere, waits_at_verification


class Answers(StrEnum):
    COME = "come"
    ARE_LOST = "are_lost"


_ANSWERS = pytest.mark.parametrize("answers", [Answers.COME, pytest.param(Answers.ARE_LOST, marks=pytest.mark.long)])


class LateAnswer:
    """A counterpart that has carried out the first call of this name when `meanwhile` happens, and answers after it."""

    def __init__(
        self, counterpart: object, call: str, meanwhile: Callable[[], Awaitable[None]], answers: Answers = Answers.COME
    ) -> None:
        self._counterpart = counterpart
        self._call = call
        self._meanwhile = meanwhile
        self._answers = answers
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._counterpart, name)
        if name != self._call:
            return found

        async def call(*args: Any, **named: Any) -> Any:
            answer = await found(*args, **named)
            self.calls += 1
            if self.calls == 1:
                await self._meanwhile()
                if self._answers is Answers.ARE_LOST:
                    raise OutcomeUnknown("The answer was lost.")
            return answer

        return call


@pytest.fixture
async def api(real_time_system: System, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """To which only the test delivers."""
    real_time_system.task_queue = TASK_QUEUE
    temporal = real_time_system.client.service_client.config.target_host
    async with running_api(tmp_path / "api.log", environment(temporal, sqlite_url)) as running:
        yield running


async def has_heard(handle: Handle) -> bool:
    events = (await handle.fetch_history()).events
    return any(event.HasField("workflow_execution_signaled_event_attributes") for event in events)


async def deliver_all(system: System, api: Api, staff: Staff) -> None:
    """Every event of the payment; returns when the run has been woken up."""
    [payment] = system.shop.payments[staff.sample.order_id]
    for event in await read_events(system, payment):
        assert await deliver(api, event, Delivery.GENUINE) == 200

    async def heard() -> bool:
        return await has_heard(staff.handle)

    await eventually(heard, "the run hears of the event")


async def read_refund(system: System, staff: Staff) -> str:
    [payment] = system.shop.payments[staff.sample.order_id]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    return refund.object_id


async def assert_paid_once(system: System, staff: Staff) -> None:
    world = await read_world(system, staff.watched)
    assert violations(world) == []
    assert [found.outcome for found in world.cancellations] == [Outcome.CANCELLED]
    assert world.given_back == sum(tender.amount.amount for tender in world.order.tenders)


@asynccontextmanager
async def refund_that(
    changes: Callable[[str], Awaitable[None]], system: System, api: Api, answers: Answers
) -> AsyncIterator[Staff]:
    """The cancellation of an order whose refund `changes` at the bank, with the events of that, before its own answer comes:
    the books do not know its number yet."""
    staff = await place_order(system, STORIES[Story.PENDING_REFUND])

    async def change() -> None:
        await changes(await read_refund(system, staff))
        await deliver_all(system, api, staff)

    late = LateAnswer(system.gateway, "refund", change, answers)
    async with replace(system, gateway=cast("Any", late)).worker():
        await staff.submit()
        yield staff
    assert late.calls >= 1
    await assert_paid_once(system, staff)


@_ANSWERS
async def test_a_refund_that_settles_before_its_answer_has_settled(
    real_time_system: System, api: Api, answers: Answers
) -> None:
    """B22, E17: nobody wakes the run later."""
    system = real_time_system
    async with refund_that(system.shop.gateway.settle, system, api, answers) as staff:
        await system.finish(staff.handle, within=40)


@_ANSWERS
async def test_a_refund_that_fails_before_its_answer_has_failed(
    real_time_system: System, api: Api, answers: Answers
) -> None:
    """B24, I1: it is seen without another event, and the money goes back by the next refund."""
    system = real_time_system
    async with refund_that(system.shop.gateway.fail, system, api, answers) as staff:
        await system.wait_for_step(staff.handle, StepName.REVERSE_PAYMENT)
        await staff.see_through()


@_ANSWERS
@pytest.mark.parametrize(
    ("story", "port", "call"),
    [(Story.LABEL, "labels", "void"), (Story.INTERCEPTED, "intercepts", "request")],
)
async def test_a_parcel_is_scanned_before_the_carrier_answers(
    real_time_system: System, story: Story, port: str, call: str, answers: Answers
) -> None:
    """C5, E17: nobody wakes the run later."""
    system = real_time_system
    staff = await place_order(system, STORIES[story])

    async def scan() -> None:
        await system.shop.carrier.advance(24 * 3600)
        await system.wake_by_carrier(staff.handle)

    late = LateAnswer(getattr(system, port), call, scan, answers)
    changed: dict[str, Any] = {port: late}
    async with replace(system, **changed).worker():
        await staff.submit()
        await system.finish(staff.handle, within=40)
    assert late.calls >= 1
    await assert_paid_once(system, staff)


async def test_a_refund_whose_answer_comes_after_another_namespace_took_over_is_made_once(
    real_time_system: System,
) -> None:
    """Rule 11, I5: the other one looks it up, and ends the cancellation; the first run finds that it has ended."""
    system = real_time_system
    other = await elsewhere(system)
    staff = await place_order(system, STORIES[Story.APPROVED])
    refunded, ended = asyncio.Event(), asyncio.Event()

    async def take_over() -> None:
        refunded.set()
        await ended.wait()

    late = LateAnswer(system.gateway, "refund", take_over)
    async with replace(system, gateway=cast("Any", late)).worker(), other.worker():
        await staff.submit()
        await system.wait_for_state(staff.handle, State.WAITING_FOR_APPROVAL)
        await system.approve(staff.handle)
        staff.watched.said.append(Said(verb=Verb.APPROVE))
        await refunded.wait()
        second = await other.start(request(staff.sample, request_id="second"))
        await waits_at_verification(other, second)
        await other.retry(second, StepName.VERIFY_ORDER, staff.sample.order_id)
        result = await other.finish(second, within=40)
        ended.set()
        late_result = await system.finish(staff.handle)
    assert late_result.cancellation_id == result.cancellation_id
    assert late_result.outcome is result.outcome is Outcome.CANCELLED
    await assert_paid_once(other, staff)
    await other.terminate_runs()
