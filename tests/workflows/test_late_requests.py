"""Requests and withdrawals that come when something else holds by now: an order that is cancelled, a cancellation that
ends or is rolled back, an approval that the law does without."""

import asyncio
import contextlib
import dataclasses

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import WorkflowExecutionStatus

from client.errors import StarterError
from domain.decision import Rule
from domain.errors import Unavailable
from domain.facts import Entry, Requested, Run
from domain.money import money
from domain.order import OrderFlag, OrderState
from domain.outcome import Outcome, State
from domain.request import ReasonCode
from domain.step import StepName
from providers.books.books import SqlBooks
from providers.cancellations.port import Change
from providers.outbox.port import DeferredRequest, NoticeKind
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, request
from tests.observing import eventually
from tests.system import System, customer_of
from tests.workflows.samples import captured, in_network
from tests.workflows.test_settled_by_hand import settles, under_way

EXPENSIVE = "600.00 USD"
CONSUMER = {"country": "DE", "flags": frozenset({OrderFlag.EU_CONSUMER})}


class SlowVerification(SqlBooks):
    """Once `slow`, the verification stands still after it has looked what the books know, until it may go on."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.slow = False
        self.stands, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def find_deferred(self, order_id: str, request_id: str) -> DeferredRequest | None:
        found = await super().find_deferred(order_id, request_id)
        if self.slow and not self.stands.is_set():
            self.stands.set()
            await self.may_go_on.wait()
        return found


class SlowRegister(SqlBooks):
    """Once `slow`, the books are away for the first attempt to write, and the next one stands still in front of them until
    it may go on; or a mistake is made there."""

    def __init__(self, engine: AsyncEngine, *, mistaken: bool = False) -> None:
        super().__init__(engine)
        self.slow = False
        self.away = not mistaken
        self.mistaken = mistaken
        self.stands, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def open(self, requested: Requested, run: Run, change: Change, **more: str | None) -> tuple[Entry, ...]:
        if self.slow and self.away:
            self.away = False
            raise Unavailable("the books are away")
        if self.slow and not self.stands.is_set():
            self.stands.set()
            if self.mistaken:
                raise RuntimeError("a mistake in the code")
            await self.may_go_on.wait()
        return await super().open(requested, run, change, **more)


# An order that is cancelled


async def test_a_withdrawal_while_a_cancelled_order_is_verified_opens_nothing(bare_system: System) -> None:
    """I3, I10: the customer asks once more for the order, and takes that back: it stays cancelled, and that is said."""
    books = SlowVerification(bare_system.engine)
    system, sample = dataclasses.replace(bare_system, books=books), captured()
    await system.shop.place_order(sample)
    async with system.worker():
        await system.cancel(request(sample, request_id="first"))
        books.slow = True
        handle = await system.start(request(sample, request_id="second"))
        await asyncio.wait_for(books.stands.wait(), 10)
        refused = await system.refusal(system.withdraw(handle, customer_of(sample)))
        books.may_go_on.set()
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert refused
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]


async def test_a_withdrawal_in_the_first_task_of_a_second_request_says_nothing_false(real_time_system: System) -> None:
    """I10: nobody is written to that the cancelled order is not cancelled."""
    system, sample = real_time_system, captured()
    await system.shop.place_order(sample)
    async with system.worker():
        await system.cancel(request(sample, request_id="first"))
    handle = await system.start(request(sample, request_id="second"))
    sent = await system.send_unheard(handle, lambda: system.withdraw(handle, customer_of(sample)))
    async with system.worker():
        assert await system.refusal(sent[0])
        await system.finish(handle)
    assert NoticeKind.NOT_CANCELLED not in [notice.kind for notice in await system.notices(sample.order_id)]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]


async def test_a_request_that_joins_as_the_cancellation_ends_opens_nothing(real_time_system: System) -> None:
    """I3: the run was begun by another request than the one that opened the cancellation, which it took up."""
    register = SlowRegister(real_time_system.engine)
    system, sample = dataclasses.replace(real_time_system, books=register), under_way()
    await system.shop.place_order(sample)
    async with system.worker():
        _, lost = await system.submit(request(sample, request_id="first"))
        await system.wait_for_state(lost, State.WAITING_FOR_SETTLEMENT)
        await system.lose(lost)
        _, handle = await system.submit(request(sample, request_id="second"))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        register.slow = True
        third = asyncio.create_task(system.library.start(request(sample, request_id="third")))
        await asyncio.wait_for(register.stands.wait(), 10)
        await settles(system, sample)
        await system.wake(handle)

        async def over() -> bool:
            return await system.outcomes(sample.order_id) == [Outcome.CANCELLED]

        await eventually(over, "the books have closed it")
        register.may_go_on.set()
        with contextlib.suppress(StarterError):
            await asyncio.wait_for(third, 20)
        await system.finish(handle)
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]


# A cancellation that is rolled back


@pytest.mark.parametrize("statutory", [False, True])
async def test_a_request_does_not_join_what_is_being_rolled_back(system: System, *, statutory: bool) -> None:
    """Rule 15, I10: its sender would learn that it is approved, while everything is undone."""
    sample = in_network(Script.INTERCEPT_IS_FINAL).model_copy(update=CONSUMER)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, request_id="first"))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.withdraw(handle, customer_of(sample))
    assert await system.wait_for_step(handle, StepName.RESUME_SHIPMENT)
    reason = ReasonCode.STATUTORY_WITHDRAWAL if statutory else ReasonCode.NO_LONGER_NEEDED
    asked = request(sample, request_id="second", reason=reason)
    if statutory:
        assert (await system.library.start(asked)).deferred
    else:
        with pytest.raises(StarterError, match="under way"):
            await system.library.start(asked)
    requests = (await system.books.of_order(sample.order_id)).case_for("first").entries
    assert not [entry for entry in requests if entry.fact.kind == "joined"]


# A right that needs no approval


async def waiting_for_approval(system: System) -> SampleOrder:
    sample = captured(total=EXPENSIVE).model_copy(update=CONSUMER)
    await system.shop.place_order(sample)
    await system.submit(request(sample, request_id="first"))
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    return sample


@pytest.mark.parametrize("lost", [False, True], ids=["joins", "takes up"])
async def test_a_statutory_withdrawal_that_joins_is_acknowledged_and_needs_no_approval(
    real_time_system: System, *, lost: bool
) -> None:
    """E5, rule 15: it is a right, not a favour, however its request arrives."""
    system = real_time_system
    async with system.worker():
        sample = await waiting_for_approval(system)
        if lost:
            await system.lose(system.current(sample.order_id))
        await system.library.start(request(sample, request_id="second", reason=ReasonCode.STATUTORY_WITHDRAWAL))
        assert (await system.finish(system.current(sample.order_id))).outcome is Outcome.CANCELLED
    assert [n.kind for n in await system.notices(sample.order_id)].count(NoticeKind.WITHDRAWAL_ACKNOWLEDGED) == 1
    assert await system.refunds(sample.order_id) == [money(EXPENSIVE)]
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED


# What a joining request may claim


@pytest.mark.parametrize("lost", [False, True], ids=["joins", "takes up"])
async def test_a_request_that_the_policy_does_not_admit_does_not_join(real_time_system: System, *, lost: bool) -> None:
    """A8: a customer may not claim what is for risk to claim, and takes no way to be refunded away from themselves."""
    system = real_time_system
    async with system.worker():
        sample = captured(total=EXPENSIVE)
        await system.shop.place_order(sample)
        await system.submit(request(sample, request_id="first"))
        await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
        if lost:
            await system.lose(system.current(sample.order_id))
        asked = request(sample, request_id="second", reason=ReasonCode.SUSPECTED_FRAUD)
        quoted = await system.library.quote(asked)
        submission = await system.library.start(asked)
        assert submission.decision is not None
        assert submission.decision.rule is quoted.decision.rule is Rule.REASON_NOT_ALLOWED
        entries = (await system.books.of_order(sample.order_id)).case_for("first").entries
        assert not [entry for entry in entries if entry.fact.kind == "joined"]


# A mistake of ours


async def test_a_mistake_while_the_process_records_its_own_roll_back_fails_no_run(bare_system: System) -> None:
    """Rules 4 and 14, I6: it is seen, tried again, and heals without a click."""
    register = SlowRegister(bare_system.engine, mistaken=True)
    system, sample = dataclasses.replace(bare_system, books=register), captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        register.slow = True
        await handle.cancel()
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await system.outcomes(sample.order_id) == [Outcome.ROLLED_BACK]
    assert (await system.read_order(sample.order_id)).held_by is None
