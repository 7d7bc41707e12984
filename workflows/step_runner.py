"""How a step is carried to its own end: ordered, attempted in rounds, rested, waited for; and what interrupts that."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.signatures import Booked, StepInput, Verified
from domain.carried import Carried, Obstacle, Resting
from domain.case import Case
from domain.errors import ErrorCode
from domain.examination import Counterpart
from domain.facts import Decided, Ended, RetryOrdered, RollBackOrdered, RollBackReason
from domain.outcome import Outcome, State, Wait
from domain.step import StepName
from workflows import steps
from workflows.continuing import ContinuesAsNew
from workflows.decisions import Answer, Decisions, Question
from workflows.journal import Journal
from workflows.steps import OUR_FAULTS, Role, Step, attempt_step, owner_of_wait, poll_step
from workflows.waiting import RollBack, Superseded, TakenOver, Waiting
from workflows.waits import Watch

_NOT_LOOKED_YET = -1


class StepRunner:
    """`had_ended`: the cancellation was over before this run began."""

    def __init__(
        self,
        case: Case,
        order_id: str,
        waiting: Waiting,
        decisions: Decisions,
        journal: Journal,
        *,
        carried: Carried | None,
    ) -> None:
        self.case = case
        self._order_id = order_id
        self._waiting = waiting
        self._decisions = decisions
        self._journal = journal
        self._events_at_look: dict[tuple[StepName, str], int] = {}
        self.had_ended = False
        self._events = carried.events if carried else 0
        self._parcel_events = carried.parcel_events if carried else 0
        self._resting = {(rest.step, rest.target): rest for rest in carried.resting} if carried else {}
        self._is_slow = bool(self._resting)

    @property
    def resting(self) -> tuple[Resting, ...]:
        """The steps that wait for their next round."""
        return tuple(self._resting.values())

    # Events

    def note_event(self, *, of_parcel: bool = False) -> None:
        """Something arrived from outside. It only wakes the run up, which looks itself before it believes anything."""
        self._waiting.continuing.count()
        self._events += 1
        self._parcel_events += of_parcel

    @property
    def events(self) -> int:
        """How many have arrived so far."""
        return self._events

    @property
    def parcel_events(self) -> int:
        return self._parcel_events

    # Steps

    @property
    def is_slow(self) -> bool:
        """A step has rested, or was not carried out by a local attempt."""
        return self._is_slow

    def _note_slow(self) -> None:
        self._is_slow = True

    # Rule: A refused step rolls back before the pivot, and waits for a person after it [the wait]
    async def run_step(self, step: Step[Any, Any], target: str, **fields: object) -> Answer | None:
        """Carry one step to its own end: attempt, rest, attempt again; ask a person where only a person can decide. `fields`
        go into its input, besides those that every step has.

        Returns None when it was carried out, otherwise how a person settled it. Raises RollBack when the process rolls back
        instead, TakenOver and Superseded when this run does not hold the cancellation.
        """
        if step.role is not Role.COMPENSATION:
            await self._waiting.raise_if_rolling_back()
        place = step.name, target
        has_rested = is_ordered = False
        while True:
            rest = self._resting.get(place)
            if rest is None or has_rested:
                rest = await self._rest_after_round(step, target, rest, fields, is_ordered=is_ordered)
                if rest is None:
                    return None
            answer = await self._waiting.wait_for_answer(step, target, rest.obstacle, self._waiting.end_of_rest(rest))
            has_rested, is_ordered = answer is None, answer is not None
            if answer is not None:
                del self._resting[place]
            match answer:
                case RetryOrdered() if rest.obstacle.held_elsewhere:
                    fields = {**fields, "from_elsewhere": True}
                case RollBackOrdered() if rest.obstacle.held_elsewhere:
                    self.case.add_unrecorded(answer, workflow.now())  # this run has written nothing, so it just ends
                    raise RollBack
                case RetryOrdered() | None:
                    pass
                case _:
                    return answer

    # Rule: A refused step rolls back before the pivot, and waits for a person after it
    async def _rest_after_round(
        self, step: Step[Any, Any], target: str, rest: Resting | None, fields: Mapping[str, object], *, is_ordered: bool
    ) -> Resting | None:
        """Try the step for one round after `rest`. None: it was carried out; otherwise how it rests now. `is_ordered`: by a
        person. Raises RollBack where a refusal rolls back."""
        place = step.name, target
        if not is_ordered:  # a person's order is carried out by this run: the next one would not know of it
            await self._waiting.before_round()
        with self._still_waiting(step, target, rest):
            obstacle = await self._try_round(step, target, **fields)
        if obstacle is None:
            if self._resting.pop(place, None) is not None:
                self._journal.publish_state()
            return None
        if obstacle.final and step.role is Role.COMPENSATABLE and not self.case.past_pivot:
            ordered = RollBackOrdered(
                reason=RollBackReason.STEP_REFUSED,
                sentence=obstacle.sentence,
                failed=True,
                step=step.name,
                target=target,
            )
            await self._waiting.order_roll_back(ordered)
        rounds = rest.rounds + 1 if rest else 1
        now_resting = Resting(step=step.name, target=target, obstacle=obstacle, rounds=rounds, since=workflow.now())
        self._resting[place] = now_resting
        return now_resting

    async def _try_round(self, step: Step[Any, Any], target: str, **fields: object) -> Obstacle | None:
        """One round of attempts; None: it was carried out. Either way the case has what the books have learnt."""
        if step.role is not Role.LOOK:
            self.case.order_step(step.name, target, workflow.now())
        self._journal.show_details()
        obstacle = None
        try:
            with self._waiting.continuing.working():
                await self._attempt(step, target, fields)
        except ApplicationError as error:
            obstacle = await self._obstacle_of(step, error)
        self._journal.show_details()  # not in `finally`: a run that is dropped from the cache may not be shown
        return obstacle

    async def run_look(self, step: Step[Any, Any], target: str, **fields: object) -> bool:
        """Look something up, or write to staff. It moves neither goods nor money, so nobody is bothered when nobody answers:
        then it is False."""
        try:
            with self._waiting.continuing.working():
                await self._attempt(step, target, fields)
        except ApplicationError as error:
            await self._obstacle_of(step, error)
            return False
        self._journal.show_details()
        return True

    async def look_until_news(self, step: Step[Any, Any], target: str, poll: timedelta) -> bool:
        """Look every `poll` until there is something new; it writes no event before. False when the look cannot go on."""
        step_input = self._input(step, target, poll=poll)
        try:
            found = await poll_step(step, target, step_input, min(poll, self.case.terms.next_round))
        except ApplicationError as error:
            await self._obstacle_of(step, error)
            return False
        self.case.add(*found.entries)
        self._journal.show_details()
        return True

    def _input(self, step: Step[Any, Any], target: str, **fields: object) -> Any:
        case = self.case
        return step.signature.input(
            cancellation_id=case.cancellation_id,
            order_id=self._order_id,
            target=target,
            key=case.key_of(step.name, target),
            last_seq=case.last_seq,
            **fields,
        )

    async def _attempt(self, step: Step[Any, Any], target: str, fields: Mapping[str, object]) -> None:
        case = self.case
        self._events_at_look[step.name, target] = self._events
        step_input = self._input(step, target, **fields)
        answer = await attempt_step(step, target, step_input, when_not_local=self._note_slow)
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

    async def _obstacle_of(self, step: Step[Any, Any], failed: ApplicationError) -> Obstacle | None:
        """What a failed round means; None: nothing is left to do, because this run had ended the cancellation before its
        task was repeated. Raises TakenOver or Superseded."""
        if step.name is StepName.VERIFY_ORDER and failed.type in {ErrorCode.NOT_THE_HOLDER, ErrorCode.ORDER_HELD}:
            raise TakenOver  # another run has begun to verify the order, or holds it by now: look again what there is
        if failed.type == ErrorCode.NOT_THE_HOLDER:
            await self._take_up(failed.details[0] if failed.details else None)
        if failed.details:
            self.case.add(*Booked.model_validate(failed.details[0]).entries)
        if failed.type == ErrorCode.HAS_ENDED:
            return None
        return Obstacle(
            sentence=failed.message,
            final=failed.type in step.refusals,
            our_fault=failed.type in OUR_FAULTS,
            held_elsewhere=failed.type == ErrorCode.HELD_ELSEWHERE,
            choice=failed.type == ErrorCode.REFUND_REFUSED and step.role is Role.PIVOT,
            away=Counterpart(failed.details[1]) if len(failed.details) > 1 else None,
        )

    async def continue_holding(self) -> None:
        """This run continues another one: it becomes the holder in its place. Raises Superseded when a run of another
        namespace holds the cancellation by now."""
        self.case.add(*(await self._become_holder()).entries)

    # Rule: A run takes over from another one [in the run]
    async def _take_up(self, namespace: str | None) -> NoReturn:
        """Another run holds the cancellation. One of this namespace is lost, because the engine lets only one run of
        an order live: this run goes on from the facts. One of another namespace was ordered to take over."""
        if namespace not in {None, workflow.info().namespace}:
            raise Superseded
        self.case.replace((await self._become_holder()).entries)
        self._resting.clear()
        raise TakenOver

    async def _become_holder(self) -> Booked:
        case = self.case
        step_input = StepInput(
            cancellation_id=case.cancellation_id,
            order_id=self._order_id,
            target=self._order_id,
            key=case.key_of(StepName.TAKE_UP, self._order_id),
        )
        while True:
            try:
                with self._waiting.continuing.working():
                    return await attempt_step(steps.TAKE_UP, self._order_id, step_input, when_not_local=self._note_slow)
            except ApplicationError as failed:
                if failed.type == ErrorCode.HELD_ELSEWHERE:
                    raise Superseded from None
                await self._waiting.wait_for_person(steps.TAKE_UP, self._order_id, Obstacle(sentence=failed.message))

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
                    if not isinstance(error, RollBack | TakenOver | Superseded | ContinuesAsNew):
                        raise error
                    stopped.append(error)
        if stopped:
            # Losing the cancellation comes first: a run that does not hold it may not undo anything. Continuing comes last:
            # it is for a run in which nothing else has to be done.
            order = (TakenOver | Superseded, RollBack, ContinuesAsNew)
            raise min(stopped, key=lambda error: [isinstance(error, kind) for kind in order].index(True))

    # Waits

    @contextmanager
    def _still_waiting(self, step: Step[Any, Any], target: str, rest: Resting | None) -> Iterator[None]:
        """While a step that nobody has answered is tried again, it is still seen to wait; what is said of it meanwhile is
        to be said again, because this try may settle it."""
        if rest is None:
            yield
            return
        wait = self._waiting.wait_about(step, target, rest.obstacle)
        with self._journal.show_wait(wait), self._decisions.trying(step.name, target):
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
        due_at = self._waiting.due_at(step, target, watch.patience)
        question = self._decisions.open_question(step.name, target, watch.why)
        looks: asyncio.Task[bool] | None = None  # one after the other, until there is something new
        looks_at = workflow.now() + watch.poll
        try:
            while watch.is_open() and not question.has_answer():
                await self._waiting.raise_if_rolling_back()
                wait = self._wait_of(step, target, watch, due_at)
                question.why = wait.reason
                if looks is None and workflow.now() >= looks_at:
                    looks = asyncio.create_task(watch.look_until_news())
                times = [due_at, *([] if looks else [looks_at])]
                left = [time - workflow.now() for time in times if time > workflow.now()]
                with self._journal.show_wait(wait):
                    await self._waiting.wait_until(
                        partial(self._is_woken, place, question, looks),
                        min(left, default=None),
                        f"Check again: {step.summary(target)}",
                    )
                    if looks is not None and looks.done():
                        answered, looks = await looks, None
                    elif self._must_look(place) and not question.has_answer() and not self._waiting.must_roll_back:
                        self._events_at_look[place] = self._events
                        answered = await watch.look_up()
                    else:
                        continue
                looks_at = workflow.now() + (watch.poll if answered else min(watch.poll, self.case.terms.next_round))
        except ContinuesAsNew:
            raise  # the looks end with the run
        except BaseException:
            self._decisions.drop_question(question)
            if looks is not None:
                looks.cancel()
            raise
        if looks is not None:
            looks.cancel()
        answer = await self._decisions.close_question(question)
        self._journal.publish_state()
        await self._waiting.raise_if_rolling_back()
        return answer

    def _must_look(self, place: tuple[StepName, str]) -> bool:
        """Whether something has arrived since the last look. A run that has not looked itself looks at once; one that is to
        continue as new leaves it to the next one."""
        has_heard = self._events > self._events_at_look.get(place, _NOT_LOOKED_YET)
        return has_heard and not self._waiting.continuing.is_due

    def _is_woken(self, place: tuple[StepName, str], question: Question, looks: asyncio.Task[bool] | None) -> bool:
        has_looked = looks is not None and looks.done()
        return has_looked or self._must_look(place) or question.has_answer() or self._waiting.must_roll_back

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
