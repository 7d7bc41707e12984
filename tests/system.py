"""The whole system for a test: a worker on real parts, a shop to place orders in, and the counts to check afterwards."""

import asyncio
import contextlib
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from temporalio.api.testservice.v1 import LockTimeSkippingRequest, SleepRequest, UnlockTimeSkippingRequest
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.workflow import UpdateMethodMultiParam

from client.cancellations import Cancellations
from client.runs import handle_of, is_refused_for_now
from client.submitting import attributes_at_start
from domain.decision import Decision
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    RefundEvent,
    Reject,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Submission,
    Withdraw,
)
from domain.money import Money
from domain.outcome import CancellationResult, State, Wait
from domain.policy import Policy
from domain.request import Actor, ActorKind, CancellationRequest, workflow_id
from domain.step import StepName
from domain.terms import RefundMethod, Terms
from providers.books.books import SqlBooks
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.gateway.stripe import StripeGateway
from providers.mail.port import Mailer
from providers.marketplace.mirakl import MiraklMarketplace
from providers.orders.port import Orders
from providers.stored_value.port import StoredValue
from runtime.policy_file import load_policy
from sandbox import books
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, Shop
from tests import loss
from tests.loss import LONGEST, Loss
from tests.observing import Observing, update_id
from tests.observing import eventually as eventually  # noqa: PLC0414 (the other tests import it from here)
from tests.replaying import cache_options
from worker import make_worker
from workflows.cancellation import CancellationWorkflow

Handle = WorkflowHandle[CancellationWorkflow, CancellationResult]
AGENT = Actor(kind=ActorKind.CUSTOMER_SERVICE, id="agent-7")
SUPERVISOR = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="supervisor-2")

POLICY = load_policy(Path(__file__).resolve().parents[1] / "policy.toml").model_copy(
    update={"version": "test", "terms": Terms(next_round=timedelta(minutes=10))}
)


class DecidedSubmission(Submission):
    """A submission that was not deferred."""

    decision: Decision


@dataclass
class System(Observing):
    """`server` is Temporal; `task_queue` is the test's own."""

    books: SqlBooks
    orders: Orders
    stored_value: StoredValue
    shop: Shop
    gateway: StripeGateway
    labels: EasyPostLabels
    intercepts: UpsIntercepts
    marketplace: MiraklMarketplace
    mailer: Mailer
    task_queue: str
    started: list[Handle] = field(default_factory=list)

    async def terminate_runs(self) -> None:
        """End what a test left running: a run without a worker would hold up the skipping clock for every other test."""
        for handle in self.started:
            with contextlib.suppress(RPCError):
                await handle.terminate("the test is over")

    @property
    def client(self) -> Client:
        return self.server.client

    @property
    def library(self) -> Cancellations:
        """The client library, as a backend service uses it."""
        return Cancellations(self.client, task_queue=self.task_queue)

    def worker(self, *, policy: Policy = POLICY, client: Client | None = None, **options: Any) -> Worker:
        """`client` is what the worker reads and writes the server with, where that is not our own."""
        return make_worker(
            client or self.client,
            books=self.books,
            orders=self.orders,
            stored_value=self.stored_value,
            gateway=self.gateway,
            labels=self.labels,
            intercepts=self.intercepts,
            mailer=self.mailer,
            policy=policy,
            marketplace=self.marketplace,
            task_queue=self.task_queue,
            **{**cache_options(), **options},
        )

    async def submit(
        self, request: CancellationRequest, *, lasts: timedelta | None = None
    ) -> tuple[DecidedSubmission, Handle]:
        """Start the cancellation, or join it, and wait for the decision. The run may time out after `lasts`."""
        start = WithStartWorkflowOperation(
            CancellationWorkflow.run,
            request,
            id=workflow_id(request.order_id),
            task_queue=self.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            execution_timeout=lasts,
            search_attributes=attributes_at_start(request),
        )
        receipt = await self.client.execute_update_with_start_workflow(
            CancellationWorkflow.submit, request, start_workflow_operation=start
        )
        handle = await start.workflow_handle()
        self.started.append(handle)
        while receipt.decision is None:
            progress = await self.progress(handle)
            plan = await handle.query(CancellationWorkflow.plan)
            receipt = receipt.model_copy(update={"decision": progress.decision, "plan": plan})
            await asyncio.sleep(0.05)
        return DecidedSubmission(**dict(receipt)), handle

    async def start(self, request: CancellationRequest, *, task_lasts: timedelta | None = None) -> Handle:
        """Start the cancellation and wait for nothing. A task of the run that nobody completes is given to the next worker
        after `task_lasts`; by default after ten seconds."""
        await self.client.start_workflow(
            CancellationWorkflow.run,
            request,
            id=workflow_id(request.order_id),
            task_queue=self.task_queue,
            task_timeout=task_lasts,
            search_attributes=attributes_at_start(request),
        )
        handle = self.current(request.order_id)  # the one of start_workflow would unlock the clock, as `end` does
        self.started.append(handle)
        return handle

    async def cancel(self, request: CancellationRequest) -> CancellationResult:
        """Start the cancellation and wait for its end."""
        _, handle = await self.submit(request)
        return await self.end(handle)

    async def end(self, handle: Handle) -> CancellationResult:
        """The result of a run. On the time-skipping server its clock jumps from timer to timer until then."""
        if not self.server.supports_time_skipping:
            return await handle.result()
        # Only handles that start_workflow made unlock the clock by themselves, and ours come from update-with-start.
        await self.client.test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
        try:
            return await handle.result()
        finally:
            await self.client.test_service.lock_time_skipping(LockTimeSkippingRequest())

    async def skip(self, by: timedelta) -> None:
        """Let the server's clock jump; what is due on the way happens. On a busy machine that takes longer than a call may
        by default."""
        asked = SleepRequest()
        asked.duration.FromTimedelta(by)
        await self.client.test_service.unlock_time_skipping_with_sleep(asked, timeout=timedelta(seconds=100))

    async def skip_to_state(self, handle: Handle, *states: State) -> None:
        """Let the clock jump until the run is in one of `states`. How much of a round of attempts has passed when the clock
        stands still again depends on how fast they are, with a provider that is away: its breaker counts real seconds."""
        for _ in range(5):
            await self.skip(timedelta(minutes=3))
            with contextlib.suppress(AssertionError):
                await self.wait_for_state(handle, *states, within=4)
                return
        await self.wait_for_state(handle, *states)

    async def notify_of_parcel(self, order_id: str) -> Handle:
        """Send an event of the carrier, about an order whose cancellation may be over: it starts a run, or wakes one."""
        return await self._signal(order_id, "shipment_event", ShipmentEvent(event_id="evt_p"))

    async def notify_of_refund(self, order_id: str) -> Handle:
        """Send on an event of the gateway in the same way."""
        return await self._signal(order_id, "refund_event", RefundEvent(event_id="evt_r"))

    async def _signal(self, order_id: str, signal: str, event: ShipmentEvent | RefundEvent) -> Handle:
        known = await books.request_of(self.engine, order_id)
        started = await self.client.start_workflow(
            CancellationWorkflow.run,
            known,
            id=workflow_id(order_id),
            task_queue=self.task_queue,
            start_signal=signal,
            start_signal_args=[event],
            search_attributes=attributes_at_start(known),
        )
        run_id = started.result_run_id
        handle = handle_of(self.client, order_id, run_id)
        self.started.insert(0, handle)  # the run that the test is about
        return handle

    async def approve(self, handle: Handle, actor: Actor | None = None) -> None:
        await self.send(handle, CancellationWorkflow.approve, Approve(actor=actor or SUPERVISOR))

    async def reject(self, handle: Handle, actor: Actor | None = None) -> None:
        await self.send(handle, CancellationWorkflow.reject, Reject(actor=actor or SUPERVISOR))

    async def withdraw(self, handle: Handle, actor: Actor) -> None:
        await self.send(handle, CancellationWorkflow.withdraw, Withdraw(actor=actor))

    async def retry(self, handle: Handle, step: StepName, target: str) -> None:
        await self.send(handle, CancellationWorkflow.retry_step, RetryStep(actor=SUPERVISOR, step=step, target=target))

    async def choose(self, handle: Handle, actor: Actor, method: RefundMethod, target: str = "T1") -> None:
        message = ChooseRefundMethod(actor=actor, target=target, method=method)
        await self.send(handle, CancellationWorkflow.choose_refund_method, message)

    async def resolve(self, handle: Handle, answer: ResolveStep) -> None:
        await self.send(handle, CancellationWorkflow.resolve_step, answer)

    async def send(
        self, handle: Handle, update: UpdateMethodMultiParam[[Any, Any], Acknowledgement], message: object
    ) -> None:
        """Again while the engine takes none for the moment, as the client library does."""
        known_as = update_id.get() or uuid4().hex

        async def taken() -> bool:
            try:
                await handle.execute_update(update, message, id=known_as)
            except RPCError as error:
                if not is_refused_for_now(error):
                    raise
                return False
            return True

        await eventually(taken, f"the run takes {update}")

    async def lose(self, handle: Handle, how: Loss = Loss.TERMINATED) -> None:
        """No code of the run goes on, and nothing is undone. TIMED_OUT: the run was submitted with `lasts=LONGEST`, and
        time is skipped; RESET and FORGOTTEN need the dev server. A run that has ended stays as it is."""
        match how:
            case Loss.TERMINATED:
                with contextlib.suppress(RPCError):
                    await handle.terminate("by mistake")
            case Loss.TIMED_OUT:
                await self.skip(LONGEST)
                await eventually(
                    lambda: self._has_status(handle, WorkflowExecutionStatus.TIMED_OUT), "the run times out"
                )
            case Loss.RESET:
                run_id = await loss.reset(self.client, handle)
                again: Handle = self.client.get_workflow_handle_for(CancellationWorkflow.run, handle.id, run_id=run_id)
                self.started.append(again)
            case Loss.FORGOTTEN:
                await loss.delete(self.client, handle)
                self.started = [other for other in self.started if other.id != handle.id]  # nothing to record
                await eventually(lambda: self._has_status(handle, None), "the engine has deleted the run")

    def current(self, order_id: str) -> Handle:
        """The order's run of now, also after a reset, which keeps the first run's id in the chain."""
        return handle_of(self.client, order_id)

    async def disturb_look(self, order_id: str, fault: FaultKind, seconds: float = 3, times: int = 1) -> None:
        """The next looks at the order's first payment meet `fault`: SLOW for, or HTTP_429 with a retry after, `seconds`.
        The first of a verification is made within the workflow's own task, and given up after two seconds."""
        payment, call = self.shop.payments[order_id][0], "payment_intent.retrieve"
        await self.shop.gateway.add_fault(
            call, fault, payment=payment, retry_after=seconds, seconds=seconds, times=times
        )

    async def wait_for_look(self, handle: Handle, order_id: str) -> None:
        """Wait until the run has met the fault of `disturb_look`, or waits for something without such a look."""

        async def met() -> bool:
            begun = not await self.shop.gateway.faults_left(self.shop.payments[order_id][0])
            return begun or bool((await self.progress(handle)).waits)

        await eventually(met, "the run looks at the payment")

    async def wake(self, handle: Handle) -> None:
        """What a webhook of the gateway becomes: a signal that only wakes the run up."""
        await handle.signal(CancellationWorkflow.refund_event, RefundEvent(event_id="evt_1"))

    async def wake_by_carrier(self, handle: Handle) -> None:
        """The same for a webhook of the carrier."""
        await handle.signal(CancellationWorkflow.shipment_event, ShipmentEvent(event_id="evt_2"))

    async def signal_by_hand(self, handle: Handle, about: Literal["shipment", "refund"], *arguments: object) -> None:
        """What somebody types into the Temporal UI or its command line; nothing checks the arguments there."""
        await handle.signal(f"{about}_event", args=arguments)

    async def refusal(self, message: Awaitable[None]) -> str | None:
        """The sentence with which the run refused a message of this class; None: it accepted it."""
        try:
            await message
        except WorkflowUpdateFailedError as refused:
            return str(getattr(refused.cause, "message", refused.cause))
        return None

    async def read_rolled_back(self, handle: Handle) -> CancellationResult:
        """The result in the details of a run that a failure rolled back."""
        try:
            result = await self.end(handle)
        except WorkflowFailureError as failure:
            return _details(failure)
        raise AssertionError(f"the run did not fail; it ended as {result.outcome}")

    async def finish(self, handle: Handle, within: float = 20) -> CancellationResult:
        """The result of a run that nobody has to help any more, also of one that a failure rolled back."""
        try:
            return await asyncio.wait_for(self.end(handle), within)
        except WorkflowFailureError as failure:
            return _details(failure)
        except TimeoutError:
            waits = (await self.progress(handle)).waits
            raise AssertionError(f"the run has not ended; it waits: {waits}") from None

    async def refunds(self, order_id: str) -> list[Money]:
        """Every refund that the gateway ever committed for the order's cards, with its own count of what failed since."""
        amounts = []
        for payment in self.shop.payments.get(order_id, []):
            for effect in await self.shop.gateway.effects(payment, EffectKind.REFUND_CREATED):
                amounts.append(Money(amount=effect.amount, currency=effect.currency.upper()))
        return amounts

    async def voids(self, order_id: str) -> int:
        """How often the gateway released an authorisation of the order."""
        found = [
            await self.shop.gateway.effects(payment, EffectKind.PAYMENT_VOIDED)
            for payment in self.shop.payments.get(order_id, [])
        ]
        return sum(len(effects) for effects in found)

    async def carrier_effects(self, order_id: str) -> list[str]:
        """What the carrier did to the order's parcels after their labels were bought."""
        found = []
        for label in self.shop.labels.get(order_id, []):
            found += [effect.kind.value for effect in await self.shop.carrier.effects(label)]
        return [kind for kind in found if kind != "label.bought"]


def _details(failure: WorkflowFailureError) -> CancellationResult:
    cause = failure.cause
    assert isinstance(cause, ApplicationError), cause
    assert cause.type == "rolled_back", cause
    return CancellationResult.model_validate(cause.details[0])


def settled(wait: Wait, resolution: str, reference: str) -> ResolveStep:
    """A person's answer to the wait that the run shows."""
    assert wait.step is not None, wait
    assert wait.target is not None, wait
    return resolve(wait.step, wait.target, resolution, reference)


def resolve(
    step: StepName, target: str, resolution: str, reference: str = "REF-1", actor: Actor = SUPERVISOR
) -> ResolveStep:
    return ResolveStep.model_validate(
        {"actor": actor, "step": step, "target": target, "resolution": resolution, "reference": reference}
    )


def customer_of(sample: SampleOrder) -> Actor:
    return Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id)


def new_queue() -> str:
    return f"queue-{uuid4().hex[:8]}"
