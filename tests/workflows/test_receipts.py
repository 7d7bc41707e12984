"""What the library makes of a receipt that does not have the decision yet, and of a run that has ended."""

from typing import Any

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor, QueryWorkflowInput
from temporalio.service import RPCError, RPCStatusCode

from client.cancellations import Cancellations
from client.errors import StarterError
from domain.decision import Verdict
from domain.messages import Approve
from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.gateway.messages import FaultKind
from sandbox.shop import request
from tests.system import AGENT, SUPERVISOR, System, resolve
from tests.workflows.samples import captured


class BusyWorker(Interceptor):
    """The first time that the plan is asked for, no worker answers in time."""

    def __init__(self) -> None:
        self.left = 1

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Unanswered(next, self)


class _Unanswered(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, busy: BusyWorker) -> None:  # noqa: A002
        super().__init__(next)
        self._busy = busy

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
        if input.query == "plan" and self._busy.left:
            self._busy.left = 0
            raise RPCError("no worker polls", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        return await super().query_workflow(input)


async def test_a_decision_that_is_read_from_the_run_comes_with_its_plan(open_system: System) -> None:
    """Rule 15, D12: the first look at the payment takes longer than `submit` waits for, so decision and plan are read from
    the run; a worker that is busy answers the first question and not the second."""
    system, sample = open_system, captured(parcels=(), total="600.00 USD")
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, FaultKind.SLOW, seconds=5, times=2)
    busy = BusyWorker()
    config = system.client.config()
    config["interceptors"] = [*config["interceptors"], busy]
    submission = await Cancellations(Client(**config), task_queue=system.task_queue).start(request(sample))
    assert submission.decision is not None
    assert submission.decision.verdict is Verdict.NEEDS_APPROVAL
    assert submission.plan is not None
    assert submission.plan.refund == money("600.00 USD")
    assert not busy.left, "the worker was not busy"
    system.started.append(system.current(sample.order_id))
    await system.approve(system.current(sample.order_id))
    await system.finish(system.current(sample.order_id))


async def test_a_decision_sent_again_after_the_end_is_acknowledged(open_system: System) -> None:
    """Rule 12: the first answer was lost, and the run has ended since. Somebody else's answer comes too late."""
    system, sample = open_system, captured(total="600.00 USD", fault="refund.create:refuse")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    approval, paid = Approve(actor=SUPERVISOR), resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1")
    await system.library.approve(sample.order_id, approval)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.library.resolve_step(sample.order_id, paid)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    unnamed = paid.model_copy(update={"step": None, "target": None})
    assert (await system.library.approve(sample.order_id, approval)).state is State.CANCELLED
    for again in (paid, unnamed):
        assert (await system.library.resolve_step(sample.order_id, again)).state is State.CANCELLED
    with pytest.raises(StarterError, match="is over"):
        await system.library.approve(sample.order_id, Approve(actor=AGENT))
    with pytest.raises(StarterError, match="is over"):
        await system.library.resolve_step(sample.order_id, paid.model_copy(update={"reference": "BANK-2"}))
    assert await system.paid_by_hand("BANK-1") == money("600.00 USD")
