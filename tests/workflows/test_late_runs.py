"""An attempt that was held up in the middle, of a run that is lost or has gone on: it ends and opens nothing."""

import asyncio
import contextlib
import dataclasses
from contextvars import ContextVar, copy_context
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import Unavailable
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order, OrderState
from domain.outcome import Outcome, State
from domain.payment import Payment
from domain.request import LineScope
from domain.step import StepName
from providers.books.books import SqlBooks
from providers.gateway.stripe import StripeGateway
from providers.orders.built_in.orders import BuiltInOrders
from sandbox.gateway.messages import EffectKind
from sandbox.shop import request
from tests.observing import eventually
from tests.system import System, customer_of
from tests.workflows.samples import captured

EXPENSIVE = money("600.00 USD")


_is_late: ContextVar[bool] = ContextVar("is_late", default=False)
"""Whether this is the abandoned attempt, or a read that it makes beside others."""


class Abandoned(Interceptor):
    """The server loses sight of the first attempt of a step, which goes on all the same. The next one is made after `rest`,
    in seconds."""

    def __init__(self, step: StepName, *, rest: float | None = None) -> None:
        self.step = step
        self.rest = rest
        self.late: asyncio.Task[Any] | None = None
        self.reached = asyncio.Event()
        self.awake = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Abandoning(next, self)

    async def hold_up(self) -> None:
        """Called in the middle of the attempt."""
        if _is_late.get() and not self.reached.is_set():
            self.reached.set()
            await self.awake.wait()

    async def is_reached(self) -> bool:
        return self.reached.is_set()

    async def wake(self) -> None:
        assert self.late is not None
        self.awake.set()
        await asyncio.wait({self.late})
        with contextlib.suppress(Exception):
            self.late.result()


class _Abandoning(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, worker: Abandoned) -> None:  # noqa: A002
        super().__init__(next)
        self._worker = worker

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        worker = self._worker
        if activity.info().activity_type != worker.step or worker.late is not None:
            return await super().execute_activity(input)
        context = copy_context()
        context.run(_is_late.set, True)
        worker.late = asyncio.create_task(super().execute_activity(input), context=context)
        await worker.reached.wait()
        raise Unavailable("The worker is paused.", worker.rest)


class SlowGateway(StripeGateway):
    def __init__(self, gateway: StripeGateway, worker: Abandoned) -> None:
        self.__dict__.update(gateway.__dict__)
        self._worker = worker

    async def read_payment(self, reference: str) -> Payment:
        await self._worker.hold_up()
        return await super().read_payment(reference)


class SlowBooks(SqlBooks):
    def __init__(self, books: SqlBooks, worker: Abandoned) -> None:
        self.__dict__.update(books.__dict__)
        self._worker = worker

    async def reopen(self, *args: Any, **more: Any) -> bool:
        await self._worker.hold_up()
        return await super().reopen(*args, **more)


async def test_a_late_refusal_of_a_lost_run_does_not_end_the_next_runs_cancellation(bare_system: System) -> None:
    """E15, E19, M25: the lost run's request names a line that the order does not have. Its attempt wakes up when the next
    run, with a request of its own, waits for approval: that one goes on."""
    worker = Abandoned(StepName.VERIFY_ORDER, rest=600)
    gateway: Any = SlowGateway(bare_system.gateway, worker)
    system, sample = dataclasses.replace(bare_system, gateway=gateway), captured(total=str(EXPENSIVE))
    await system.shop.place_order(sample)
    async with system.worker(more_interceptors=[worker]):
        lost = await system.start(request(sample, LineScope(line_id="L9", quantity=1), request_id="wrong"))
        await eventually(worker.is_reached, "the first attempt looks")
        await system.lose(lost)
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await worker.wake()
        assert await system.outcomes(sample.order_id) == [None], "ended by a run that is lost"
        await system.approve(handle)
        result = await system.finish(handle)
        assert result.outcome is Outcome.CANCELLED
        assert await system.refunds(sample.order_id) == [EXPENSIVE]
        order = await system.read_order(sample.order_id)
        assert (order.state, order.held_by) == (OrderState.CANCELLED, None)


async def test_a_late_look_at_an_outcome_does_not_open_what_has_ended_again_since(bare_system: System) -> None:
    """E19, I6: the refund failed after the end. A second attempt opened the cancellation again, and it has ended since; the
    first attempt wakes up and leaves nothing open that no run works on."""
    worker = Abandoned(StepName.VERIFY_ORDER)
    books: Any = SlowBooks(bare_system.books, worker)
    system, sample = dataclasses.replace(bare_system, books=books), captured(parcels=())
    await system.shop.place_order(sample)
    async with bare_system.worker():
        await system.cancel(request(sample))
    payment = system.shop.payments[sample.order_id][0]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(refund.object_id)
    async with system.worker(more_interceptors=[worker]):
        handle = await system.notify_of_refund(sample.order_id)
        assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
        await system.finish(handle)
        assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
        await worker.wake()
        assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED], "open, and no run works on it"


class OvertakenBooks(SlowBooks):
    """The first attempt writes when the second has looked and is about to write."""

    async def reopen(self, *args: Any, **more: Any) -> bool:
        if not _is_late.get():
            await self._worker.wake()
        return await super().reopen(*args, **more)


async def test_what_an_overtaken_look_has_opened_again_is_gone_on_with(bare_system: System) -> None:
    """I3, I6: the run of both attempts goes on with it, although the second one's own write came too late."""
    worker = Abandoned(StepName.VERIFY_ORDER)
    books: Any = OvertakenBooks(bare_system.books, worker)
    system, sample = dataclasses.replace(bare_system, books=books), captured(parcels=())
    await system.shop.place_order(sample)
    async with bare_system.worker():
        await system.cancel(request(sample))
    payment = system.shop.payments[sample.order_id][0]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(refund.object_id)
    async with system.worker(more_interceptors=[worker]):
        handle = await system.notify_of_refund(sample.order_id)
        assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
        await system.finish(handle)
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")] * 2, "the first has failed"


class SlowOrders(BuiltInOrders):
    def __init__(self, engine: AsyncEngine, worker: Abandoned) -> None:
        super().__init__(engine)
        self._worker = worker

    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        await self._worker.hold_up()
        return await super().freeze(seen, key=key)


async def test_a_late_freeze_does_not_hold_an_order_that_was_released_since(bare_system: System) -> None:
    """E19: the call was on its way to the order management system. What it did is undone."""
    worker = Abandoned(StepName.VERIFY_ORDER)
    system = dataclasses.replace(bare_system, orders=SlowOrders(bare_system.engine, worker))
    sample = captured(total=str(EXPENSIVE))
    await system.shop.place_order(sample)
    async with system.worker(more_interceptors=[worker]):
        handle = await system.start(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.withdraw(handle, customer_of(sample))
        await system.finish(handle)
        assert (await system.read_order(sample.order_id)).held_by is None
        await worker.wake()
    assert (await system.read_order(sample.order_id)).held_by is None, "frozen for a cancellation that is over"
    assert await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]


async def test_a_late_freeze_leaves_the_order_to_the_attempt_that_went_on(bare_system: System) -> None:
    """E19: the cancellation is under way, so the order stays frozen."""
    worker = Abandoned(StepName.VERIFY_ORDER)
    system = dataclasses.replace(bare_system, orders=SlowOrders(bare_system.engine, worker))
    sample = captured(total=str(EXPENSIVE))
    await system.shop.place_order(sample)
    async with system.worker(more_interceptors=[worker]):
        handle = await system.start(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await worker.wake()
        assert (await system.read_order(sample.order_id)).held_by is not None
        await system.approve(handle)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [EXPENSIVE]
