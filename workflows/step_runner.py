"""How a step is carried to its own end: ordered, attempted in rounds, rested, waited for; and what interrupts that."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from activities.signatures import Booked, StepInput, Verified
from domain.case import Case
from domain.errors import ErrorCode
from domain.facts import Decided, Ended, RetryOrdered, RollBackOrdered
from domain.outcome import Outcome, State, Wait
from domain.step import Owner, StepName
from workflows import steps
from workflows.decisions import Answer, Decisions
from workflows.journal import Journal
from workflows.steps import OUR_FAULTS, Role, Step, attempt_step, owner_of_wait
from workflows.waits import Obstacle, Watch


class RollBack(Exception):
    """Everything is undone from here on; the case knows why."""


class TakenOver(Exception):
    """This run knows from the books that there is more than it had known: the process begins again from what is there."""


class Superseded(Exception):
    """A run of another namespace was ordered to take over: this one writes nothing more."""


_NOT_LOOKED_YET = -1  # a run that has not looked itself looks at once


class StepRunner:
    """`had_ended`: the cancellation was over before this run began."""

    def __init__(self, case: Case, order_id: str, decisions: Decisions, journal: Journal) -> None:
        self.case = case
        self._order_id = order_id
        self._decisions = decisions
        self._journal = journal
        self._first_seen: dict[tuple[StepName, str], datetime] = {}
        self._events_at_look: dict[tuple[StepName, str], int] = {}
        self.had_ended = False
        self._events = 0
        self._parcel_events = 0

    # Events

    def note_event(self, *, of_parcel: bool = False) -> None:
        """Something arrived from outside. It only wakes the run up, which looks itself before it believes anything."""
        self._events += 1
        self._parcel_events += of_parcel

    @property
    def has_heard(self) -> bool:
        return self._events > 0

    @property
    def parcel_events(self) -> int:
        return self._parcel_events

    # Steps

    async def run_step(self, step: Step[Any, Any], target: str, **more: object) -> Answer | None:
        """Carry one step to its own end: attempt, rest, attempt again; ask a person where only a person can decide.

        Returns None when it was carried out, otherwise how a person settled it. Raises RollBack when the process rolls back
        instead, TakenOver and Superseded when this run does not hold the cancellation.
        """
        if step.role is not Role.COMPENSATION:
            await self.raise_if_rolling_back()
        wait: Wait | None = None
        while True:
            with self._still_waiting(wait):
                obstacle = await self.try_round(step, target, **more)
            if obstacle is None:
                if wait is not None:
                    self._journal.publish_unless_waiting()
                return None
            if obstacle.final and step.role is Role.COMPENSATABLE and not self.case.past_pivot:
                ordered = RollBackOrdered(sentence=obstacle.sentence, failed=True, step=step.name, target=target)
                await self.order_roll_back(ordered)
            wait = self._wait_about(step, target, obstacle)
            answer = await self._ask(step, target, obstacle, wait)
            match answer:
                case RetryOrdered() if obstacle.held_elsewhere:
                    wait, more = None, {**more, "from_elsewhere": True}
                case RollBackOrdered() if obstacle.held_elsewhere:
                    self.case.add_unrecorded(answer, workflow.now())  # this run has written nothing, so it just ends
                    raise RollBack
                case RetryOrdered():
                    wait = None
                case None:
                    pass
                case _:
                    return answer

    async def try_round(self, step: Step[Any, Any], target: str, **more: object) -> Obstacle | None:
        """One round of attempts; None: it was carried out. Either way the case has what the books have learnt."""
        if step.role is not Role.LOOK:
            self.case.order_step(step.name, target, workflow.now())
        self._journal.show_details()
        obstacle = None
        try:
            await self._attempt(step, target, more)
        except ActivityError as error:
            obstacle = await self._obstacle_of(step, target, error)
        self._journal.show_details()  # not in `finally`: a run that is dropped from the cache may not be shown
        return obstacle

    async def run_look(self, step: Step[Any, Any], target: str, **more: object) -> bool:
        """Look something up, or write to staff. It moves neither goods nor money, so nobody is bothered when nobody answers:
        then it is False."""
        try:
            await self._attempt(step, target, more)
        except ActivityError as error:
            await self._obstacle_of(step, target, error)
            return False
        self._journal.show_details()
        return True

    async def _attempt(self, step: Step[Any, Any], target: str, more: Mapping[str, object]) -> None:
        case = self.case
        self._events_at_look[step.name, target] = self._events
        step_input = step.signature.input(
            cancellation_id=case.cancellation_id,
            order_id=self._order_id,
            target=target,
            key=case.key_of(step.name, target),
            last_seq=case.last_seq,
            **more,
        )
        answer = await attempt_step(step, target, step_input)
        if isinstance(answer, Verified):
            self._take_verified(answer)
        else:
            case.add(*answer.entries)

    def _take_verified(self, verified: Verified) -> None:
        """What verification found in the books, or the decision that no book keeps."""
        case, now = self.case, workflow.now()
        self.had_ended = verified.existing
        if verified.decision is None:
            case.replace(verified.entries)
            return
        case.add_unrecorded(Decided(decision=verified.decision, customer_id=verified.customer_id), now)
        case.add_unrecorded(Ended(outcome=Outcome.REJECTED, sentence=verified.decision.sentence), now)

    async def _obstacle_of(self, step: Step[Any, Any], target: str, error: ActivityError) -> Obstacle:
        """What a failed round means. Raises TakenOver or Superseded."""
        cause = error.cause
        if not isinstance(cause, ApplicationError):
            return Obstacle(f"{step.summary(target)}: no answer within {step.round}.")
        if step is steps.VERIFY_ORDER and cause.type in {ErrorCode.NOT_THE_HOLDER, ErrorCode.ORDER_HELD}:
            raise TakenOver  # another run has begun to verify the order, or holds it by now: look again what there is
        if cause.type == ErrorCode.NOT_THE_HOLDER:
            await self._take_up(cause.details[0] if cause.details else None)
        if cause.details:
            self.case.add(*Booked.model_validate(cause.details[0]).entries)
        return Obstacle(
            cause.message,
            final=cause.type in step.refusals,
            our_fault=cause.type in OUR_FAULTS,
            held_elsewhere=cause.type == ErrorCode.HELD_ELSEWHERE,
            choice=cause.type == ErrorCode.REFUND_REFUSED and step.role is Role.PIVOT,
        )

    async def _take_up(self, namespace: str | None) -> None:
        """Another run holds the cancellation. One of this namespace is lost, because the engine lets only one run of
        an order live: this run goes on from the facts. One of another namespace was ordered to take over."""
        if namespace not in {None, workflow.info().namespace}:
            raise Superseded
        case = self.case
        step_input = StepInput(
            cancellation_id=case.cancellation_id,
            order_id=self._order_id,
            target=self._order_id,
            key=case.key_of(StepName.TAKE_UP, self._order_id),
        )
        while True:
            try:
                taken = await attempt_step(steps.TAKE_UP, self._order_id, step_input)
            except ActivityError as error:
                cause = error.cause
                if isinstance(cause, ApplicationError) and cause.type == ErrorCode.HELD_ELSEWHERE:
                    raise Superseded from None
                why = (
                    cause.message if isinstance(cause, ApplicationError) else f"no answer within {steps.TAKE_UP.round}"
                )
                await self.wait_for_person(steps.TAKE_UP, self._order_id, Obstacle(why))
            else:
                case.replace(taken.entries)
                raise TakenOver

    async def run_all(self, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Run jobs in parallel and wait for all of them, also when one rolls back: a step that has begun is carried
        to its end. A programming error in one of them is seen at once."""
        tasks = [asyncio.create_task(job) for job in jobs]
        if not tasks:
            return
        pending: set[asyncio.Task[None]] = set(tasks)
        stopped: list[BaseException] = []
        while pending:
            done, left = await workflow.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            pending = set(left)
            for task in tasks:
                if task in done and (error := task.exception()) is not None:
                    if not isinstance(error, RollBack | TakenOver | Superseded):
                        raise error
                    stopped.append(error)
        if stopped:
            # Losing the cancellation counts before rolling it back: a run that does not hold it may not undo anything.
            raise min(stopped, key=lambda error: isinstance(error, RollBack))

    # Waits

    async def wait_for_person(self, step: Step[Any, Any], target: str, obstacle: Obstacle) -> Answer | None:
        """Wait for a person's decision about a step, or for its rest to pass (None is returned then). Raises RollBack."""
        answer = await self._ask(step, target, obstacle, self._wait_about(step, target, obstacle))
        self._journal.publish_unless_waiting()
        return answer

    def _wait_about(self, step: Step[Any, Any], target: str, obstacle: Obstacle) -> Wait:
        due_at = self._due_at(step, target, self.case.terms.attention_due)
        # A silent carrier has until the due time; any other counterpart that is silent needs attention at once.
        silent = not obstacle.until_answered and not obstacle.our_fault and workflow.now() < due_at
        carriers_turn = silent and step.counterpart is Owner.CARRIER
        return Wait(
            state=State.WAITING_FOR_CARRIER if carriers_turn else State.NEEDS_ATTENTION,
            owner=owner_of_wait(step, in_time=carriers_turn, our_fault=obstacle.our_fault),
            reason=obstacle.sentence,
            due_at=due_at,
            step=step.name,
            target=target,
            choices=self.case.terms.fallbacks if obstacle.choice else (),
        )

    async def _ask(self, step: Step[Any, Any], target: str, obstacle: Obstacle, wait: Wait) -> Answer | None:
        undoing = step.role is Role.COMPENSATION
        question = self._decisions.open_question(
            step.name, target, obstacle.sentence, wait.choices, in_books=not obstacle.held_elsewhere
        )
        with self._journal.show_wait(wait):
            await self.wait_until(
                lambda: question.has_answer() or (self.must_roll_back and not undoing),
                None if obstacle.until_answered else self.case.terms.next_round,
                step.summary(target) + ", again",
            )
            answer = await self._decisions.close_question(question)
        if answer is not None:
            self._journal.publish_unless_waiting()
        if not undoing:
            await self.raise_if_rolling_back()
        return answer

    @contextmanager
    def _still_waiting(self, wait: Wait | None) -> Iterator[None]:
        """While a step that nobody has answered is tried again, it is still seen to wait; what is said of it meanwhile is
        to be said again, because this try may settle it."""
        if wait is None or wait.step is None or wait.target is None:
            yield
            return
        with self._journal.show_wait(wait), self._decisions.trying(wait.step, wait.target):
            yield

    async def wait_for_outcome(self, step: Step[Any, Any], target: str, watch: Watch) -> Answer | None:
        """Wait for the outcome of something that `step` began elsewhere: woken by any event, also by one that came
        before the wait, and looking again every `poll`, or sooner when a look had no answer. A run that has taken
        over looks first. When `patience` is over, or `urgent` says why, it needs attention, and goes on looking.
        Returns a person's decision, or None when the outcome is there. An answer is taken while it looks, too; an
        order to try again is a look at once. Raises RollBack and TakenOver."""
        while True:
            answer = await self._wait_for_outcome_once(step, target, watch)
            if not isinstance(answer, RetryOrdered):
                return answer
            self._events_at_look.pop((step.name, target), None)

    async def _wait_for_outcome_once(self, step: Step[Any, Any], target: str, watch: Watch) -> Answer | None:
        place = step.name, target
        due_at = self._due_at(step, target, watch.patience)
        question = self._decisions.open_question(step.name, target, watch.why)
        answered = True
        try:
            while watch.is_open() and not question.has_answer():
                await self.raise_if_rolling_back()
                overdue = workflow.now() >= due_at
                wait = self._wait_of(step, target, watch, due_at)
                question.why = wait.reason
                looked_at = self._events_at_look.get(place, _NOT_LOOKED_YET)
                rest = watch.poll if answered else min(watch.poll, self.case.terms.next_round)

                def is_woken(looked_at: int = looked_at) -> bool:
                    return self._events > looked_at or question.has_answer() or self.must_roll_back

                with self._journal.show_wait(wait):
                    within = rest if overdue else min(rest, due_at - workflow.now())
                    await self.wait_until(is_woken, within, f"Check again: {step.summary(target)}")
                    if not question.has_answer() and not self.must_roll_back:
                        self._events_at_look[place] = self._events
                        answered = await watch.look_up()
        except BaseException:
            self._decisions.drop_question(question)
            raise
        answer = await self._decisions.close_question(question)
        self._journal.publish_unless_waiting()
        await self.raise_if_rolling_back()
        return answer

    def _wait_of(self, step: Step[Any, Any], target: str, watch: Watch, due_at: datetime) -> Wait:
        """What is seen of a watch: the counterpart's turn until its time is over, or something presses."""
        pressing = watch.urgent()
        attention = workflow.now() >= due_at or bool(pressing)
        return Wait(
            state=State.NEEDS_ATTENTION if attention else watch.state,
            owner=owner_of_wait(step, in_time=not attention),
            reason=pressing or watch.why,
            due_at=due_at,
            step=step.name,
            target=target,
        )

    async def wait_until(self, ready: Callable[[], bool], within: timedelta | None, timer: str) -> bool:
        """Wait for a condition; False when `within` passed first. `timer` says in the Temporal UI what the timer is for."""
        try:
            await workflow.wait_condition(ready, timeout=within, timeout_summary=timer[:200])
        except TimeoutError:
            return False
        return True

    def _due_at(self, step: Step[Any, Any], target: str, patience: timedelta) -> datetime:
        """Some time after the books last learnt something of the step; further rounds do not put it off. What holds the
        customer's money up is due no later than the law wants it."""
        changed = self.case.last_change(step.name, target)
        seen = self._first_seen.setdefault((step.name, target), workflow.now())
        due_at = (changed or seen) + patience
        plan = self.case.plan
        law = plan.refund_due if plan else None
        return min(due_at, law.at) if law and step in steps.BOUND_BY_LAW else due_at

    # Rolling back

    @property
    def must_roll_back(self) -> bool:
        """Whether the process is to roll back at the next opportunity. After the pivot a cancel request is too late."""
        return self.case.roll_back_cause is not None or self._cancel_requested

    @property
    def _cancel_requested(self) -> bool:
        case = self.case
        return workflow.cancellation_reason() is not None and not (case.past_pivot or case.ended)

    async def raise_if_rolling_back(self) -> None:
        """Asked between steps: what was accepted is kept first. Raises RollBack when somebody wants the process to stop."""
        await self._decisions.wait_until_recorded()
        if self.case.roll_back_cause is None and self._cancel_requested:
            await self.order_roll_back(RollBackOrdered(sentence="A cancel request was sent to the run."))
        if self.case.roll_back_cause is not None:
            raise RollBack

    async def order_roll_back(self, ordered: RollBackOrdered) -> None:
        """The process itself orders the roll-back. Raises RollBack, also for an earlier cause. Returns when the books
        refuse: the pivot is passed, or the order is not this customer's."""
        while self.case.roll_back_cause is None:
            try:
                await self._decisions.record(ordered)
            except ApplicationError as refused:
                if refused.type in {ErrorCode.NOT_POSSIBLE, ErrorCode.ORDER_NOT_FOUND}:
                    if self.case.roll_back_cause is None:
                        return
                elif refused.type != ErrorCode.HELD_ELSEWHERE:
                    await self._rest_after_mistake(refused.message)
                elif self.case.last_seq:
                    raise Superseded from None
                else:
                    self.case.add_unrecorded(ordered, workflow.now())  # this run has written nothing, so it just ends
        raise RollBack

    async def _rest_after_mistake(self, sentence: str) -> None:
        """What the process itself wants recorded could not be, by a mistake of ours: seen at once, and tried again after a
        rest, unless somebody has ordered the same meanwhile."""
        step, target = steps.RECORD_DECISION, self._order_id
        wait = Wait(
            state=State.NEEDS_ATTENTION,
            owner=owner_of_wait(step, our_fault=True),
            reason=sentence,
            due_at=self._due_at(step, target, self.case.terms.attention_due),
            step=step.name,
            target=target,
        )
        with self._journal.show_wait(wait):
            await self.wait_until(
                lambda: self.case.roll_back_cause is not None,
                self.case.terms.next_round,
                step.summary(target) + ", again",
            )
        self._journal.publish_unless_waiting()
