"""Closes of an order of which nobody knows, for a while, what came of them: what is tried again, and what a person may do
meanwhile."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.step import StepName
from sandbox import books
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, request
from tests.observing import eventually
from tests.system import System, resolve, settled
from tests.workflows.samples import an_id, captured
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar

__all__ = ["over_oscar"]


async def test_a_roll_back_after_a_close_whose_answer_was_lost_leaves_no_line_taken_out_unseen(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E21, I2, rule 6: the shop has taken the units out, its answer was lost, and it is away since; a person rolls back."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await over_oscar.place_order(sample)
    close, tried = over_oscar.shop.orders.close, list[int]()

    async def lose_and_go_away(*args: Any, **more: Any) -> None:
        tried.append(1)
        if len(tried) > 1:
            raise Refused(ErrorCode.ORDER_LOCKED, f"Order {sample.order_id} is locked.")
        await close(*args, **more)
        raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", lose_and_go_away)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        refusal = await system.refusal(
            system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
        )
        seen = list[str]()
        if refusal is None:
            for number in range(3):
                wait = await system.wait_for_wait(
                    handle, lambda w: w.step is not StepName.CLOSE_ORDER, "a person is asked"
                )
                if wait is None:
                    break
                seen.append(f"{wait.step} {wait.reason}")
                await system.resolve(handle, settled(wait, "done_by_hand", f"DONE-{number}"))
    asked = [reason for reason in seen if "lines" in reason or "taken out" in reason]
    assert refusal or asked or await over_oscar.gone(sample.order_id) == [0], seen


async def test_a_roll_back_of_what_the_shop_has_closed_already_leaves_no_line_taken_out_unseen(
    bare_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2, I3: the built-in shop has closed the order, our books could not keep it, and a person orders the roll-back."""
    system, sample = bare_system, captured(parcels=())
    await system.shop.place_order(sample)

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("The books are not reachable at the moment.")

    monkeypatch.setattr(system.books, "close", away)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.skip(timedelta(minutes=4))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        refusal = await system.refusal(
            system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
        )
        seen = list[str]()
        if refusal is None:
            wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
            assert wait
            await system.resolve(handle, settled(wait, "done_by_hand", "PAID-BACK-1"))
            other = await system.wait_for_wait(
                handle, lambda w: w.step is not StepName.RESTORE_PAYMENT, "somebody is asked"
            )
            seen = [other.reason] if other else []
    [ordered] = (await system.read_order(sample.order_id)).lines
    assert refusal or seen or ordered.cancelled == 0, "rolled back, the customer has paid, and the order is cancelled"


async def test_a_roll_back_where_a_lost_parcel_is_to_be_taken_out_leaves_no_line_taken_out_unseen(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C12, I2: what was in the warehouse has left the order when the person is asked; they order the roll-back."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "60.00 USD"),), tenders=(card("60.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LOST, 0, units=2)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        refusal = await system.refusal(
            system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
        )
        seen = list[str]()
        if refusal is None:
            wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
            assert wait
            await system.resolve(handle, settled(wait, "done_by_hand", "PAID-BACK-1"))
            other = await system.wait_for_wait(
                handle, lambda w: w.step is not StepName.RESTORE_PAYMENT, "somebody is asked"
            )
            seen = [other.reason] if other else []
    assert refusal or seen or await over_oscar.gone(sample.order_id) == [0]


async def test_a_shop_that_can_be_read_and_not_written_adds_no_facts_with_each_attempt(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 13: what says nothing new is not appended, however long the shop refuses to write; a person may roll back."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await over_oscar.place_order(sample)

    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("The shop's database is read only at the moment.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", away)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.skip(timedelta(minutes=5))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        before = len(await books.facts(system.engine, sample.order_id))
        await system.skip(timedelta(days=5))
        after = len(await books.facts(system.engine, sample.order_id))
        assert after == before, "each attempt that came to nothing was noted"
        roll_back = resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back")

        async def accepted() -> bool:
            """Not during an attempt: what comes of that one is not known yet."""
            return await system.refusal(system.resolve(handle, roll_back)) is None

        await eventually(accepted, "between two attempts it is known that the shop has closed nothing")
        wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert wait


class HeldUp(Interceptor):
    """The first attempt to close an order runs on although the server has given it up."""

    def __init__(self) -> None:
        self.late: asyncio.Task[Any] | None = None
        self.reached, self.awake = asyncio.Event(), asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _HeldUp(next, self)

    async def hold(self) -> None:
        """Called where the first attempt is to be held up; the later ones pass."""
        if asyncio.current_task() is self.late:
            self.reached.set()
            await self.awake.wait()


class _HeldUp(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, held: HeldUp) -> None:  # noqa: A002
        super().__init__(next)
        self._held = held

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info, held = activity.info(), self._held
        if info.activity_type != StepName.CLOSE_ORDER or held.late is not None or info.is_local:
            return await super().execute_activity(input)
        held.late = asyncio.create_task(super().execute_activity(input))
        await held.reached.wait()
        raise Unavailable("The worker is paused.")  # what the server takes it for


async def test_an_attempt_that_comes_to_nothing_does_not_make_forgotten_that_another_may_have_closed_the_order(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E19, E21: the first attempt is held up after it has read; the second one's close is carried out and its answer is
    lost; the first wakes, and the shop is away. A person orders the roll-back."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await over_oscar.place_order(sample)
    held, tried = HeldUp(), list[int]()
    close, read = over_oscar.shop.orders.close, over_oscar.shop.orders.read

    async def read_slowly(order_id: str) -> Any:
        order = await read(order_id)
        await held.hold()
        return order

    async def close_once(*args: Any, **more: Any) -> None:
        tried.append(1)
        if len(tried) > 1:
            raise Unavailable("The shop is away.")
        await close(*args, **more)
        raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_once)
    monkeypatch.setattr(over_oscar.shop.orders, "read", read_slowly)
    async with system.worker(more_interceptors=[held]):
        _, handle = await system.submit(request(sample))
        await eventually(lambda: _is_true(tried), "another attempt has closed it")
        held.awake.set()
        assert held.late is not None
        await asyncio.wait({held.late})
        assert isinstance(held.late.exception(), Unavailable)
        await system.skip(timedelta(minutes=4))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        refusal = await system.refusal(
            system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
        )
        seen = list[str]()
        if refusal is None:
            wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
            assert wait
            await system.resolve(handle, settled(wait, "done_by_hand", "PAID-BACK-1"))
            other = await system.wait_for_wait(
                handle, lambda w: w.step is not StepName.RESTORE_PAYMENT, "somebody is asked"
            )
            seen = [other.reason] if other else []
    assert refusal or seen or await over_oscar.gone(sample.order_id) == [0], (
        "the customer has paid for a cancelled order"
    )


async def _is_true(value: object) -> bool:
    return bool(value)


async def test_a_shop_that_refuses_our_credentials_adds_no_facts_with_each_attempt(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 13, rule 5: it is ours to put right, and tried again by itself, under the same key."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await over_oscar.place_order(sample)

    async def expired(*_: Any, **__: Any) -> None:
        raise Refused(ErrorCode.PROVIDER_REJECTED_CREDENTIALS, "The shop's token has expired.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", expired)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        before = len(await books.facts(system.engine, sample.order_id))
        await system.skip(timedelta(days=5))
        after = len(await books.facts(system.engine, sample.order_id))
    assert after == before, f"{after - before} facts of attempts that came to nothing"


async def test_a_commit_whose_answer_was_lost_is_no_close_that_came_to_nothing(
    bare_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 6, E21: the connection to the built-in shop's database breaks while it commits (providers/database/engine.py says
    that the effect may be there), and the shop is away since. A person orders the roll-back."""
    system, sample = bare_system, captured(parcels=())
    await system.shop.place_order(sample)
    close, tried, commit = system.orders.close, list[int](), AsyncSession.commit

    async def commit_and_break(session: AsyncSession) -> None:
        await commit(session)
        raise ConnectionResetError("the connection was lost")

    async def close_once(*args: Any, **more: Any) -> None:
        tried.append(1)
        if len(tried) > 1:
            raise Unavailable("The database is not reachable at the moment.")
        with monkeypatch.context() as breaking:
            breaking.setattr(AsyncSession, "commit", commit_and_break)
            await close(*args, **more)

    monkeypatch.setattr(system.orders, "close", close_once)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.skip(timedelta(minutes=4))
        assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        refusal = await system.refusal(
            system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
        )
        seen = list[str]()
        if refusal is None:
            wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
            assert wait
            await system.resolve(handle, settled(wait, "done_by_hand", "PAID-BACK-1"))
            other = await system.wait_for_wait(
                handle, lambda w: w.step is not StepName.RESTORE_PAYMENT, "somebody is asked"
            )
            seen = [other.reason] if other else []
    [ordered] = (await system.read_order(sample.order_id)).lines
    assert refusal or seen or ordered.cancelled == 0, "rolled back, the customer has paid, and the order is cancelled"
