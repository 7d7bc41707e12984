"""The people, the bank and the others around one order of a plan: they ask, answer, and interfere as the plan says."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import chain, cycle, takewhile
from pathlib import Path

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from client.errors import ExitCode, StarterError
from domain.errors import Unavailable
from domain.messages import ShipmentEvent, Withdraw
from domain.order import OrderFlag
from domain.outcome import CARRIED_OUT, Progress, State, Wait
from domain.request import Actor, ActorKind, CancellationRequest, ReasonCode
from domain.shipment import GoodsGroup
from domain.step import StepName
from runtime import search_attributes as attributes
from sandbox.carrier.model import TrackerStatus
from tests import loss
from tests.faults.clerks import OF_THE_SHOP, Clerks
from tests.faults.department import RefundDepartment
from tests.faults.events import count_undelivered
from tests.faults.kept import count_sendings
from tests.faults.model import Invariant, Said, Verb
from tests.faults.others import is_possible
from tests.faults.plan import Act, ActKind, Moment, PlannedOrder
from tests.faults.rest import NotAtRest
from tests.faults.sharing import captured_for_each
from tests.faults.stories import Course
from tests.faults.world import Watched, read_cases
from tests.system import SUPERVISOR, System, eventually

_PAUSE = 0.25
_CLOSED = "the accounting period is closed"
_PATIENCE_WITH_CARRIER = 3
"""So often time passes before a silent carrier says where the parcel is."""
_COLLEAGUE = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="supervisor-3")
_WAITING = frozenset(
    {
        State.WAITING_FOR_APPROVAL,
        State.WAITING_FOR_CARRIER,
        State.WAITING_FOR_SETTLEMENT,
        State.NEEDS_ATTENTION,
        State.ROLLING_BACK,
    }
)
_LOST = frozenset({WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT})
_BEGUN_WITHIN = 10.0
_UNDER_WAY = frozenset({GoodsGroup.IN_NETWORK, GoodsGroup.LAST_MILE})
_ON_THEIR_WAY = frozenset({*_UNDER_WAY, GoodsGroup.DELIVERED})
_EVENTS: tuple[tuple[object, ...], ...] = (
    (),
    ({"event_id": "evt_forged", "status": "succeeded", "subject": "re_none"},),
    ("no event at all", 7),
    (None,),
)


@dataclass
class Crowd(RefundDepartment):
    """`looked` hears of each look at the run. `archive`: see Clerks."""

    looked: Callable[[], None] = field(kw_only=True)
    archive: Path = field(kw_only=True)
    asking: list[asyncio.Task[None]] = field(default_factory=list)
    silent: int = 0
    clerks: Clerks = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._answers = chain(self.planned.answers, cycle((Verb.RETRY, Verb.DONE_BY_HAND)))
        self._given = 0
        self.clerks = Clerks(self.system, self.watched, self.planned, self.insist_on, self.archive)

    @classmethod
    async def place_order(
        cls, system: System, planned: PlannedOrder, looked: Callable[[], None], archive: Path
    ) -> "Crowd":
        """The order, with what will fail around it."""
        order = await system.shop.place_order(planned.sample)
        course = Course(lambda: planned.sample, planned.request.lines, planned.approval, fails=planned.fails)
        crowd = cls(
            system,
            planned.sample,
            course,
            Watched(order, handed_over=planned.sample.handed_over, captured_for=captured_for_each(planned.sample)),
            planned=planned,
            looked=looked,
            archive=archive,
        )
        for fault in planned.gateway_faults:
            await system.shop.gateway.add_fault(
                fault.operation,
                fault.fault,
                payment=crowd.payments[fault.payment],
                times=fault.times,
                seconds=3,
                code=fault.code,
            )
        for met in planned.carrier_faults:
            await system.shop.carrier.add_fault(
                met.operation, met.fault, parcel=crowd.labels[met.label], times=met.times
            )
        return crowd

    @property
    def supervisor(self) -> Actor:
        """Who has asked for the cancellation may answer at first; then it is somebody else."""
        return _COLLEAGUE if self.planned.request.actor.id == SUPERVISOR.id and self._given > 2 else SUPERVISOR

    @property
    def payments(self) -> list[str]:
        return self.system.shop.payments.get(self.planned.order_id, [])

    @property
    def labels(self) -> list[str]:
        return self.system.shop.labels.get(self.planned.order_id, [])

    # The whole of it

    async def see_through(self, within: float = 300) -> None:
        """Ask, and go on until every act is done and the run is over. Raises NotAtRest."""
        self._begin(self.planned.request)
        await self._go_on(list(self.planned.acts), within)

    async def hear_of_parcels(self, within: float = 120) -> None:
        """The carrier says of each parcel where it is now, as its events do: an outcome may not hold any more. Raises
        NotAtRest."""
        where = [(await self.system.labels.track(label)).group for label in self.labels]
        if _ON_THEIR_WAY & {*where} and await self._look_again(ShipmentEvent(event_id="evt_late")):
            await self._go_on([], within)

    async def _go_on(self, acts: list[Act], within: float) -> None:
        deadline = time.monotonic() + within
        looks = 0
        while True:
            looks += 1
            self.looked()
            status, state = await self._look()
            is_over = status not in {None, WorkflowExecutionStatus.RUNNING}
            free = (act for act in takewhile(lambda act: not act.when.at_rest, acts) if not act.at_once)
            act = next((act for act in free if self._is_due(act.when, looks, status, state)), None)
            if act is not None:
                await self._do_at_once(acts, act)
            elif is_over and await self._is_at_rest():
                if not acts:
                    return
                await self._do_at_once(acts, acts[0])
            elif state in _WAITING:
                await self._answer_waits()
            if time.monotonic() > deadline:
                raise NotAtRest(f"after {within} s {status and status.name}: {await self._progress()}")
            await asyncio.sleep(_PAUSE)

    def _is_due(self, moment: Moment, looks: int, status: WorkflowExecutionStatus | None, state: State | None) -> bool:
        if status is None:
            return False
        answered = {said.step for said in self.watched.said if said.accepted}
        return status is not WorkflowExecutionStatus.RUNNING or moment.has_come(looks, state, answered)

    async def _look(self) -> tuple[WorkflowExecutionStatus | None, State | None]:
        try:
            found = await self.handle.describe()
        except RPCError:
            return None, None
        state = found.typed_search_attributes.get(attributes.STATE)
        return found.status, State(state) if state else None

    async def _is_at_rest(self) -> bool:
        """Whether nothing more comes of what was asked. A run that was lost is taken up by its request."""
        for asking in [asking for asking in self.asking if asking.done()]:
            self.asking.remove(asking)
            await asking
        if self.asking or await self._is_running():
            return False
        if (lost := await self._find_lost()) is not None:  # an event may wait for just that cancellation
            self._begin(lost)
            return False
        order_id = self.planned.order_id
        if await count_sendings(self.system, order_id) or await count_undelivered(self.system, order_id):
            return False
        return not await self._is_running()  # what has been sent meanwhile has begun a run

    async def _is_running(self) -> bool:
        status, _ = await self._look()
        return status is WorkflowExecutionStatus.RUNNING

    async def _find_lost(self) -> CancellationRequest | None:
        """Whoever has asked for a cancellation whose run was lost asks once more."""
        cases = await read_cases(self.system, self.planned.order_id)
        open_ = [case.request for case in cases if not case.ended]
        if open_ and any(said.verb is Verb.TERMINATE for said in self.watched.said):
            return open_[-1]
        status, _ = await self._look()
        return self.planned.request if status in _LOST else None

    # People

    def _begin(self, request: CancellationRequest) -> None:
        self.asking.append(asyncio.create_task(self._request(request)))

    async def _request(self, request: CancellationRequest) -> None:
        accepted: bool | None = True
        deferred = False
        try:
            deferred = (await self.system.library.start(request, wait=timedelta(seconds=60))).deferred
        except StarterError as refused:
            accepted = None if refused.code in {ExitCode.UNDECIDED, ExitCode.NOT_CANCELLED} else False
        self.watched.said.append(
            Said(
                verb=Verb.SUBMIT,
                accepted=accepted,
                by=request.actor,
                scope=request.lines,
                shipping=request.shipping,
                request_id=request.request_id,
                by_right=request.reason is ReasonCode.STATUTORY_WITHDRAWAL,
                deferred=deferred,
            )
        )

    async def _answer_waits(self) -> None:
        progress = await self._progress()
        if progress is None:
            return
        await self._check_list(progress)
        for wait in progress.waits:
            await self._answer(wait)

    async def _check_list(self, progress: Progress) -> None:
        """The list of runs shows that a person is waited for, whatever else is."""
        if all(wait.state is not State.NEEDS_ATTENTION for wait in progress.waits):
            return
        _, shown = await self._look()
        again = await self._progress()
        if shown not in {State.NEEDS_ATTENTION, None} and again is not None and again.waits == progress.waits:
            self.report(Invariant.VISIBLE, f"a person is waited for, and the list of runs says {shown}")

    async def _answer(self, wait: Wait) -> None:
        await self.judge(wait)
        if wait.state is State.WAITING_FOR_CARRIER:
            await self._hear_of_carrier()
        elif wait.state is State.WAITING_FOR_APPROVAL:
            self._given += 1
            await self.say(self.course.approval if self._given < 3 else Verb.APPROVE, wait)
        elif wait.step is not None and wait.state is State.NEEDS_ATTENTION:
            verb = next(self._answers)
            if self._given > len(self.planned.answers):
                await self.lock_order(None)
            self._given += 1
            await self.check_amounts(wait)
            await self.say(Verb.RETRY if self._may_not_pay(verb) else verb, wait)
            if wait.step is StepName.RESTORE_PAYMENT:
                await self.settle()  # the bank does not wait for the person
        else:
            await super()._answer(wait)

    def _may_not_pay(self, verb: Verb) -> bool:
        """Who has asked for a suspect's cancellation is told that somebody else has to look."""
        is_suspect = OrderFlag.FRAUD_REVIEW in self.planned.sample.flags
        return is_suspect and verb is Verb.DONE_BY_HAND and self.supervisor == self.planned.request.actor

    async def _hear_of_carrier(self) -> None:
        """Time passes, a silent carrier says in the end where the parcel is, and what comes back arrives."""
        self.silent += 1
        carrier = self.system.shop.carrier
        if self.silent <= _PATIENCE_WITH_CARRIER:
            await carrier.advance(24 * 3600)
        else:
            for label in self.labels:
                try:
                    group = (await self.system.labels.track(label)).group
                except Unavailable:
                    continue  # a fault of the plan
                if group in _UNDER_WAY and self.planned.silent_returns:
                    await carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
                elif group in {*_UNDER_WAY, GoodsGroup.COMING_BACK}:
                    await carrier.scan(label, TrackerStatus.DELIVERED)
        await is_possible(self.system.wake_by_carrier(self.handle))

    # Acts

    async def _do_at_once(self, acts: list[Act], first: Act) -> None:
        """It, and the acts that come with it."""
        number = acts.index(first)
        await self._do(acts.pop(number))
        while len(acts) > number and acts[number].at_once:
            act = acts.pop(number)
            with suppress(AssertionError):  # it may be over already
                await eventually(partial(self._waits_in, act.when.state), f"it waits for {act}", within=_BEGUN_WITHIN)
            await self._do(act)

    async def _waits_in(self, state: State | None) -> bool:
        """Whether the run is under way, and waits in this state where one is named."""
        status, now = await self._look()
        return status is WorkflowExecutionStatus.RUNNING and state in {None, now}

    async def _do(self, act: Act) -> None:
        if await self._has_done(act):
            self.hits.append(act.kind)

    async def _has_done(self, act: Act) -> bool:
        match act.kind:
            case ActKind.REQUEST:
                assert act.request is not None
                await self._note_first_again(act.request)
                self._begin(act.request)
                return True
            case ActKind.WITHDRAW:
                return await self._withdraw()
            case ActKind.CANCEL:
                return await self._lose(Verb.CANCEL, self.handle.cancel)
            case ActKind.TERMINATE:
                return await self._lose(Verb.TERMINATE, self.handle.terminate)
            case ActKind.RESET:
                try:
                    return await self._lose(Verb.RESET, lambda: loss.reset(self.system.client, self.handle))
                except IndexError:
                    return False  # there is no task yet to go back to
            case ActKind.SIGNAL:
                sent = [
                    await is_possible(self.system.signal_by_hand(self.handle, about, *event))
                    for event in _EVENTS
                    for about in ("refund", "shipment")
                ]
                return any(sent)
            case ActKind.LOCK | ActKind.UNLOCK:
                await self.lock_order(_CLOSED if act.kind is ActKind.LOCK else None)
                return True
            case _ if act.kind in OF_THE_SHOP:
                status, state = await self._look()
                return await self.clerks.perform_act(act, state if status is WorkflowExecutionStatus.RUNNING else None)
            case _:
                return await self.others.perform_act(act)

    async def _note_first_again(self, request: CancellationRequest) -> None:
        status, _ = await self._look()
        cases = await read_cases(self.system, self.planned.order_id)
        ended = any(case.ended and case.request == request for case in cases)
        if ended and cases[-1].ended is None and status is WorkflowExecutionStatus.TERMINATED:
            self.hits.append("a request of an ended cancellation while another run is lost")

    async def _withdraw(self) -> bool:
        message = Withdraw(actor=self.planned.request.actor)
        accepted: bool | None = True
        try:
            await self.system.library.withdraw(self.planned.order_id, message)
        except StarterError as refused:
            accepted = None if refused.code is ExitCode.UNDECIDED else False
        self.watched.said.append(Said(verb=Verb.WITHDRAW, accepted=accepted, by=message.actor))
        return accepted is True

    async def _lose(self, verb: Verb, act: Callable[[], Awaitable[object]]) -> bool:
        status, _ = await self._look()
        if status is not WorkflowExecutionStatus.RUNNING or not await is_possible(act()):
            return False
        self.watched.said.append(Said(verb=verb))
        return True

    async def _look_again(self, event: ShipmentEvent) -> bool:
        """What a carrier's event becomes after the end: where something was carried out, its outcome may be undone."""
        for case in reversed(await read_cases(self.system, self.planned.order_id)):
            if case.ended and case.ended.outcome in CARRIED_OUT and case.request:
                return await is_possible(self.system.library.look_again(case.request, event))
        return False

    def _next_answer(self, wait: Wait, step: StepName) -> Verb:
        return next(self._answers)
