"""How one step is carried to its own end: attempts, rests, waits for a person, and watches for an outcome elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from activities.signatures import In, Out
from domain.errors import ErrorCode
from domain.messages import Resolution, ResolveStep, RetryStep
from domain.outcome import Outcome, Owner, State, StepStatus, Wait
from domain.plan import RefundMethod
from domain.request import effect_key, effect_number
from workflows.case import Case, Place
from workflows.decisions import Decisions
from workflows.journal import Journal
from workflows.saga import RollBack
from workflows.steps import MONEY_STEPS, Role, Step, attempt_step

T = TypeVar("T")
StepIds = dict[str, str]
"""What the input of every step names: cancellation, order, target, and the idempotency key."""


@dataclass(frozen=True)
class _NoAnswer:
    """How a round of attempts ended. `refused`: the counterpart said no, and no retry will change it. `has_choice`: the
    customer may have the money another way. `detail` is what the counterpart's no came with."""

    sentence: str
    refused: bool
    has_choice: bool = False
    detail: object = None

    @staticmethod
    def from_error(error: ActivityError, step: "Step[Any, Any]") -> "_NoAnswer":
        cause = error.cause
        if isinstance(cause, ApplicationError):
            has_choice = cause.type == ErrorCode.REFUND_REFUSED and step.role is Role.PIVOT
            detail = cause.details[0] if cause.details else None
            refused = cause.type in step.refusals
            return _NoAnswer(cause.message, refused=refused, has_choice=has_choice, detail=detail)
        return _NoAnswer(f"{step.summary('')}: no answer in {step.round}", refused=False)


class AnotherWay(Exception):
    """The customer chose how to have the money instead."""

    def __init__(self, method: RefundMethod) -> None:
        super().__init__(method)
        self.method = method


async def run_all(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run jobs in parallel and wait for all of them, also when one ends in a roll-back: a step that has begun is carried to
    its end."""
    results = await asyncio.gather(*jobs, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def wait_until(ready: Callable[[], bool], at_most: timedelta | None, timer: str) -> bool:
    """Wait for a condition; False when `at_most` passed first. `timer` says in the Temporal UI what the timer is for."""
    try:
        await workflow.wait_condition(ready, timeout=at_most, timeout_summary=timer[:200])
    except TimeoutError:
        return False
    return True


class StepRunner:
    def __init__(self, case: Case, journal: Journal, decisions: Decisions) -> None:
        self._case = case
        self._journal = journal
        self._decisions = decisions
        self._tries: dict[Place, int] = {}
        self._due: dict[Place, datetime] = {}

    async def run_step(
        self,
        step: Step[In, Out],
        target: str,
        make_input: Callable[[StepIds], In],
        *,
        on_refusal: Callable[[object], None] = lambda _: None,
    ) -> Out | ResolveStep:
        """Carry one step to its own end: attempt, rest, attempt again; ask a person where only a person can decide.

        `on_refusal` takes what came with a final no. Returns the step's result, or how a person resolved it. Raises
        RollBack: a refusal before the pivot, a wish to stop that was voiced while the step rested, or a person's order.
        """
        while True:
            self._tries.setdefault(_place_of(step, target), 1)
            key = self.list_keys(step, target)[-1]
            self.begin_step(step, target)
            try:
                result = await attempt_step(step, target, make_input(self._name_ids(target, key)))
            except ActivityError as error:
                no_answer = _NoAnswer.from_error(error, step)
            else:
                self.end_step(step, target, StepStatus.DONE)
                return result
            if no_answer.refused and no_answer.detail is not None:
                on_refusal(no_answer.detail)
            if no_answer.refused and step.role is Role.COMPENSATABLE and not self._case.is_past_pivot:
                self.end_step(step, target, StepStatus.FAILED, no_answer.sentence)
                raise self._case.request_roll_back(RollBack(Outcome.ROLLED_BACK, no_answer.sentence, failed=True))
            answer = await self.wait_for_person(
                step,
                target,
                no_answer.sentence,
                retry_after=None if no_answer.refused else self._case.terms.next_round,
                offer_choice=no_answer.has_choice,
            )
            if isinstance(answer, ResolveStep):
                return answer
            if no_answer.refused:
                self.use_next_key(step, target)

    async def wait_for_person(
        self,
        step: Step[Any, Any],
        target: str,
        why: str,
        *,
        retry_after: timedelta | None = None,
        offer_choice: bool = False,
        owner: Owner | None = None,
    ) -> ResolveStep | RetryStep | None:
        """Wait for a person's `retry_step` or `resolve_step`, for `retry_after` to pass (None is returned then), for a wish
        to stop or, with `offer_choice`, for the customer's choice of another way. `owner` is whose turn it is, where it is
        not the step's owner. Raises RollBack and AnotherWay."""
        place, terms = _place_of(step, target), self._case.terms
        due_at = self._limit_by_law(step, workflow.now() + terms.attention_due)
        due_at = self._due.setdefault(place, due_at)  # further rounds do not put it off
        is_carriers_turn = retry_after is not None and step.owner is Owner.CARRIER and workflow.now() < due_at
        wait = Wait(
            state=State.WAITING_FOR_CARRIER if is_carriers_turn else State.NEEDS_ATTENTION,
            owner=owner or step.owner,
            reason=why,
            due_at=due_at,
            step=step.signature.name,
            target=target,
            choices=terms.fallbacks if offer_choice else (),
        )
        is_undoing = step.role is Role.COMPENSATION
        self._decisions.open_question(place)
        if offer_choice:
            self._decisions.open_choice(target)
        with self._journal.show_wait(wait):
            await wait_until(
                lambda: (
                    self._decisions.has_answer(place)
                    or self._decisions.has_choice(target)
                    or (self._case.must_roll_back and not is_undoing)
                ),
                retry_after,
                step.summary(target) + ", again",
            )
        self._decisions.close_question(place)
        self._decisions.close_choice(target)
        self._journal.publish_unless_waiting()
        method = self._decisions.take_choice(target)
        if method:
            raise AnotherWay(method)
        answer = self._decisions.take_answer(place)
        if isinstance(answer, ResolveStep):
            return self._resolve_step(step, target, answer, why)
        if not is_undoing:
            self._case.raise_if_rolling_back()
        return answer

    def _resolve_step(self, step: Step[Any, Any], target: str, answer: ResolveStep, why: str) -> ResolveStep:
        """End the step as a person resolved it. Raises RollBack where that is the order."""
        if answer.resolution is Resolution.ROLL_BACK:
            self.end_step(step, target, StepStatus.FAILED, why)
            raise self._case.request_roll_back(RollBack(Outcome.ROLLED_BACK, why, failed=True))
        self.end_step(step, target, StepStatus.RESOLVED, answer.note or why, answer.reference)
        self._journal.publish_unless_waiting()
        return answer

    async def run_look(self, step: Step[In, Out], target: str, make_input: Callable[[StepIds], In]) -> Out | None:
        """Look something up, or write to staff; None when nobody answered in a round. It moves neither goods nor money, so
        nobody is bothered."""
        key = effect_key(self._case.cancellation_id, step.signature.name, target)
        try:
            return await attempt_step(step, target, make_input(self._name_ids(target, key)))
        except ActivityError:
            return None

    async def watch_outcome(
        self,
        step: Step[Any, Any],
        target: str,
        known: T,
        *,
        state: State,
        owner: Owner,
        why: str,
        patience: timedelta,
        poll: timedelta,
        look: Callable[[T], Awaitable[T | None]],
        is_open: Callable[[T], bool],
        find_urgency: Callable[[T], str | Literal[False]] = lambda _: False,
    ) -> T | ResolveStep:
        """Wait for the outcome of something that `step` began elsewhere: woken by any event, looking again every `poll`.
        When `patience` is over, or `find_urgency` says why, it needs attention, and goes on looking. Raises RollBack before
        the pivot."""
        case, place = self._case, _place_of(step, target)
        due_at = self._limit_by_law(step, workflow.now() + patience)
        self._decisions.open_question(place)
        while is_open(known):
            is_overdue = workflow.now() >= due_at
            urgency = find_urgency(known)
            wait = Wait(
                state=State.NEEDS_ATTENTION if is_overdue or urgency else state,
                owner=step.owner if is_overdue or urgency else owner,
                reason=urgency or why,
                due_at=due_at,
                step=step.signature.name,
                target=target,
            )
            rest = poll if is_overdue else min(poll, due_at - workflow.now())
            heard = case.events_heard
            with self._journal.show_wait(wait):
                await wait_until(
                    lambda heard=heard: (  # type: ignore[misc]
                        case.events_heard > heard or self._decisions.has_answer(place) or case.must_roll_back
                    ),
                    rest,
                    f"Look again: {step.summary(target)}",
                )
                answer = self._decisions.take_answer(place)
                if isinstance(answer, ResolveStep):
                    self._decisions.close_question(place)
                    return self._resolve_step(step, target, answer, why)
                case.raise_if_rolling_back()
                known = await look(known) or known
        self._decisions.close_question(place)
        self._journal.publish_unless_waiting()
        return known

    def _limit_by_law(self, step: Step[Any, Any], due_at: datetime) -> datetime:
        """The due time of what holds the customer's money up is never later than the law's."""
        law = self._case.plan.refund_due if self._case.plan else None
        return min(due_at, law.at) if law and step in MONEY_STEPS else due_at

    # A step's row and keys

    def begin_step(self, step: Step[Any, Any], target: str) -> None:
        self._case.begin_step(_place_of(step, target))

    def end_step(
        self, step: Step[Any, Any], target: str, status: StepStatus, detail: str = "", reference: str | None = None
    ) -> None:
        self._case.end_step(_place_of(step, target), status, detail, reference)

    def use_next_key(self, step: Step[Any, Any], target: str, after: str | None = None) -> None:
        """The failure of the last effect is confirmed: the next try is another effect, under another key. `after` is the key
        of the failed effect, where an earlier run may have made it."""
        place = _place_of(step, target)
        tries = self._tries.get(place, 1)
        self._tries[place] = max(tries, effect_number(after) if after else 0) + 1

    def list_keys(self, step: Step[Any, Any], target: str) -> tuple[str, ...]:
        """Every key that this step has used for this target, oldest first."""
        tries = self._tries.get(_place_of(step, target), 0)
        return tuple(
            effect_key(self._case.cancellation_id, step.signature.name, target, n) for n in range(1, tries + 1)
        )

    def _name_ids(self, target: str, key: str) -> StepIds:
        case = self._case
        return {"cancellation_id": case.cancellation_id, "order_id": case.order_id, "target": target, "key": key}


def _place_of(step: Step[Any, Any], target: str) -> Place:
    return step.signature.name, target
