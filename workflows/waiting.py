"""How the process waits: visibly, for a person or for time to pass; and what ends a wait from outside.

What ends a wait from outside is an exception: RollBack, TakenOver and Superseded here, ContinuesAsNew in
workflows/continuing.py. Each is raised between the steps and out of the waits, and never in the middle of a step.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain.carried import Obstacle, Resting, Seen
from domain.case import Case
from domain.errors import ErrorCode
from domain.facts import RollBackOrdered, RollBackReason
from domain.outcome import State, Wait
from domain.step import Owner
from workflows import steps
from workflows.continuing import ContinuesAsNew, Continuing
from workflows.decisions import Answer, Decisions
from workflows.journal import Journal
from workflows.steps import Role, Step, owner_of_wait

_LONGEST_REST = timedelta(hours=6)


_CANCEL_REQUEST = (
    "Somebody has sent a cancel request to the run, by the Temporal UI or its command line, which names no actor."
)


class RollBack(Exception):
    """Everything is undone from here on; the case knows why."""


class TakenOver(Exception):
    """The books have more than this run knew: the process begins again from what is there."""


class Superseded(Exception):
    """A run of another namespace was ordered to take over: this one writes nothing more."""


class Waiting:
    """`seen` are the steps that were waiting in the run that this one continues."""

    def __init__(
        self, case: Case, order_id: str, decisions: Decisions, journal: Journal, seen: tuple[Seen, ...] = ()
    ) -> None:
        self.case = case
        self._order_id = order_id
        self._decisions = decisions
        self._journal = journal
        self._first_seen = {(first.step, first.target): first.at for first in seen}
        self.continuing = Continuing(lambda: self._cancel_requested and case.roll_back_cause is None)

    @property
    def seen(self) -> tuple[Seen, ...]:
        return tuple(Seen(step=step, target=target, at=at) for (step, target), at in self._first_seen.items())

    async def wait_for_person(self, step: Step[Any, Any], target: str, obstacle: Obstacle) -> Answer | None:
        """Wait for a person's decision about a step, or for its rest to pass (None is returned then). Raises RollBack,
        ContinuesAsNew."""
        until = None if obstacle.until_answered else workflow.now() + self._rest_after(rounds=1)
        answer = await self.wait_for_answer(step, target, obstacle, until)
        self._journal.publish_state()
        return answer

    def wait_about(self, step: Step[Any, Any], target: str, obstacle: Obstacle) -> Wait:
        due_at = self.due_at(step, target, self.case.terms.attention_due)
        planned = self.case.planned(target)
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
            choices=self.case.terms.fallbacks if obstacle.choice and planned and planned.is_ours_to_give else (),
            away=obstacle.away,
        )

    async def wait_for_answer(
        self, step: Step[Any, Any], target: str, obstacle: Obstacle, until: datetime | None
    ) -> Answer | None:
        """Wait for a person's decision, or until `until`: None. A wait that becomes overdue meanwhile is shown as overdue.
        Raises RollBack, ContinuesAsNew."""
        undoing = step.role is Role.COMPENSATION
        question = self._decisions.open_question(
            step.name,
            target,
            obstacle.sentence,
            self.wait_about(step, target, obstacle).choices,
            in_books=not obstacle.held_elsewhere,
        )

        def is_over() -> bool:
            return question.has_answer() or (self.must_roll_back and not undoing)

        try:
            while not is_over() and (until is None or workflow.now() < until):
                wait = self.wait_about(step, target, obstacle)
                turns = wait.due_at if wait.state is State.WAITING_FOR_CARRIER else until  # a person's, from then on
                ends = [time for time in (until, turns) if time is not None]
                within = min(ends) - workflow.now() if ends else None
                with self._journal.show_wait(wait):
                    await self.wait_until(is_over, within, step.summary(target) + ", again")
            answer = await self._decisions.close_question(question)
        except ContinuesAsNew:
            self._decisions.drop_question(question)
            raise
        if answer is not None:
            self._journal.publish_state()
        if not undoing:
            await self.raise_if_rolling_back()
        return answer

    def end_of_rest(self, rest: Resting) -> datetime | None:
        """None: it waits for a person."""
        return None if rest.obstacle.until_answered else rest.since + self._rest_after(rest.rounds)

    # Rule: A step that nobody answers rests, longer each time
    def _rest_after(self, rounds: int) -> timedelta:
        """The rests grow: a counterpart that has been silent for hours is not asked every few minutes."""
        shortest = self.case.terms.next_round
        grown: timedelta = shortest * 2 ** min(rounds - 1, 16)
        return min(grown, max(shortest, _LONGEST_REST))

    async def before_round(self) -> None:
        """No new round begins once it is time to continue as new. A run first gets as far as it has to be to answer what
        people say meanwhile: until then their messages wait for it. Raises ContinuesAsNew."""
        if self._decisions.can_answer:
            await self.continuing.before_round()

    async def wait_until(self, ready: Callable[[], bool], within: timedelta | None, timer: str) -> bool:
        """Wait for a condition; False when `within` passed first. `timer` says in the Temporal UI what the timer is for.
        Raises ContinuesAsNew when it is time for that."""
        continuing = self.continuing
        continuing.count()
        self._decisions.arrive()
        try:
            await workflow.wait_condition(
                lambda: ready() or continuing.is_possible, timeout=within, timeout_summary=timer[:200]
            )
        except TimeoutError:
            return False
        if not ready():
            raise ContinuesAsNew
        return True

    # Rule: A wait has a due time, no later than the law's
    def due_at(self, step: Step[Any, Any], target: str, patience: timedelta) -> datetime:
        """Some time after the books last learnt something of the step; further rounds do not put it off. A wait that delays
        the customer's money is due no later than the law wants it back."""
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

    # Rule: A cancel request is honoured before the pivot and ignored after it
    @property
    def _cancel_requested(self) -> bool:
        case = self.case
        return workflow.cancellation_reason() is not None and not (case.past_pivot or case.ended)

    async def raise_if_rolling_back(self) -> None:
        """Asked between steps: what was accepted is kept first. Raises RollBack when somebody wants the process to stop."""
        await self._decisions.wait_until_recorded()
        if self.case.roll_back_cause is None and self._cancel_requested:
            ordered = RollBackOrdered(reason=RollBackReason.CANCEL_REQUEST, sentence=_CANCEL_REQUEST)
            await self.order_roll_back(ordered)
        if self.case.roll_back_cause is not None:
            raise RollBack

    async def order_roll_back(self, ordered: RollBackOrdered) -> None:
        """The process itself orders the roll-back. Raises RollBack, also for an earlier cause. Returns when the books
        refuse: the pivot is passed, or the order is not this customer's."""
        while self.case.roll_back_cause is None:
            try:
                with self.continuing.working():
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
        """Our own mistake kept a roll-back from being recorded: it is seen at once, and tried again after a rest, unless
        somebody has ordered the same meanwhile."""
        step, target = steps.RECORD_DECISION, self._order_id
        wait = Wait(
            state=State.NEEDS_ATTENTION,
            owner=owner_of_wait(step, our_fault=True),
            reason=sentence,
            due_at=self.due_at(step, target, self.case.terms.attention_due),
            step=step.name,
            target=target,
        )
        with self._journal.show_wait(wait):
            await self.wait_until(
                lambda: self.case.roll_back_cause is not None,
                self.case.terms.next_round,
                step.summary(target) + ", again",
            )
        self._journal.publish_state()
