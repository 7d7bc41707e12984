"""What people say, and when it may be said: one answer for each question, and none is lost.

A message is accepted in the same workflow task that checks it: its question is taken then, and a second, different answer is
refused. It is acknowledged when the books keep it, and has its effect because the case then knows it. Until the
books have answered, the process does not go on past a question that somebody has answered.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.signatures import Booked, RecordDecision
from domain.case import Case
from domain.errors import ErrorCode
from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    NothingDue,
    Requested,
    RetryOrdered,
    RollBackOrdered,
    SettledByHand,
    WithdrawalAsked,
    Written,
)
from domain.keys import EffectKey
from domain.messages import (
    Resolution,
    ResolveStep,
    RetryStep,
    Withdraw,
)
from domain.permissions import NotPossible, no_approval_due, nothing_to_choose, permit
from domain.repetition import is_repetition, said_before
from domain.said import Steering, fact_about, fact_of
from domain.step import StepName
from domain.terms import RefundMethod
from workflows.steps import RECORD_DECISION, attempt_step

Answer = RetryOrdered | SettledByHand | NothingDue | Chosen | RollBackOrdered
"""What a question can be answered with; callers match on it."""

_RESOLVED: Mapping[Resolution, type[SettledByHand | NothingDue | RollBackOrdered]] = {
    Resolution.DONE_BY_HAND: SettledByHand,
    Resolution.NOTHING_DUE: NothingDue,
    Resolution.ROLL_BACK: RollBackOrdered,
}


@dataclass
class Question:
    """A step waits for a person. `taken`: what was said first, from the moment it is accepted; `answer`: once it is
    kept. When the books refuse it, the question is open again."""

    step: StepName
    target: str
    why: str
    choices: tuple[RefundMethod, ...] = ()
    in_books: bool = True
    taken: Written | None = None
    answer: Answer | None = None

    def has_answer(self) -> bool:
        return self.answer is not None

    @property
    def is_being_recorded(self) -> bool:
        return self.taken is not None and self.answer is None


class Decisions:
    """`case` is the run's own; `requested` opens the cancellation in the books where they know none yet. `continues`: the
    run continues another one, and has not reached the questions that one was asking."""

    def __init__(self, case: Case, requested: Requested, *, continues: bool) -> None:
        self._case = case
        self._requested = requested
        self._order_id = requested.request.order_id
        self._questions: list[Question] = []
        self._asked_after: dict[tuple[StepName, str], int] = {}  # the last fact that was known then
        self._accepted: list[Written] = []
        self._waits_for_approval = False
        self._tried: set[tuple[StepName, str]] = set()
        self._has_arrived = not continues
        self._has_waited = False

    # Questions

    def arrive(self) -> None:
        """The run waits, where the one that it continues waited, or has ended."""
        self._has_arrived = self._has_waited = True

    def open_question(
        self, step: StepName, target: str, why: str, choices: tuple[RefundMethod, ...] = (), *, in_books: bool = True
    ) -> Question:
        """`in_books` False: a run of another namespace writes for this cancellation, so the answer stays with this run."""
        question = Question(step, target, why, choices, in_books)
        self._questions.append(question)
        self._asked_after[step, target] = self._case.last_seq
        return question

    async def close_question(self, question: Question) -> Answer | None:
        """No more answers are taken; one that was accepted is waited for until the books have kept or refused it."""
        await workflow.wait_condition(lambda: not question.is_being_recorded)
        self.drop_question(question)
        return question.answer

    def drop_question(self, question: Question) -> None:
        """It is not waited for any more: the process has gone another way."""
        self._questions.remove(question)

    @contextmanager
    def trying(self, step: StepName, target: str) -> Iterator[None]:
        """While a step that has waited is tried again, nothing is decided about it."""
        self._tried.add((step, target))
        try:
            yield
        finally:
            self._tried.discard((step, target))

    @contextmanager
    def taking_approval(self) -> Iterator[None]:
        """While the approval is waited for, it may be given or refused."""
        self._waits_for_approval = True
        try:
            yield
        finally:
            self._waits_for_approval = False

    async def wait_until_recorded(self) -> None:
        """What was accepted is kept, or was refused by the books."""
        await workflow.wait_condition(lambda: not self._accepted)

    # Messages

    def check(self, message: Steering) -> None:
        """The validator of every steering update. Raises ApplicationError with a sentence for the sender. Before the run has
        arrived where the earlier one waited, nobody can say what answers its questions, nor, before it has read the books,
        what was said to an earlier one that is lost; the handler checks it then."""
        if self._can_check(message):
            self._check(message)

    def _can_check(self, message: Steering) -> bool:
        """A withdrawal answers no question: it counts at once, before the money moves."""
        return self.can_answer or isinstance(message, Withdraw)

    @property
    def can_answer(self) -> bool:
        """The run knows what it asks, and what was said to the runs before it. One that waits without the books has its
        questions."""
        return self._has_arrived and (self._has_waited or self._case.last_seq > 0)

    def _check(self, message: Steering) -> None:
        try:
            said = self._said(message)
            asked_after = self._last_asked(said)
            if is_repetition(self._known, said, asked_after):
                return
            if isinstance(said, Chosen):  # what is not offered at all is said first
                permit(self._known, said, self._order_id, asked_after=asked_after)
            self._check_question(said)
            permit(self._known, said, self._order_id, asked_after=asked_after)
        except NotPossible as no:
            raise ApplicationError(no.sentence, type=no.code) from None

    async def accept(self, message: Steering) -> None:
        """The handler of every steering update. Raises ApplicationError when the books refuse it."""
        if not self._can_check(message):
            await workflow.wait_condition(lambda: self._can_check(message))
            self._check(message)
        said = self._said(message)
        question, asked_after = self._question_of(said), self._last_asked(said)
        if is_repetition(self._known, said, asked_after):
            await self.wait_until_recorded()
            if not is_repetition(self._case, said, asked_after):  # the books refused the first one
                raise ApplicationError("The same decision was refused a moment ago.", type=ErrorCode.NOT_POSSIBLE)
            return
        if question is not None:
            question.taken = said
        if question is not None and not question.in_books:
            question.answer = said  # type: ignore[assignment]
            return
        self._accepted.append(said)
        try:
            await self.record(said)
        except ApplicationError:
            if question is not None:
                question.taken = None
            raise
        finally:
            self._accepted.remove(said)
        if question is not None:
            question.answer = said  # type: ignore[assignment]

    # Rule: A decision is kept before it is acknowledged
    async def record(self, said: Written) -> None:
        """Write it into the books: a short local activity, and the ordinary one for as long as they are away. Raises
        ApplicationError when the books know why it is not possible."""
        case = self._case
        step_input = RecordDecision(
            cancellation_id=case.cancellation_id,
            order_id=self._order_id,
            target=self._order_id,
            key=EffectKey(case.cancellation_id, StepName.RECORD_DECISION, self._order_id),
            last_seq=case.last_seq,
            requested=self._requested,
            said=said,
            asked_after=self._last_asked(said),
        )
        try:
            booked = await attempt_step(RECORD_DECISION, self._order_id, step_input)
        except ApplicationError as refused:
            if refused.details:
                case.add(*Booked.model_validate(refused.details[0]).entries)
            raise ApplicationError(refused.message, type=refused.type) from None
        case.add(*booked.entries)

    @property
    def _known(self) -> Case:
        """The case with what is accepted and not kept yet."""
        return self._case.with_facts(self._accepted)

    def _said(self, message: Steering) -> Written:
        """The message as what the books keep of it."""
        if not isinstance(message, RetryStep | ResolveStep):
            return fact_of(message)
        step, target = self._place_of(message)
        why = next((q.why for q in self._questions if (q.step, q.target) == (step, target)), "")
        return fact_about(message, step, target, why)

    def _place_of(self, message: RetryStep | ResolveStep) -> tuple[StepName, str]:
        """Sent again, it is about the step that waited then. Where another one waits by now, nobody knows which is
        meant."""
        earlier = None
        if isinstance(message, ResolveStep):
            kind = _RESOLVED[message.resolution]
            earlier = said_before(self._known, kind, message.actor, message.reference, message.step, message.target)
            others = [q for q in self._questions if (q.step, q.target) != earlier and not q.taken]
            if earlier is not None and others:
                raise NotPossible(
                    f"{message.reference} is recorded already for {earlier[0]} of {earlier[1]}. To say it of what waits "
                    f"now, name the step and its target. {self._waiting_sentence()}"
                )
        return earlier or self._step_and_target(message.step, message.target)

    def _step_and_target(self, step: StepName | None, target: str | None) -> tuple[StepName, str]:
        """The step that is meant; where only one waits it need not be named."""
        if step is not None and target is not None:
            return step, target
        waiting = [q for q in self._questions if step in {None, q.step} and target in {None, q.target}]
        if len(waiting) == 1:
            return waiting[0].step, waiting[0].target
        several = any(not q.taken for q in self._questions)
        raise NotPossible(f"{'Name the step and its target. ' if several else ''}{self._waiting_sentence()}")

    def _question_of(self, said: Written) -> Question | None:
        """The open question that it answers, if any."""
        place = _step_answered(said)
        return next((q for q in self._questions if (q.step, q.target) == place), None)

    def _last_asked(self, said: Written) -> int:
        """The last fact of the books that was known when this run asked what it answers; 0: it has not asked."""
        place = _step_answered(said)
        return self._asked_after.get(place, 0) if place else 0

    # Rule: Only what is asked can be answered, and once
    def _check_question(self, said: Written) -> None:
        """Only what is asked can be answered, and once."""
        if isinstance(said, Approved | ApprovalRefused):
            if not self._waits_for_approval and self._known.roll_back_cause is None and not self._known.approved:
                raise NotPossible(no_approval_due(self._order_id))
            return
        if isinstance(said, WithdrawalAsked):
            return
        question = self._question_of(said)
        place = _step_answered(said)
        if question is None and place and place in self._tried:
            raise NotPossible(
                f"{place[0]} of {said.target} is being tried again at this moment. Send it again in two minutes, if it "
                "still waits then."
            )
        if isinstance(said, Chosen):
            if question is None or question.taken or not question.choices:
                raise NotPossible(nothing_to_choose(self._order_id, said.target))
            return
        if question is None or question.taken:
            assert not isinstance(said, Approved | ApprovalRefused | WithdrawalAsked | Chosen)
            raise NotPossible(f"{said.step} of {said.target} does not wait for a decision. {self._waiting_sentence()}")

    def _waiting_sentence(self) -> str:
        waiting = sorted(f"{q.step} {q.target}" for q in self._questions if not q.taken)
        if waiting:
            return f"Order {self._order_id} is waiting for: {', '.join(waiting)}."
        if self._waits_for_approval:
            return f"Order {self._order_id} is waiting for an approval: approve it, or reject it."
        return f"No step of order {self._order_id} waits for a decision."


def _step_answered(said: Written) -> tuple[StepName, str] | None:
    """The step, and its target, about which it is asked."""
    match said:
        case Chosen(target=target):
            return StepName.REVERSE_PAYMENT, target
        case RetryOrdered() | SettledByHand() | NothingDue() | RollBackOrdered():
            return (said.step, said.target) if said.step else None
        case _:
            return None
