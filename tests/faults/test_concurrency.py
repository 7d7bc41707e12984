"""Many people, two namespaces, and providers that speak before they answer: all at once, about one order."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import chain, combinations

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from client import submitting
from client.errors import StarterError, UnderWay
from domain.decision import Rule
from domain.messages import Approve, Reject, Submission
from domain.outcome import Outcome, State
from domain.request import Actor, ActorKind, CancellationRequest, LineScope
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line, request
from tests import loss
from tests.faults.invariants import violations
from tests.faults.model import Said, Verb, World
from tests.faults.moments import Moment, Place, halting_worker
from tests.faults.staff import Staff, place_order
from tests.faults.stories import ABOVE_LIMIT, STORIES, Course, Story
from tests.faults.world import read_world
from tests.observing import eventually
from tests.system import System
from tests.workflows.samples import an_id, captured

_FIFTY = 50
_LINES = ("L1", "L2", "L3")
_SCOPES = [scope for size in (1, 2, 3) for scope in combinations(_LINES, size)]


async def submit_all(staff: Staff, requests: Sequence[CancellationRequest]) -> list[Submission]:
    """All at once, as backend services do."""
    for asked in requests:
        staff.watched.said.append(
            Said(verb=Verb.SUBMIT, by=asked.actor, scope=asked.lines, request_id=asked.request_id)
        )
    return await asyncio.gather(*(staff.system.library.start(asked) for asked in requests))


async def read_sound(staff: Staff) -> World:
    """The order's world, in which nothing is broken."""
    world = await read_world(staff.system, staff.watched)
    assert violations(world) == []
    return world


def amount_of(answer: Submission) -> int | None:
    """What it says that the customer gets. Who asks when all is done learns what was done."""
    if answer.result is not None and answer.result.refunded is not None:
        return answer.result.refunded.amount
    return answer.plan.refund.amount if answer.plan else None


@pytest.mark.parametrize("ids", [1, pytest.param(25, marks=pytest.mark.long), _FIFTY])
async def test_fifty_simultaneous_starts_are_one_cancellation(real_time_system: System, ids: int) -> None:
    """A4, I5: of one request, of two times 25, or of 50. All have the same answer."""
    staff = await place_order(real_time_system, STORIES[Story.LABEL])
    requests = [request(staff.sample, request_id=f"req-{number % ids}") for number in range(_FIFTY)]
    async with staff.system.worker():
        answers = await submit_all(staff, requests)
        await staff.see_through()
        world = await read_sound(staff)
    assert len({answer.cancellation_id for answer in answers}) == 1
    assert {amount_of(answer) for answer in answers} == {6400}
    assert [found.outcome for found in world.cancellations] == [Outcome.CANCELLED]
    assert world.given_back == 6400


async def test_fifty_starts_while_no_worker_is_there_are_one_cancellation(real_time_system: System) -> None:
    """A4, I5: the server keeps ten of them; the others are sent again until there is a worker."""
    system = real_time_system
    staff = await place_order(system, STORIES[Story.LABEL])
    requests = [request(staff.sample, request_id=f"req-{number}") for number in range(_FIFTY)]
    sent = asyncio.create_task(submit_all(staff, requests))

    async def has_begun() -> bool:
        return await loss.status(system.client, staff.handle) is WorkflowExecutionStatus.RUNNING

    await eventually(has_begun, "the first of them has begun a run")
    async with system.worker():
        answers = await sent
        await staff.see_through()
        world = await read_sound(staff)
    assert len({answer.cancellation_id for answer in answers}) == 1
    assert [found.outcome for found in world.cancellations] == [Outcome.CANCELLED]


@pytest.mark.long
async def test_requests_that_the_engine_has_no_room_for_are_sent_again(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A4: the SDK has tried for ten seconds, and the worker comes after that."""
    system, given_up = real_time_system, asyncio.Event()
    staff = await place_order(system, STORIES[Story.LABEL])
    is_sent_again = submitting._is_sent_again

    def heard(error: Exception) -> bool:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
            given_up.set()
        return is_sent_again(error)

    monkeypatch.setattr(submitting, "_is_sent_again", heard)
    requests = [request(staff.sample, request_id=f"req-{number}") for number in range(_FIFTY)]
    sent = asyncio.create_task(submit_all(staff, requests))
    await given_up.wait()
    async with system.worker():
        answers = await sent
        await staff.see_through()
        await read_sound(staff)
    assert len({answer.cancellation_id for answer in answers}) == 1


async def test_a_request_that_is_received_when_all_is_done_learns_that_it_is(real_time_system: System) -> None:
    """Rule 15: of the same scope. The run that it met has ended its cancellation meanwhile, and is still open, because it
    has another request to answer."""
    system = real_time_system
    staff = await place_order(system, STORIES[Story.APPROVED])
    received: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def halt(moment: Moment) -> None:
        if (moment.place, moment.name) == (Place.BEFORE, StepName.RECEIVE_REQUEST):
            await received.put(goes_on := asyncio.Event())
            await goes_on.wait()

    async with halting_worker(system, halt):
        await staff.submit()
        await system.wait_for_state(staff.handle, State.WAITING_FOR_APPROVAL)
        others = [
            asyncio.create_task(system.library.start(request(staff.sample, request_id=name)))
            for name in ("two", "three")
        ]
        second, third = await received.get(), await received.get()
        await system.approve(staff.handle)
        staff.watched.said.append(Said(verb=Verb.APPROVE))

        async def is_done() -> bool:
            return await system.outcomes(staff.sample.order_id) == [Outcome.CANCELLED]

        await eventually(is_done, "the cancellation has ended")
        second.set()
        (answered,), _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        answer = await answered
        third.set()
        await asyncio.gather(*others)
        await staff.see_through()
        world = await read_sound(staff)
    assert answer.result is not None
    assert (answer.result.existing, answer.result.outcome) == (True, Outcome.CANCELLED)
    assert answer.decision is not None
    assert answer.decision.rule is Rule.EXISTING_CANCELLATION
    assert [found.cancellation_id for found in world.cancellations] == [answer.cancellation_id]


def three_lines() -> SampleOrder:
    lines = tuple(line(line_id, 1, "20.00 USD") for line_id in _LINES)
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("60.00 USD"),))


async def submit_until_answered(staff: Staff, asked: CancellationRequest) -> Submission:
    """Again while another scope is under way."""
    while True:
        try:
            return await staff.system.library.start(asked)
        except UnderWay:
            await asyncio.sleep(0.1)


async def test_overlapping_scopes_at_once_give_each_line_back_once(real_time_system: System) -> None:
    """M9, I1, I11: every part of three lines, each asked for by two people, until each has an answer."""
    staff = await place_order(real_time_system, Course(three_lines))
    requests = [
        request(staff.sample, *(LineScope(line_id=name, quantity=1) for name in scope), request_id=f"{who}-{number}")
        for number, scope in enumerate(_SCOPES)
        for who in ("one", "two")
    ]
    for asked in requests:
        staff.watched.said.append(Said(verb=Verb.SUBMIT, by=asked.actor, scope=asked.lines))
    async with staff.system.worker():
        answers = await asyncio.gather(*(submit_until_answered(staff, asked) for asked in requests))
        await staff.see_through()
        world = await read_sound(staff)
    assert dict(world.cancelled) == dict.fromkeys(_LINES, 1)
    assert world.given_back == 6000
    carried_out = {answer.cancellation_id for answer in answers if answer.plan is not None}
    assert len(world.carried_out) <= len(_LINES)
    assert {found.cancellation_id for found in world.carried_out} <= carried_out


@pytest.mark.parametrize("first", [Verb.APPROVE, Verb.REJECT])
async def test_of_twenty_who_approve_or_refuse_at_once_one_kind_is_accepted(
    real_time_system: System, first: Verb
) -> None:
    """E16, I10: five orders. The others are refused, and what was accepted is what happens."""
    system = real_time_system
    placed = [await place_order(system, Course(lambda: captured(total=ABOVE_LIMIT))) for _ in range(5)]
    async with system.worker():
        for staff in placed:
            await staff.submit()
            await system.wait_for_state(staff.handle, State.WAITING_FOR_APPROVAL)
        await asyncio.gather(*(speak_at_once(staff, first) for staff in placed))
        for staff in placed:
            await staff.see_through()
            accepted = Counter(
                said.verb for said in staff.watched.said if said.accepted and said.verb is not Verb.SUBMIT
            )
            assert len(accepted) == 1, accepted
            world = await read_sound(staff)
            expected = Outcome.CANCELLED if Verb.APPROVE in accepted else Outcome.ROLLED_BACK
            assert [found.outcome for found in world.cancellations] == [expected]


async def speak_at_once(staff: Staff, first: Verb) -> None:
    """Ten approve and ten refuse, each another person."""
    second = Verb.REJECT if first is Verb.APPROVE else Verb.APPROVE
    verbs = chain.from_iterable((first, second) for _ in range(10))
    await asyncio.gather(*(decide(staff, verb, f"clerk-{number}") for number, verb in enumerate(verbs)))


async def decide(staff: Staff, verb: Verb, name: str) -> None:
    library, order_id = staff.system.library, staff.watched.order.order_id
    by = Actor(kind=ActorKind.REFUND_DEPARTMENT, id=name)
    accepted = True
    try:
        if verb is Verb.APPROVE:
            await library.approve(order_id, Approve(actor=by))
        else:
            await library.reject(order_id, Reject(actor=by))
    except StarterError:
        accepted = False
    staff.watched.said.append(Said(verb=verb, accepted=accepted, by=by))
