"""The people, the bank and the others around one order of a plan: they ask, answer, and interfere as the plan says."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, cycle
from pathlib import Path

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from client.errors import ExitCode, StarterError
from domain.errors import Unavailable
from domain.messages import RefundEvent, ShipmentEvent, Withdraw
from domain.money import Money
from domain.order import OrderFlag
from domain.outcome import CARRIED_OUT, Progress, State, Wait
from domain.request import Actor, ActorKind, CancellationRequest, ReasonCode
from domain.shipment import GoodsGroup
from domain.step import MONEY_STEPS, StepName
from runtime import search_attributes as attributes
from sandbox.carrier.model import TrackerStatus
from tests import loss
from tests.faults.clerks import OF_THE_SHOP, Clerks
from tests.faults.kept import count_sendings
from tests.faults.model import Invariant, Said, Verb, Violation
from tests.faults.others import Others, is_possible
from tests.faults.owed import Owed
from tests.faults.plan import Act, ActKind, Moment, PlannedOrder
from tests.faults.rest import NotAtRest
from tests.faults.sentences import find_wrong_amounts, read_excess
from tests.faults.sharing import captured_for_each
from tests.faults.staff import Staff
from tests.faults.stories import Course
from tests.faults.world import Watched, read_cases, read_money
from tests.system import SUPERVISOR, System
from workflows.cancellation import CancellationWorkflow

_PAUSE = 0.25
_CLOSED = "the accounting period is closed"
_PATIENCE_WITH_CARRIER = 3
"""So often time passes before a silent carrier says where the parcel is."""
_COLLEAGUE = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="supervisor-3")
_WHOSE_IT_IS = ("Find out", "nobody can tell", "for something else")
_WAITING = frozenset(
    {
        State.WAITING_FOR_APPROVAL,
        State.WAITING_FOR_CARRIER,
        State.WAITING_FOR_SETTLEMENT,
        State.NEEDS_ATTENTION,
        State.ROLLING_BACK,
    }
)
_UNDER_WAY = frozenset({GoodsGroup.IN_NETWORK, GoodsGroup.LAST_MILE})
_ON_THEIR_WAY = frozenset({*_UNDER_WAY, GoodsGroup.DELIVERED})
_EVENTS: tuple[tuple[object, ...], ...] = (
    (),
    ({"event_id": "evt_forged", "status": "succeeded", "subject": "re_none"},),
    ("no event at all", 7),
    (None,),
)


@dataclass
class Crowd(Staff):
    """`looked` hears of each look at the run. `hits` are the acts that reached something. `archive`: see Clerks."""

    planned: PlannedOrder = field(kw_only=True)
    looked: Callable[[], None] = field(kw_only=True)
    archive: Path = field(kw_only=True)
    hits: list[ActKind] = field(default_factory=list)
    asking: list[asyncio.Task[None]] = field(default_factory=list)
    silent: int = 0
    others: Others = field(init=False)
    clerks: Clerks = field(init=False)

    def __post_init__(self) -> None:
        self._answers = chain(self.planned.answers, cycle((Verb.RETRY, Verb.DONE_BY_HAND)))
        self._given = 0
        self._finds_out = False
        self._excess: Money | None = None
        self.others = Others(self.system, self.planned, self.watched)
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
            act = next((act for act in acts if self._is_due(act.when, looks, status, state)), None)
            if act is not None:
                acts.remove(act)
                await self._do(act)
            elif is_over and await self._is_at_rest():
                return
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
        if self.asking:
            return False
        status, _ = await self._look()
        if status in {WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT}:
            self._begin(self.planned.request)
            return False
        if status is WorkflowExecutionStatus.RUNNING or await count_sendings(self.system, self.planned.order_id):
            return False
        return not await self._hear_of_refunds()

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
            self._report(Invariant.VISIBLE, f"a person is waited for, and the list of runs says {shown}")

    async def _check_amounts(self, wait: Wait) -> None:
        cases = await read_cases(self.system, self.planned.order_id)
        effects = await read_money(self.system, self.watched.order)
        for sentence in find_wrong_amounts(wait, cases[-1].cancellation_id if cases else "", effects):
            self._report(Invariant.MONEY, sentence)

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
            await self._check_amounts(wait)
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

    async def _do(self, act: Act) -> None:
        if await self._has_done(act):
            self.hits.append(act.kind)

    async def _has_done(self, act: Act) -> bool:
        match act.kind:
            case ActKind.REQUEST:
                assert act.request is not None
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

    async def _hear_of_refunds(self) -> bool:
        """The gateway's events, kept until no run is under way. Whether an ended cancellation is looked at once more."""
        order_id, heard = self.planned.order_id, False
        for news in await self.others.take_news():
            request = await self.system.find_reopened(order_id, news.subject, taken=news.taken, won=news.won)
            event = RefundEvent(event_id=f"evt_{news.subject}", subject=news.subject)
            heard |= request is not None and await is_possible(self.system.library.look_again(request, event))
        return heard or bool(self.others.unheard)

    async def _look_again(self, event: ShipmentEvent) -> bool:
        """What a carrier's event becomes after the end: where something was carried out, its outcome may be undone."""
        for case in reversed(await read_cases(self.system, self.planned.order_id)):
            if case.ended and case.ended.outcome in CARRIED_OUT and case.request:
                return await is_possible(self.system.library.look_again(case.request, event))
        return False

    async def say(self, verb: Verb, wait: Wait) -> bool:
        """Who is asked whose the money of a shared payment is finds that out; otherwise they do as they are told."""
        is_shared = wait.target in self.watched.captured_for and wait.step in MONEY_STEPS
        self._finds_out = is_shared and any(words in wait.reason for words in _WHOSE_IT_IS)
        self._excess = read_excess(wait) if wait.target in self.watched.captured_for else None
        if self._finds_out and verb in {Verb.RETRY, Verb.DONE_BY_HAND}:
            owed = await self.moved_by_hand(wait.step, wait.target)
            verb = Verb.NOTHING_DUE if owed is not None and not owed else verb
        accepted = await super().say(verb, wait)
        after = await self._read_owed(wait.target) if accepted and is_shared and verb is Verb.DONE_BY_HAND else None
        if after and (besides := after.paid_besides(self.watched.refunds_of_others)):
            sentence = f"a person was told to pay {besides} on {wait.target}, which others had given"
            self._report(Invariant.PAID_ONCE, sentence)
        return accepted

    def _report(self, invariant: Invariant, sentence: str) -> None:
        self.seen.append(Violation(invariant=invariant, order_id=self.planned.order_id, sentence=sentence))

    async def moved_by_hand(self, step: StepName | None, target: str | None) -> Money | None:
        """What the cancellation owes on the tender; in a roll-back, what it has given back on it; or what the customer has
        too much: these are taken back, so they are below zero."""
        owed = await self._read_owed(target)
        if self._excess is not None:
            return self._excess
        if owed is not None and step in MONEY_STEPS and self._finds_out:
            return owed.of_shared_payment(self.watched.captured_for[target or ""], self.watched.refunds_of_others)
        if owed is not None and self.others.is_processed(owed.planned.tender.reference):
            return Money.zero(owed.planned.refund.currency)  # whoever reads that it is still being taken waits
        return owed.moved_by_hand(step) if owed else None

    async def read_waived(self, step: StepName | None, target: str | None) -> Money | None:
        owed = await self._read_owed(target)
        return self._excess or (owed.waived(step) if owed else None)

    async def _read_owed(self, target: str | None) -> Owed | None:
        progress = await self._progress()
        try:
            plan = await self.handle.query(CancellationWorkflow.plan)
        except RPCError:
            plan = None
        planned = next((part for part in plan.tenders if part.tender.tender_id == target), None) if plan else None
        if planned is None or progress is None:
            return None
        money = await read_money(self.system, self.watched.order)
        return Owed(planned, progress.cancellation_id, money, self.watched.said)

    def _next_answer(self, wait: Wait, step: StepName) -> Verb:
        return next(self._answers)
