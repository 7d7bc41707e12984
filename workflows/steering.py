"""How a step is carried to its own end, and how people steer a run that waits."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from activities.signatures import In, Out, Verification
from domain.errors import ErrorCode
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    RefundEvent,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Withdraw,
)
from domain.outcome import Outcome, Owner, Progress, Refusal, Reversal, State, StepName, StepStatus, Wait
from domain.plan import Plan, RefundMethod, Terms
from domain.policy import order_not_found
from domain.request import STAFF, Actor, ActorKind, CancellationRequest, cancellation_id, effect_key, effect_number
from workflows.journal import Journal
from workflows.saga import RollBack, Saga
from workflows.steps import MONEY_STEPS, Role, Step, attempt

T = TypeVar("T")
_BOOKS_ONLY = {StepName.VERIFY_ORDER, StepName.CLOSE_ORDER, StepName.RELEASE_ORDER}
Place = tuple[StepName, str]


@dataclass(frozen=True)
class _NoAnswer:
    """How a round of attempts ended. `refused`: the counterpart said no, and asking again will not change it. `choice`: the
    customer may have the money another way."""

    sentence: str
    refused: bool
    choice: bool = False
    known: object = None

    @staticmethod
    def of(error: ActivityError, step: "Step[Any, Any]") -> "_NoAnswer":
        cause = error.cause
        if isinstance(cause, ApplicationError):
            choice = cause.type == ErrorCode.REFUND_REFUSED and step.role is Role.PIVOT
            known = cause.details[0] if cause.details else None
            return _NoAnswer(cause.message, refused=cause.type in step.refusals, choice=choice, known=known)
        return _NoAnswer(f"{step.summary('')}: no answer in {step.round}", refused=False)


class AnotherWay(Exception):
    """The customer chose how to have the money instead."""

    def __init__(self, method: RefundMethod) -> None:
        super().__init__(method)
        self.method = method


class SteeredWorkflow:
    """The part of `CancellationWorkflow` that every step needs: attempts and rests, the waits, and the updates, signals and
    queries that answer or show them."""

    def __init__(self, request: CancellationRequest) -> None:
        self.request = request
        self.journal = Journal(request, cancellation_id(request.order_id, request.request_id))
        self.saga = Saga()
        self.verification: Verification | None = None
        self.current_plan: Plan | None = None
        self.reversals: list[Reversal] = []
        self.refusals: dict[str, Refusal] = {}
        self.customer_id = request.customer_id
        self.approved = False
        self.reopened = False
        self._turn: RollBack | None = None
        self._answers: dict[Place, RetryStep | ResolveStep] = {}
        self._asked: set[Place] = set()
        self._choosable: set[str] = set()
        self._chosen: dict[str, RefundMethod] = {}
        self._tries: dict[Place, int] = {}
        self._due: dict[Place, datetime] = {}
        self._heard = 0
        self.heard_of_parcels = 0

    @property
    def heard_before_verification(self) -> bool:
        """The run was started by an event about an order whose cancellation may be over."""
        return self._heard > 0

    @property
    def terms(self) -> Terms:
        return self.current_plan.terms if self.current_plan else Terms()

    @property
    def money_moved(self) -> bool:
        """Whether money has begun to go back, by this run or by an earlier one that it goes on from."""
        earlier = self.verification is not None and self.verification.money_moved
        return earlier or any(reversal.refunded or reversal.released for reversal in self.reversals)

    # Steps

    def about(self, target: str, key: str) -> dict[str, str]:
        """What every step is told."""
        return {
            "cancellation_id": self.journal.cancellation_id,
            "order_id": self.request.order_id,
            "target": target,
            "key": key,
        }

    async def carry_out(self, step: Step[In, Out], target: str, make: Callable[[str], In]) -> Out | ResolveStep:
        """Carry one step to its own end: attempt, rest, attempt again; ask a person where only a person can decide.

        `make` builds the step's input for an idempotency key. Returns the step's result, or how a person resolved it.
        Raises RollBack when the process turns round: a refusal before the pivot, a wish to stop that was voiced while
        the step rested, or a person's order.
        """
        place = self.place(step, target)
        while True:
            self._tries.setdefault(place, 1)
            key = self.keys_of(step, target)[-1]
            self.journal.began(*place)
            try:
                result = await attempt(step, target, make(key))
            except ActivityError as error:
                no_answer = _NoAnswer.of(error, step)
            else:
                self.journal.ended(*place, StepStatus.DONE)
                return result
            if no_answer.refused and no_answer.known is not None and step.role is Role.PIVOT:
                self.refusals[target] = Refusal.model_validate(no_answer.known)
            if no_answer.refused and step.role is Role.COMPENSATABLE and not self.journal.pivot_passed:
                self.journal.ended(*place, StepStatus.FAILED, no_answer.sentence)
                raise self.turn_round(RollBack(Outcome.ROLLED_BACK, no_answer.sentence, failed=True))
            answer = await self.ask(
                step,
                target,
                no_answer.sentence,
                due=self.terms.attention_due,
                again=None if no_answer.refused else self.terms.next_round,
                choice=no_answer.choice,
            )
            if isinstance(answer, ResolveStep):
                return answer
            if no_answer.refused:
                self.renew(step, target)

    async def ask(
        self,
        step: Step[Any, Any],
        target: str,
        why: str,
        *,
        due: timedelta,
        again: timedelta | None,
        choice: bool = False,
        owner: Owner | None = None,
    ) -> ResolveStep | RetryStep | None:
        """Wait for a person's `retry_step` or `resolve_step`, for `again` to pass (None is returned then), for a wish to
        stop or, with `choice`, for the customer's choice of another way. `owner` is whose turn it is, where it is not the
        step's owner. Raises RollBack and AnotherWay."""
        place = self.place(step, target)
        due_at = self._due.setdefault(
            place, self._by_law(step, workflow.now() + due)
        )  # further rounds do not put it off
        carriers_turn = again is not None and step.owner is Owner.CARRIER and workflow.now() < due_at
        wait = Wait(
            state=State.WAITING_FOR_CARRIER if carriers_turn else State.NEEDS_ATTENTION,
            owner=owner or step.owner,
            reason=why,
            due_at=due_at,
            step=step.signature.name,
            target=target,
            choices=self.terms.fallbacks if choice else (),
        )
        undoing = step.role is Role.COMPENSATION
        self._asked.add(place)
        if choice:
            self._choosable.add(target)
        with self.journal.waiting(wait):
            await self.until(
                lambda: place in self._answers or target in self._chosen or (self.turning and not undoing),
                again,
                step.summary(target) + ", again",
            )
        self._asked.discard(place)
        self._choosable.discard(target)
        self.journal.went_on()
        if target in self._chosen:
            raise AnotherWay(self._chosen.pop(target))
        answer = self._answers.get(place)
        resolved = self._resolved(place, why)
        if resolved:
            return resolved
        if not undoing:
            self.turn_if_wanted()
        return answer

    def _resolved(self, place: Place, why: str) -> ResolveStep | None:
        """Take a person's answer; returns it when it resolves the step. Raises RollBack when it turns the process round."""
        answer = self._answers.pop(place, None)
        if not isinstance(answer, ResolveStep):
            return None
        self._asked.discard(place)
        if answer.resolution is Resolution.ROLL_BACK:
            self.journal.ended(*place, StepStatus.FAILED, why)
            raise self.turn_round(RollBack(Outcome.ROLLED_BACK, why, failed=True))
        self.journal.ended(*place, StepStatus.RESOLVED, answer.note or why, answer.reference)
        self.journal.went_on()
        return answer

    async def each(self, jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run jobs in parallel and wait for all of them, also when one turns the process round: a step that has begun is
        carried to its end."""
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    async def until(self, ready: Callable[[], bool], within: timedelta | None, then: str) -> bool:
        """Wait for a condition; False when `within` passed first. `then` says in the Temporal UI what the timer is for."""
        try:
            await workflow.wait_condition(ready, timeout=within, timeout_summary=then[:200])
        except TimeoutError:
            return False
        return True

    async def look(self, step: Step[In, Out], target: str, make: Callable[[str], In]) -> Out | None:
        """Look something up, or write to staff; None when nobody answered in a round. It moves neither goods nor money, so
        nobody is bothered."""
        key = effect_key(self.journal.cancellation_id, step.signature.name, target)
        try:
            return await attempt(step, target, make(key))
        except ActivityError:
            return None

    async def watch(
        self,
        step: Step[Any, Any],
        target: str,
        now: T,
        *,
        state: State,
        owner: Owner,
        why: str,
        patience: timedelta,
        poll: timedelta,
        look: Callable[[T], Awaitable[T | None]],
        open_: Callable[[T], bool],
        urgent: Callable[[T], str | Literal[False]] = lambda _: False,
    ) -> T | ResolveStep:
        """Wait for the outcome of something that `step` began elsewhere: woken by any event, looking again every `poll`.
        When `patience` is over, or `urgent` says why, it needs attention, and goes on looking. Raises RollBack before the
        pivot."""
        place = self.place(step, target)
        due_at = self._by_law(step, workflow.now() + patience)
        self._asked.add(place)
        while open_(now):
            overdue = workflow.now() >= due_at
            pressing = urgent(now)
            wait = Wait(
                state=State.NEEDS_ATTENTION if overdue or pressing else state,
                owner=step.owner if overdue or pressing else owner,
                reason=pressing or why,
                due_at=due_at,
                step=step.signature.name,
                target=target,
            )
            rest = poll if overdue else min(poll, due_at - workflow.now())
            heard = self._heard
            with self.journal.waiting(wait):
                await self.until(
                    lambda heard=heard: self._heard > heard or place in self._answers or self.turning,  # type: ignore[misc]
                    rest,
                    f"Look again: {step.summary(target)}",
                )
                answer = self._resolved(place, why)
                if answer:
                    return answer
                self.turn_if_wanted()
                now = await look(now) or now
        self._asked.discard(place)
        self.journal.went_on()
        return now

    def _by_law(self, step: Step[Any, Any], due_at: datetime) -> datetime:
        """The due time of what holds the customer's money up is never later than the law's."""
        law = self.current_plan.refund_due if self.current_plan else None
        return min(due_at, law.at) if law and step in MONEY_STEPS else due_at

    @staticmethod
    def place(step: Step[Any, Any], target: str) -> Place:
        return step.signature.name, target

    def renew(self, step: Step[Any, Any], target: str, after: str | None = None) -> None:
        """The failure of the last effect is confirmed: the next try is another effect, under another key. `after` is the key
        of the failed effect, where an earlier run may have made it."""
        place = self.place(step, target)
        tries = self._tries.get(place, 1)
        self._tries[place] = max(tries, effect_number(after) if after else 0) + 1

    def keys_of(self, step: Step[Any, Any], target: str) -> tuple[str, ...]:
        """Every key that this step has used for this target, oldest first."""
        tries = self._tries.get(self.place(step, target), 0)
        return tuple(
            effect_key(self.journal.cancellation_id, step.signature.name, target, n) for n in range(1, tries + 1)
        )

    # Turning round

    def turn_round(self, cause: RollBack) -> RollBack:
        """Note the first cause, so that everything that waits in parallel hears of it; returns that first cause."""
        self._turn = self._turn or cause
        return self._turn

    @property
    def turning(self) -> bool:
        """Whether the process should turn round. After the pivot a cancel request is too late; a person's order is not."""
        wanted = workflow.cancellation_reason() is not None and not self.journal.pivot_passed
        return wanted or self._turn is not None

    def turn_if_wanted(self) -> None:
        """The look between steps: raises RollBack when somebody wants the process to stop."""
        if self._turn:
            raise self._turn
        if self.turning:
            raise self.turn_round(RollBack(Outcome.ROLLED_BACK, "A cancel request was sent to the run."))

    # Updates

    @workflow.update
    async def approve(self, message: Approve) -> Acknowledgement:
        self.approved = True
        self.journal.acted("approved", message.actor, message.note)
        return self._acknowledge("Approved; the cancellation goes on.")

    @approve.validator
    def _may_approve(self, message: Approve) -> None:
        self._waits_for_approval()
        self._staff_only(message.actor, "approve")
        if message.actor.id == self.request.actor.id:
            raise ApplicationError(
                f"{message.actor} asked for the cancellation of order {self.request.order_id} and cannot approve it; "
                "somebody else has to."
            )

    @workflow.update
    async def reject(self, message: Reject) -> Acknowledgement:
        self.journal.acted("rejected", message.actor, message.note)
        self.turn_round(RollBack(Outcome.ROLLED_BACK, f"The approval was refused by {message.actor}."))
        return self._acknowledge("Refused; what was done is rolled back.")

    @reject.validator
    def _may_reject(self, message: Reject) -> None:
        self._waits_for_approval()
        self._staff_only(message.actor, "reject")

    @workflow.update
    async def withdraw(self, message: Withdraw) -> Acknowledgement:
        self.journal.acted("withdrawn", message.actor, message.note)
        self.turn_round(RollBack(Outcome.WITHDRAWN, f"Withdrawn by {message.actor}."))
        return self._acknowledge("Withdrawn; what was done is rolled back.")

    @withdraw.validator
    def _may_withdraw(self, message: Withdraw) -> None:
        self._owner_or_staff(message.actor)
        if self.journal.closed:
            raise ApplicationError(
                f"The cancellation of order {self.request.order_id} has ended: {self.journal.state.replace('_', ' ')}."
            )
        if self.journal.pivot_passed:
            raise ApplicationError(
                f"The cancellation of order {self.request.order_id} cannot be withdrawn any more: the money is on its "
                "way back. Place a new order instead."
            )
        if self._turn:
            raise ApplicationError(
                f"The cancellation of order {self.request.order_id} is being rolled back already: {self._turn.sentence}"
            )

    @workflow.update
    async def retry_step(self, message: RetryStep) -> Acknowledgement:
        self._answer(f"retry {message.step} {message.target}", message)
        return self._acknowledge(f"{message.step} of {message.target} is tried again.")

    @retry_step.validator
    def _may_retry(self, message: RetryStep) -> None:
        self._waits_for_a_person(message)

    @workflow.update
    async def resolve_step(self, message: ResolveStep) -> Acknowledgement:
        self._answer(f"resolve {message.step} {message.target}: {message.resolution} ({message.reference})", message)
        return self._acknowledge(f"{message.step} of {message.target}: {message.resolution}.")

    @resolve_step.validator
    def _may_resolve(self, message: ResolveStep) -> None:
        self._waits_for_a_person(message)
        if message.step in _BOOKS_ONLY and message.resolution is not Resolution.ROLL_BACK:
            raise ApplicationError(
                f"{message.step} of {message.target} happens in the order book itself and cannot be done by hand; remove "
                "what stands in its way there, then retry the step."
            )
        about_money = message.step is not StepName.STOP_SHIPMENT
        if message.resolution is Resolution.NOTHING_DUE and self.journal.credit_note and about_money:
            raise ApplicationError(
                f"Credit note {self.journal.credit_note} says that this money is due to the customer; give it back by hand "
                "and name the reference, or roll back."
            )
        if self.reopened and message.resolution is Resolution.ROLL_BACK:
            raise ApplicationError(
                f"Order {self.request.order_id} was cancelled and closed before, which is not rolled back any more. Resolve "
                "the step by hand, or place a new order."
            )
        if self.journal.state is State.ROLLING_BACK and message.resolution is Resolution.ROLL_BACK:
            raise ApplicationError(f"The cancellation of order {self.request.order_id} is being rolled back already.")

    @workflow.update
    async def choose_refund_method(self, message: ChooseRefundMethod) -> Acknowledgement:
        self._chosen[message.target] = message.method
        self.journal.acted(f"chose {message.method} for {message.target}", message.actor, message.note)
        return self._acknowledge(f"The money of {message.target} is given back by {message.method.replace('_', ' ')}.")

    @choose_refund_method.validator
    def _may_choose(self, message: ChooseRefundMethod) -> None:
        self._owner_or_staff(message.actor)
        if message.actor.kind is ActorKind.SYSTEM:
            raise ApplicationError(
                f"How the money of order {self.request.order_id} goes back is the customer's choice; name the customer, or "
                "the member of staff who was told."
            )
        fallbacks = self.terms.fallbacks
        if message.method not in fallbacks:
            raise ApplicationError(
                f"{message.method.replace('_', ' ')} is not offered for order {self.request.order_id}; to choose from: "
                f"{', '.join(method.replace('_', ' ') for method in fallbacks) or 'nothing, staff settles it by hand'}."
            )
        if message.target not in self._choosable or message.target in self._chosen:
            raise ApplicationError(
                f"There is nothing to choose for {message.target} of order {self.request.order_id}: its refund has not "
                "failed, or the choice was made."
            )

    def _answer(self, action: str, message: RetryStep | ResolveStep) -> None:
        self._answers[message.step, message.target] = message
        self.journal.acted(action, message.actor, message.note)

    def _owner_or_staff(self, actor: Actor) -> None:
        if actor.kind is ActorKind.CUSTOMER and actor.id != self.customer_id:
            raise ApplicationError(order_not_found(self.request.order_id), type=ErrorCode.ORDER_NOT_FOUND)

    def _staff_only(self, actor: Actor, verb: str) -> None:
        if actor.kind not in STAFF:
            raise ApplicationError(
                f"{actor} may not {verb} the cancellation of order {self.request.order_id}; staff of the merchant may."
            )

    def _waits_for_approval(self) -> None:
        if self.journal.state is not State.WAITING_FOR_APPROVAL:
            raise ApplicationError(
                f"The cancellation of order {self.request.order_id} does not wait for approval; "
                f"it is {self.journal.state.replace('_', ' ')}."
            )

    def _waits_for_a_person(self, message: RetryStep | ResolveStep) -> None:
        self._staff_only(message.actor, "steer")
        place = (message.step, message.target)
        if place not in self._asked or place in self._answers:
            waiting = ", ".join(f"{step} {target}" for step, target in sorted(self._asked)) or "nothing"
            raise ApplicationError(
                f"{message.step} of {message.target} does not wait for a decision; of order {self.request.order_id} "
                f"waiting is: {waiting}."
            )

    def _acknowledge(self, sentence: str) -> Acknowledgement:
        return Acknowledgement(state=self.journal.state, sentence=sentence)

    # Signals: they only wake the run up. It reads carrier and gateway itself before it believes anything.

    @workflow.signal
    def shipment_event(self, event: ShipmentEvent) -> None:
        self._heard += 1
        self.heard_of_parcels += 1

    @workflow.signal
    def refund_event(self, event: RefundEvent) -> None:
        self._heard += 1

    # Queries

    @workflow.query
    def progress(self) -> Progress:
        return self.journal.progress()

    @workflow.query
    def plan(self) -> Plan | None:
        return self.current_plan
