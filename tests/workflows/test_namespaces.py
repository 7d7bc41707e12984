"""Two namespaces work on one database: the second one waits until a person orders it to take over."""

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from runtime import search_attributes
from runtime.plugin import plugin
from sandbox.gateway.messages import FaultKind
from sandbox.shop import request
from tests.observing import eventually
from tests.system import SUPERVISOR, Handle, System, new_queue, resolve
from tests.workflows.samples import captured

EXPENSIVE = "600.00 USD"


async def elsewhere(system: System) -> System:
    """The same shop, in another namespace of the server."""
    name = f"other-{uuid4().hex[:8]}"
    await system.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    address = system.client.service_client.config.target_host
    client = await Client.connect(address, namespace=name, plugins=[plugin()])
    for _ in range(100):
        try:
            await search_attributes.create(client)
            break
        except RPCError:
            await asyncio.sleep(0.2)

    async def ready() -> bool:
        return not await search_attributes.missing(client)

    await eventually(ready, "the namespace has its search attributes")
    await asyncio.sleep(1)  # the front end keeps its list of namespaces for a moment
    server: Any = SimpleNamespace(client=client, supports_time_skipping=False)
    return dataclasses.replace(system, server=server, task_queue=new_queue(), started=[])


async def status_of(system: System, handle: Handle) -> WorkflowExecutionStatus | None:
    return (await handle.describe()).status


async def failure_of(handle: Handle) -> str | None:
    try:
        await asyncio.wait_for(handle.result(), 20)
    except WorkflowFailureError as failed:
        return failed.cause.type if isinstance(failed.cause, ApplicationError) else str(failed.cause)
    return None


async def waits_at_verification(system: System, handle: Handle) -> None:
    async def there() -> bool:
        if await status_of(system, handle) is not WorkflowExecutionStatus.RUNNING:
            return True
        waits = (await system.progress(handle)).waits
        return any(wait.step is StepName.VERIFY_ORDER for wait in waits)

    await eventually(there, "the second run waits, or has ended")
    assert await status_of(system, handle) is WorkflowExecutionStatus.RUNNING, await failure_of(handle)
    [wait] = (await system.progress(handle)).waits
    assert (wait.state, wait.step) == (State.NEEDS_ATTENTION, StepName.VERIFY_ORDER)


async def test_the_second_namespace_waits_while_the_first_holds_the_order(real_time_system: System) -> None:
    """Rule 11: it waits for a person; `retry_step` takes over, and the first run ends as superseded."""
    system = real_time_system
    other = await elsewhere(system)
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker(max_cached_workflows=0), other.worker(max_cached_workflows=0):
        _, first = await system.submit(request(sample))
        await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
        second = await other.start(request(sample, request_id="second"))
        await waits_at_verification(other, second)
        await other.retry(second, StepName.VERIFY_ORDER, sample.order_id)
        await other.wait_for_state(second, State.WAITING_FOR_APPROVAL)
        await other.approve(second, SUPERVISOR)
        await other.finish(second)
        assert len(await system.refunds(sample.order_id)) == 1
        await system.terminate_runs()
        await other.terminate_runs()


async def test_both_namespaces_verify_at_once_and_the_later_one_waits(real_time_system: System) -> None:
    """Rule 11: the first run's look is slow, and the second holds the order meanwhile: it waits, like any other."""
    system = real_time_system
    other = await elsewhere(system)
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker(), other.worker():
        await system.disturb_look(sample.order_id, FaultKind.SLOW, seconds=4, times=2)
        first = await system.start(request(sample))
        await system.wait_for_look(first, sample.order_id)
        _, second = await other.submit(request(sample, request_id="second"))
        await other.wait_for_state(second, State.WAITING_FOR_APPROVAL)
        await waits_at_verification(system, first)
        await system.terminate_runs()
        await other.terminate_runs()


async def test_a_cancel_request_to_a_superseded_run_ends_it_as_superseded(real_time_system: System) -> None:
    """Rule 11: the run that was taken over ends as `superseded`, whatever wakes it up."""
    system = real_time_system
    other = await elsewhere(system)
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker(), other.worker():
        _, first = await system.submit(request(sample))
        await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
        second = await other.start(request(sample, request_id="second"))
        await waits_at_verification(other, second)
        await other.retry(second, StepName.VERIFY_ORDER, sample.order_id)
        await other.wait_for_state(second, State.WAITING_FOR_APPROVAL)
        await first.cancel()
        assert await failure_of(first) == "superseded"
        await system.terminate_runs()
        await other.terminate_runs()


async def test_a_cancel_request_to_a_run_that_waits_at_verification_changes_nothing_elsewhere(
    real_time_system: System,
) -> None:
    """Rule 1 and 11: it holds nothing, so it just ends, as rolled back; the other namespace's cancellation goes on."""
    system = real_time_system
    other = await elsewhere(system)
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker(), other.worker():
        _, first = await system.submit(request(sample))
        await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
        second = await other.start(request(sample, request_id="second"))
        await waits_at_verification(other, second)
        await second.cancel()
        assert await failure_of(second) in {None, "superseded"}
        await system.approve(first)
        await system.finish(first)
        assert len(await system.refunds(sample.order_id)) == 1
        await system.terminate_runs()
        await other.terminate_runs()


async def test_a_roll_back_ordered_at_the_second_namespace_ends_its_run_alone(real_time_system: System) -> None:
    """I3, I6: the second run holds nothing, so there is nothing to undo: it ends, and the first one goes on."""
    system = real_time_system
    other = await elsewhere(system)
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker(), other.worker():
        _, first = await system.submit(request(sample))
        await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
        second = await other.start(request(sample, request_id="second"))
        await waits_at_verification(other, second)
        await other.resolve(second, resolve(StepName.VERIFY_ORDER, sample.order_id, "roll_back"))
        assert (await other.finish(second)).outcome is Outcome.ROLLED_BACK
        await system.approve(first)
        assert (await system.finish(first)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money(EXPENSIVE)]
