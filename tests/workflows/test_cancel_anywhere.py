"""A cancel request at every event of a run, one run each: nothing is left half done, wherever it lands.

The run is halted at every point at which its history can grow: before each workflow task, before each activity and after
it. At the first such point at which the history is long enough the cancel request is sent, and the run goes on only once
the server has it. So the request lands at every index, also while a task or an activity is under way.
"""

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.service import RPCError

from domain.messages import Reject
from domain.money import money
from domain.order import OrderFlag, OrderState
from domain.outcome import CancellationResult, GoodsStatus, Outcome, State
from sandbox import books
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults.moments import Moment, halting_worker
from tests.system import SUPERVISOR, Handle, System, eventually
from tests.workflows.samples import an_id
from workflows.cancellation import CancellationWorkflow

LAST_TASK = 6
"""What the last task of a run adds to its history once it was halted for the last time: an update that it accepts and
answers, its completion, the end."""


async def info(system: System, handle: Handle) -> WorkflowExecutionInfo:
    """By the raw call: `describe()` cannot read an unset time attribute from the time-skipping server."""
    asked = DescribeWorkflowExecutionRequest(
        namespace=system.client.namespace, execution=WorkflowExecution(workflow_id=handle.id)
    )
    return (await system.client.workflow_service.describe_workflow_execution(asked)).workflow_execution_info


async def run_once(
    system: System, sample: SampleOrder, *, cancel_at: int | None, reject: bool
) -> tuple[CancellationResult, int, bool]:
    """One run to its end, cancelled when its history has `cancel_at` events. Returns its result, the length of its
    history, and whether the request landed while the run was open."""
    await system.shop.place_order(sample)
    handle: Handle | None = None
    sent = False

    async def halt(moment: Moment) -> None:
        nonlocal sent
        if handle is None or cancel_at is None or sent:
            return
        length = moment.history_length
        if length is None:
            length = (await info(system, handle)).history_length
        if length >= cancel_at:
            sent = True
            await handle.cancel()

    if cancel_at is not None and cancel_at <= 2:
        handle = await system.start(request(sample))
        sent = True
        await handle.cancel()
    async with halting_worker(system, halt):
        if handle is None:
            handle = await system.start(request(sample))
        started = handle

        async def closed() -> bool:
            if int((await info(system, started)).status) != int(WorkflowExecutionStatus.RUNNING):
                return True
            if reject and (await started.query(CancellationWorkflow.progress)).state is State.WAITING_FOR_APPROVAL:
                try:
                    await system.send(started, CancellationWorkflow.reject, Reject(actor=SUPERVISOR))
                except (WorkflowUpdateFailedError, RPCError):
                    return False  # the cancel request was quicker
            return False

        await eventually(closed, f"the run cancelled at event {cancel_at} ends")
        return await started.result(), (await info(system, started)).history_length, sent


async def assert_whole(system: System, sample: SampleOrder, result: CancellationResult, at: object) -> None:
    """Either everything happened, once, or nothing is left of what happened: I1, I2, I3, I5, I9."""
    order = await system.read_order(sample.order_id)
    refunds = await system.refunds(sample.order_id)
    carrier = await system.carrier_effects(sample.order_id)
    state = next((c.outcome for c in await books.cancellations(system.engine) if c.order_id == sample.order_id), None)
    assert order.held_by is None, at
    if result.outcome is Outcome.CANCELLED:
        assert refunds == [money("64.00 USD")], at
        assert order.state is OrderState.CANCELLED, at
        assert carrier == ["label.void_submitted"], at
        assert state is Outcome.CANCELLED, at
        await system.assert_books_balance()
        return
    assert result.outcome is Outcome.ROLLED_BACK, at
    assert refunds == [], at
    assert order.state is OrderState.OPEN, at
    assert not any(shipment.stopped for shipment in order.shipments), at
    assert state in {None, Outcome.ROLLED_BACK}, at
    voided, bought = carrier.count("label.void_submitted"), len(await relabelled(system, sample))
    assert voided == bought, f"{at}: {voided} labels voided, {bought} bought again"
    assert voided <= 1, at
    if voided:
        assert result.goods is GoodsStatus.MOVING_AGAIN, at


async def relabelled(system: System, sample: SampleOrder) -> list[str]:
    first = set(system.shop.labels[sample.order_id])
    now = {s.label_reference for s in (await system.read_order(sample.order_id)).shipments if s.label_reference}
    return sorted(now - first)


def sample_order(*, review: bool) -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "64.00 USD"),),
        tenders=(card("64.00 USD"),),
        parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(None, L1=1)),
        flags=frozenset({OrderFlag.FRAUD_REVIEW}) if review else frozenset(),
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", ["happy", "roll_back"])
async def test_a_cancel_request_at_any_event_leaves_nothing_half_done(bare_system: System, path: str) -> None:
    system, reject = bare_system, path == "roll_back"
    sample = sample_order(review=reject)
    result, length, _ = await run_once(system, sample, cancel_at=None, reject=reject)
    assert result.outcome is (Outcome.ROLLED_BACK if reject else Outcome.CANCELLED)
    await assert_whole(system, sample, result, "not cancelled")
    outcomes = []
    for index in range(1, length + 1):
        sample = sample_order(review=reject)
        result, reached, sent = await run_once(system, sample, cancel_at=index, reject=reject)
        await assert_whole(system, sample, result, f"cancelled at event {index} of {length}")
        assert sent or reached < index + LAST_TASK, f"not cancelled at event {index}, and it came to {reached}"
        outcomes.append((sent, result.outcome))
    assert outcomes[0] == (True, Outcome.ROLLED_BACK)
    if not reject:
        assert (True, Outcome.CANCELLED) in outcomes, "a request after the pivot changes nothing"
