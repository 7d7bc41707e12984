"""The people around a cancellation: they answer what it waits for, and bring about what only time, bank and carrier do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import DBAPIError, OperationalError
from temporalio.client import WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from client.errors import ExitCode, StarterError
from domain.messages import Approve, ChooseRefundMethod, Reject, ResolveStep, RetryStep, Withdraw
from domain.money import Money
from domain.order import TenderKind
from domain.outcome import Progress, State, Wait
from domain.request import Actor, LineScope, ReasonCode
from domain.said import Steering
from domain.shipment import GoodsGroup
from domain.step import StepName
from sandbox import built_in
from sandbox.carrier.model import TrackerStatus
from sandbox.gateway.messages import Effect, EffectKind
from sandbox.shop import SampleOrder, request
from tests import loss
from tests.faults.answer import Answer
from tests.faults.confidential import NOTE
from tests.faults.instants import find_broken_now
from tests.faults.kept import wait_for_sending
from tests.faults.model import CHARGED_BACK, RELEASED, Said, Verb, Violation
from tests.faults.others import is_possible
from tests.faults.prices import price_of
from tests.faults.rest import NotAtRest
from tests.faults.stories import Course
from tests.faults.world import Watched, read_cases, read_world
from tests.system import SUPERVISOR, Handle, System, eventually

_ANSWERED_WITHIN = 120.0
_HEARD_WITHIN = 10.0


@dataclass
class Staff:
    """Whoever helps one cancellation to its end. What is said is kept in `watched`, with how it was answered."""

    system: System
    sample: SampleOrder
    course: Course
    watched: Watched
    asked: dict[StepName, int] = field(default_factory=dict)
    failed: int = 0
    pause: float = 0.05
    """Seconds between two looks."""
    unlocked: bool = False
    proofs: set[str] = field(default_factory=set)
    """What was done by hand. Sent twice, it was done once."""
    seen: list[Violation] = field(default_factory=list)
    """What was broken while it was under way."""
    judged: set[str] = field(default_factory=set)
    before_answer: Callable[[Wait], Awaitable[None]] | None = None
    """Hears of each wait that is about to be answered."""

    @property
    def handle(self) -> Handle:
        return self.system.current(self.watched.order.order_id)

    @property
    def supervisor(self) -> Actor:
        """Who answers next."""
        return SUPERVISOR

    async def submit_by_right(self) -> None:
        """The customer withdraws from what the course keeps for later. Returns once the product has sent that again and had
        to keep it once more."""
        asked = request(
            self.sample,
            *self.course.kept,
            request_id=f"by-right-{self.sample.order_id}",
            reason=ReasonCode.STATUTORY_WITHDRAWAL,
            note=NOTE,
        )
        submission = await self.system.library.start(asked)
        self.watched.said.append(
            Said(
                verb=Verb.SUBMIT,
                by=asked.actor,
                scope=asked.lines,
                request_id=asked.request_id,
                deferred=submission.deferred,
            )
        )
        await wait_for_sending(self.system, asked.order_id, times=2)

    async def submit(self, request_id: str | None = None) -> None:
        """Start the cancellation without waiting for a worker, or join the run that there is. Raises StarterError, and
        NotAtRest where the client library comes to no answer."""
        asked = request(self.sample, *self.course.scope, request_id=request_id, note=NOTE)
        try:
            await self.system.start(asked)
        except WorkflowAlreadyStartedError:
            try:
                await asyncio.wait_for(self.system.library.start(asked), _ANSWERED_WITHIN)
            except TimeoutError:
                raise NotAtRest(f"request {asked.request_id} has no answer after {_ANSWERED_WITHIN} s") from None
        self.watched.said.append(Said(verb=Verb.SUBMIT, by=asked.actor, scope=asked.lines, request_id=asked.request_id))

    async def see_through(self, within: float = 60) -> None:
        """Until the run is over. Raises NotAtRest."""
        deadline = time.monotonic() + within
        while await self._is_running():
            if time.monotonic() > deadline:
                raise NotAtRest(f"order {self.watched.order.order_id} after {within} s: {await self._progress()}")
            progress = await self._progress()
            for wait in progress.waits if progress else ():
                await self._answer(wait)
            await asyncio.sleep(self.pause)

    async def _is_running(self) -> bool:
        return await loss.status(self.system.client, self.handle) is WorkflowExecutionStatus.RUNNING

    async def _progress(self) -> Progress | None:
        """None: no worker answers at the moment, or none can go on with the run."""
        try:
            return await asyncio.wait_for(self.system.progress(self.handle), 5)
        except (RPCError, WorkflowQueryFailedError, TimeoutError):
            return None

    async def judge(self, wait: Wait) -> None:
        """What holds at any instant has to hold when a wait is first seen. Nothing is judged while the database is away."""
        name = f"{wait.state} {wait.step} {wait.target}"
        if name in self.judged:
            return
        self.judged.add(name)
        with suppress(DBAPIError):
            self.seen += await find_broken_now(self.system, self.watched)

    async def _answer(self, wait: Wait) -> None:
        await self.judge(wait)
        if self.before_answer is not None:
            await self.before_answer(wait)
        match wait.state:
            case State.WAITING_FOR_APPROVAL:
                await self.say(self.course.approval, wait)
            case State.WAITING_FOR_SETTLEMENT:
                if self.course.leaves:
                    await self._hand_over()
                if not (self.course.pays_early and await self._pay_early(wait)):
                    await self.settle()
            case State.WAITING_FOR_CARRIER:
                if self.course.approval is Verb.WITHDRAW:
                    await self.say(Verb.WITHDRAW, wait)
                else:
                    await self.system.shop.carrier.advance(24 * 3600)
                    await self._wake(self.system.wake_by_carrier)
            case _ if wait.step is not None:
                await self._say_next(wait.step, wait)

    async def _hand_over(self) -> None:
        """The labels are used all the same."""
        for label in self.system.shop.labels.get(self.watched.order.order_id, []):
            if (await self.system.labels.track(label)).group is GoodsGroup.NOT_HANDED_OVER:
                await self.system.shop.carrier.scan(label, TrackerStatus.OUT_FOR_DELIVERY)
                await self.system.wake_by_carrier(self.handle)

    async def _pay_early(self, wait: Wait) -> bool:
        """Whether a person has paid just now; that is done once."""
        paid = any(said.verb is Verb.DONE_BY_HAND and said.accepted for said in self.watched.said)
        return not paid and await self.say(Verb.DONE_BY_HAND, wait)

    async def _say_next(self, step: StepName, wait: Wait) -> None:
        """No roll-back is taken while nobody knows what came of an attempt to close the order: it is closed after all."""
        verb = Verb.RETRY if self.unlocked and step is StepName.CLOSE_ORDER else self._next_answer(wait, step)
        taken = await self.say(verb, wait)
        if (
            verb is Verb.ROLL_BACK
            and step is StepName.CLOSE_ORDER
            and not taken
            and self.watched.said[-1].accepted is False
        ):
            await self.lock_order(None)
            self.unlocked = True
        elif verb is Verb.CHOOSE and not taken:
            await self.say(Verb.DONE_BY_HAND, wait)  # no other way is offered while the bank disputes
        elif not taken:
            await self.settle()  # who collects too soon is refused until the money has arrived
            await self.say(Verb.RETRY, wait)  # or else it is looked at in some minutes

    async def lock_order(self, reason: str | None) -> None:
        """Close the order's accounting period; None: open it."""
        order_id = self.watched.order.order_id
        await self.insist_on(lambda: built_in.lock_order(self.system.engine, order_id, reason))

    async def insist_on(self, change: Callable[[], Awaitable[object]]) -> None:
        """In the shop. Tried again while the database is locked."""
        while True:
            try:
                await change()
            except OperationalError:
                await asyncio.sleep(self.pause)
            else:
                return

    def _next_answer(self, wait: Wait, step: StepName) -> Verb:
        """Without an answer of the story, or where the customer has chosen already, the step is tried again twice, and done
        by hand then."""
        without = (Verb.RETRY, Verb.RETRY, Verb.DONE_BY_HAND)
        answers = (self.course.answers or {}).get(step, without)
        if Verb.CHOOSE in answers and not wait.choices:
            answers = without
        number = self.asked.get(step, 0)
        self.asked[step] = number + 1
        return answers[min(number, len(answers) - 1)]

    async def settle(self) -> None:
        """The bank settles each refund that is under way; or it fails one of the first ones, and says nothing of the others
        until the run has heard of that. One that has ended since it was listed, because the process has cancelled it or the
        people of another order, which shares the payment, were faster, is left alone. The marketplace pays the buyer."""
        for tender in self.watched.order.tenders:
            if tender.kind is TenderKind.MARKETPLACE and self.system.shop.marketplace is not None:
                await self.system.shop.marketplace.settle(tender.reference)
        gateway = self.system.shop.gateway
        under_way = [
            effect
            for payment in self.system.shop.payments.get(self.watched.order.order_id, [])
            for effect in await self._under_way(payment)
        ]
        ours = [effect.object_id for effect in under_way if effect.key not in gateway.keys]
        failed = False
        if ours and self.failed < self.course.fails:
            failed = await is_possible(gateway.fail(ours[0]))
            self.failed += failed
        else:
            for effect in under_way:
                await is_possible(gateway.settle(effect.object_id))
        await self._wake(self.system.wake)
        if failed:
            with suppress(AssertionError):  # not every failure needs a person
                await eventually(self._needs_person, "a person is asked", _HEARD_WITHIN)

    async def _needs_person(self) -> bool:
        progress = await self._progress()
        return progress is not None and any(wait.state is State.NEEDS_ATTENTION for wait in progress.waits)

    async def _wake(self, send: Callable[[Handle], Awaitable[None]]) -> None:
        try:
            await send(self.handle)
        except RPCError:
            return  # it has ended meanwhile

    async def say(self, verb: Verb, wait: Wait) -> bool:
        """Whether the run has accepted it. Sent again under the same id while no worker answers."""
        cancellation = await self.find_cancellation()
        answer = await self.fill_in(verb, wait)
        message = answer.to_message(self.sample, wait, self.supervisor)
        accepted: bool | None = True
        try:
            await self._send(message)
        except StarterError as refused:
            accepted = None if refused.code in {ExitCode.UNDECIDED, ExitCode.UNREACHABLE} else False
        self.watched.said.append(
            Said(
                verb=answer.verb,
                accepted=accepted,
                by=message.actor,
                step=wait.step,
                target=wait.target or "",
                amount=answer.amount,
                waived=answer.waived,
                cancellation=cancellation,
                question=wait.reason,
                proof=answer.proof if answer.named else "",
                stands_for=answer.stands_for,
            )
        )
        return bool(accepted)

    async def find_cancellation(self) -> str:
        """The one that is open, which may be one that is looked at again. None may be: the order is still verified."""
        cases = await read_cases(self.system, self.watched.order.order_id)
        found = next((case for case in reversed(cases) if not case.ended), cases[-1] if cases else None)
        return found.cancellation_id if found else ""

    async def fill_in(self, verb: Verb, wait: Wait) -> Answer:
        """With what a person moves who does it by hand, or gives up who says that nothing is due."""
        if verb is Verb.NOTHING_DUE:
            return Answer(verb, waived=await self.read_waived(wait.step, wait.target))
        amount = await self.moved_by_hand(wait.step, wait.target) if verb is Verb.DONE_BY_HAND else None
        if amount is None or amount or wait.step is not StepName.REVERSE_PAYMENT:
            return Answer(verb, amount=amount)
        lost = await self._lost_dispute()
        # The customer has it: without a dispute there is nothing to do by hand.
        return Answer(verb, proof=lost, amount=amount) if lost else Answer(Verb.RETRY)

    async def _send(self, message: Steering) -> None:
        order_id, library = self.watched.order.order_id, self.system.library
        match message:
            case Approve():
                await library.approve(order_id, message)
            case Reject():
                await library.reject(order_id, message)
            case Withdraw():
                await library.withdraw(order_id, message)
            case RetryStep():
                await library.retry_step(order_id, message)
            case ResolveStep():
                await library.resolve_step(order_id, message)
            case ChooseRefundMethod():
                await library.choose_refund_method(order_id, message)

    async def moved_by_hand(self, step: StepName | None, target: str | None) -> Money | None:
        """What a person moves who does the step of a tender: all that has not arrived yet; or, back from the customer, what
        is too much or, in a roll-back, all of it."""
        world = await read_world(self.system, self.watched)
        tender = next((tender for tender in world.order.tenders if tender.tender_id == target), None)
        if tender is None:
            return None
        given = world.refunded(ours=True, tender_id=target) + world.total(RELEASED, tender_id=target)
        given += sum(said.amount.amount for said in world.paid_by_hand if said.target == target and said.amount)
        by_others = world.refunded(ours=False, tender_id=target) + world.total(CHARGED_BACK, tender_id=target)
        units = {part.line_id: part.quantity for part in self.course.scope}
        due = min(tender.amount.amount, price_of(world, units)) if units else tender.amount.amount
        match step:
            case StepName.RESTORE_PAYMENT:
                moved = -given
            case StepName.CHECK_REFUND:
                moved = min(due - given - by_others, 0)
            case _:
                under_way = sum(effect.amount for effect in await self._under_way(tender.reference))
                moved = max(due - given - by_others + under_way, 0)
        return Money(amount=moved, currency=world.currency)

    async def read_waived(self, step: StepName | None, target: str | None) -> Money | None:
        """What a person gives up who says that nothing is due on a tender: what is neither given back nor under way; or,
        below zero, what the customer has too much or, in a roll-back, all of it."""
        moved = await self.moved_by_hand(step, target)
        if moved is None or moved.amount <= 0:
            return moved
        references = [tender.reference for tender in self.watched.order.tenders if tender.tender_id == target]
        under_way = [effect.amount for paid in references for effect in await self._under_way(paid)]
        return Money(amount=max(moved.amount - sum(under_way), 0), currency=moved.currency)

    async def _under_way(self, payment: str) -> list[Effect]:
        """The refunds of a payment that have neither arrived nor failed."""
        effects = await self.system.shop.gateway.effects(payment)
        over = {
            effect.object_id
            for effect in effects
            if effect.kind in {EffectKind.REFUND_SETTLED, EffectKind.REFUND_FAILED, EffectKind.REFUND_CANCELED}
        }
        return [
            effect for effect in effects if effect.kind is EffectKind.REFUND_CREATED and effect.object_id not in over
        ]

    async def _lost_dispute(self) -> str | None:
        """The number of the one by which the bank has given the customer the money."""
        for payment in self.system.shop.payments.get(self.watched.order.order_id, []):
            for effect in await self.system.shop.gateway.effects(payment, EffectKind.DISPUTE_LOST):
                return effect.object_id
        return None


def _named_in(sample: SampleOrder, part: LineScope) -> LineScope:
    return part.model_copy(update={"line_id": part.line_id.format(order_id=sample.order_id)})


async def place_order(system: System, course: Course) -> Staff:
    """The order, ready to be cancelled."""
    sample = course.sample()
    course = replace(course, scope=tuple(_named_in(sample, part) for part in course.scope))
    order = await system.shop.place_order(sample)
    if course.locked:
        await built_in.lock_order(system.engine, order.order_id, "the accounting period is closed")
    return Staff(system, sample, course, Watched(order, handed_over=sample.handed_over))
