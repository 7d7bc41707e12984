"""An attempt that wakes up after its cancellation was rolled back or taken over: it writes nothing, anywhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import Unavailable
from domain.money import money
from domain.order import OrderFlag, OrderState, TenderKind
from domain.outcome import Outcome, State
from domain.step import StepName, StepStatus
from sandbox import books, built_in
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request, stored
from tests.observing import eventually
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.samples import an_id, bought_gift_card, captured


class PausedWorker(Interceptor):
    """Holds the first attempt of a step up before it has done anything, until `wake`. The server hears nothing of it and
    has the step done again: with `first` by attempts that work, otherwise by none that does. With a `target` it holds up the
    attempts for that alone."""

    def __init__(self, step: StepName, *, first: bool = False, target: str | None = None) -> None:
        self.step = step
        self.first = first
        self.target = target
        self.late: asyncio.Task[Any] | None = None
        self.awake = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Paused(next, self)

    async def has_begun(self) -> bool:
        return self.late is not None

    async def wake(self) -> None:
        """Until the late attempt is over, whatever becomes of it."""
        assert self.late is not None
        self.awake.set()
        await asyncio.wait({self.late})
        with contextlib.suppress(Exception):
            self.late.result()


class _Paused(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, worker: PausedWorker) -> None:  # noqa: A002
        super().__init__(next)
        self._worker = worker

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        worker = self._worker
        paused = activity.info().activity_type == worker.step and worker.target in {None, input.args[0].target}
        if not paused or (worker.first and worker.late is not None):
            return await super().execute_activity(input)
        if worker.late is None:
            worker.late = asyncio.create_task(self._later(input))
        raise Unavailable("The worker is paused.")  # what the server takes it for

    async def _later(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        await self._worker.awake.wait()
        return await super().execute_activity(input)


@asynccontextmanager
async def paused(
    system: System, step: StepName, *, first: bool = False, target: str | None = None
) -> AsyncIterator[PausedWorker]:
    worker = PausedWorker(step, first=first, target=target)
    async with system.worker(more_interceptors=[worker]):
        yield worker
        assert worker.late is not None
        assert worker.late.done()


async def run_to_pause(system: System, sample: SampleOrder, worker: PausedWorker) -> Handle:
    await system.shop.place_order(sample)
    handle = await system.start(request(sample))
    await eventually(worker.has_begun, f"{worker.step} has begun")
    return handle


async def withdrawn(system: System, sample: SampleOrder, handle: Handle) -> None:
    """The customer takes it back, and the order is released."""
    await system.withdraw(handle, customer_of(sample))
    await system.skip(timedelta(minutes=3))
    await system.end(handle)
    await _is_released(system, sample, Outcome.WITHDRAWN)


async def rolled_back(system: System, sample: SampleOrder, handle: Handle, step: StepName, target: str) -> None:
    """The step has no answer; a person orders the roll-back, and the order is released."""
    await system.skip(timedelta(minutes=3))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(step, target, "roll_back", "TICKET-1"))
    with contextlib.suppress(WorkflowFailureError):
        await system.end(handle)
    await _is_released(system, sample, Outcome.ROLLED_BACK)


async def _is_released(system: System, sample: SampleOrder, outcome: Outcome) -> None:
    assert await system.outcomes(sample.order_id) == [outcome]
    assert (await system.read_order(sample.order_id)).held_by is None


# Goods


async def test_a_late_pick_is_not_withdrawn(bare_system: System) -> None:
    """M25, E19"""
    system, sample = bare_system, captured(parcels=(parcel(None, L1=1),))
    async with paused(system, StepName.STOP_SHIPMENT) as worker:
        handle = await run_to_pause(system, sample, worker)
        await withdrawn(system, sample, handle)
        await worker.wake()
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    assert not order.shipments[0].stopped


async def test_a_late_label_is_not_voided(bare_system: System) -> None:
    """M25, E19"""
    system, sample = bare_system, captured()
    async with paused(system, StepName.STOP_SHIPMENT) as worker:
        handle = await run_to_pause(system, sample, worker)
        await withdrawn(system, sample, handle)
        await worker.wake()
    assert await system.carrier_effects(sample.order_id) == []


async def test_a_late_attempt_leaves_the_new_label_alone(bare_system: System) -> None:
    """M25, E19: another attempt has voided the label, and the roll-back has bought a new one."""
    system = bare_system
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    async with paused(system, StepName.STOP_SHIPMENT, first=True) as worker:
        handle = await run_to_pause(system, sample, worker)
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.withdraw(handle, customer_of(sample))
        await system.skip(timedelta(minutes=3))
        await system.end(handle)
        await _is_released(system, sample, Outcome.WITHDRAWN)
        await worker.wake()
    new = (await system.read_order(sample.order_id)).shipments[0].label_reference
    assert new is not None
    assert new not in system.shop.labels[sample.order_id]
    effects = await system.shop.carrier.effects(new)
    assert [effect.kind.value for effect in effects] == ["label.bought"]


async def test_a_late_attempt_leaves_the_new_label_alone_while_the_roll_back_goes_on(real_time_system: System) -> None:
    """I9, E19: within its time, while the roll-back waits for another parcel."""
    system = real_time_system
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "36.00 USD")),
        tenders=(card("100.00 USD"),),
        parcels=(parcel(Script.SCANNED_BEFORE_VOID, L1=1), parcel(Script.LABEL_ONLY, L2=1)),
    )
    await system.shop.place_order(sample)

    async def is_done(step: StepName) -> bool:
        rows = (await system.progress(handle)).steps
        return any((row.step, row.target, row.status) == (step, "S2", StepStatus.DONE) for row in rows)

    async with paused(system, StepName.STOP_SHIPMENT, first=True, target="S2") as worker:
        handle = await system.start(request(sample))
        await eventually(lambda: is_done(StepName.STOP_SHIPMENT), "S2 is stopped by the second attempt")
        await system.withdraw(handle, customer_of(sample))
        await eventually(lambda: is_done(StepName.RESUME_SHIPMENT), "S2 goes on")
        await worker.wake()
        asked = await system.wait_for_step(handle, StepName.RESUME_SHIPMENT, "S1")
        assert asked
        await system.resolve(handle, settled(asked, "done_by_hand", "SHIPPED-AGAIN"))
        assert (await system.finish(handle)).outcome is Outcome.WITHDRAWN
    new = (await system.read_order(sample.order_id)).shipments[1].label_reference
    assert new is not None
    assert new not in system.shop.labels[sample.order_id]
    assert [effect.kind.value for effect in await system.shop.carrier.effects(new)] == ["label.bought"]


async def test_a_late_gift_card_is_not_deactivated(bare_system: System) -> None:
    """M25, E19"""
    system, sample = bare_system, bought_gift_card()
    async with paused(system, StepName.STOP_SHIPMENT) as worker:
        handle = await run_to_pause(system, sample, worker)
        await withdrawn(system, sample, handle)
        await worker.wake()
    assert await built_in.balance(system.engine, f"bought-{sample.order_id}-S1") == money("50.00 USD")


# Money and paper


async def test_a_late_refund_is_not_made(bare_system: System) -> None:
    """E19, I1: rolled back is zero."""
    system, sample = bare_system, captured()
    async with paused(system, StepName.REVERSE_PAYMENT) as worker:
        handle = await run_to_pause(system, sample, worker)
        await rolled_back(system, sample, handle, StepName.REVERSE_PAYMENT, "T1")
        await worker.wake()
    assert await system.refunds(sample.order_id) == []


async def test_a_late_reservation_is_not_released(bare_system: System) -> None:
    """E19, I1"""
    system = bare_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", "0.00 USD"),)})
    async with paused(system, StepName.REVERSE_PAYMENT) as worker:
        handle = await run_to_pause(system, sample, worker)
        await rolled_back(system, sample, handle, StepName.REVERSE_PAYMENT, "T1")
        await worker.wake()
    assert await system.voids(sample.order_id) == 0
    payment = await system.gateway.read_payment(system.shop.payments[sample.order_id][0])
    assert payment.capturable == money("64.00 USD")


async def test_a_late_balance_is_not_put_back(bare_system: System) -> None:
    """M25, E19: nobody holds the order."""
    system = bare_system
    tender = stored(TenderKind.GIFT_CARD, "10.00 USD")
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "10.00 USD"),), tenders=(tender,))
    async with paused(system, StepName.REVERSE_PAYMENT) as worker:
        handle = await run_to_pause(system, sample, worker)
        await rolled_back(system, sample, handle, StepName.REVERSE_PAYMENT, "T1")
        await worker.wake()
    assert await built_in.balance(system.engine, f"gift_card-{sample.order_id}-T1") == money("0.00 USD")


async def test_a_late_credit_note_is_not_issued(bare_system: System) -> None:
    """E19, I4: its refund could still be cancelled."""
    system = bare_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", fault="refund.create:requires_action"),)})
    async with paused(system, StepName.CREDIT_REFUND) as worker:
        handle = await run_to_pause(system, sample, worker)
        await rolled_back(system, sample, handle, StepName.CREDIT_REFUND, sample.order_id)
        await worker.wake()
    assert await books.documents(system.engine) == []
    assert await books.ledger(system.engine) == []


# Taken over


async def test_a_late_verification_of_a_lost_run_does_not_hold_the_order(bare_system: System) -> None:
    """E19: the run was lost; another one has taken the order over and was withdrawn."""
    system, sample = bare_system, captured(total="600.00 USD")
    async with paused(system, StepName.VERIFY_ORDER, first=True) as worker:
        lost = await run_to_pause(system, sample, worker)
        await system.lose(lost)
        _, handle = await system.submit(request(sample, request_id="second"))
        await system.withdraw(handle, customer_of(sample))
        await system.end(handle)
        await _is_released(system, sample, Outcome.WITHDRAWN)
        await worker.wake()
    await _is_released(system, sample, Outcome.WITHDRAWN)


async def test_a_late_stop_of_a_lost_run_does_no_harm_after_the_next_one_was_undone(bare_system: System) -> None:
    """E19: the next run has stopped the parcel under the same key, and a person has ordered the roll-back."""
    system, sample = bare_system, captured(fault="refund.create:refuse")
    async with paused(system, StepName.STOP_SHIPMENT, first=True) as worker:
        lost = await run_to_pause(system, sample, worker)
        await system.lose(lost)
        _, handle = await system.submit(request(sample, request_id="second"))
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back", "TICKET-1"))
        with contextlib.suppress(WorkflowFailureError):
            await system.end(handle)
        await _is_released(system, sample, Outcome.ROLLED_BACK)
        await worker.wake()
    new = (await system.read_order(sample.order_id)).shipments[0].label_reference
    assert new is not None
    assert new not in system.shop.labels[sample.order_id]
    assert [effect.kind.value for effect in await system.shop.carrier.effects(new)] == ["label.bought"]
    assert await system.refunds(sample.order_id) == []
