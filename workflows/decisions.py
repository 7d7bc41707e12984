"""What people decide about a run: who may say what, now, and the answers that wait to be used.

A `check_` method is an update's validator: it refuses with a sentence, and nothing is written. An `accept_` method is the
update itself.
"""

from temporalio.exceptions import ApplicationError

from domain.errors import ErrorCode
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    Withdraw,
)
from domain.outcome import Outcome, State, StepName
from domain.plan import RefundMethod
from domain.policy import order_not_found, request_conflict
from domain.request import STAFF, Actor, ActorKind, CancellationRequest
from workflows.case import Case, Place
from workflows.saga import RollBack

_BOOKS_ONLY = {StepName.VERIFY_ORDER, StepName.CLOSE_ORDER, StepName.RELEASE_ORDER}


class Decisions:
    """An open question is a step that waits for a person; an open choice is a tender whose money may go back another way."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._questions: set[Place] = set()
        self._answers: dict[Place, RetryStep | ResolveStep] = {}
        self._choices: set[str] = set()
        self._chosen: dict[str, RefundMethod] = {}

    # For the steps: questions that are open, and their answers

    def open_question(self, place: Place) -> None:
        self._questions.add(place)

    def close_question(self, place: Place) -> None:
        self._questions.discard(place)

    def has_answer(self, place: Place) -> bool:
        return place in self._answers

    def take_answer(self, place: Place) -> RetryStep | ResolveStep | None:
        return self._answers.pop(place, None)

    def open_choice(self, tender_id: str) -> None:
        self._choices.add(tender_id)

    def close_choice(self, tender_id: str) -> None:
        self._choices.discard(tender_id)

    def has_choice(self, tender_id: str) -> bool:
        return tender_id in self._chosen

    def take_choice(self, tender_id: str) -> RefundMethod | None:
        return self._chosen.pop(tender_id, None)

    # The request again

    def check_submission(self, request: CancellationRequest) -> None:
        first = self._case.request
        if request.order_id != first.order_id:
            raise ApplicationError(f"This run cancels order {first.order_id}, not {request.order_id}.")
        if request.request_id == first.request_id and request != first:
            raise ApplicationError(request_conflict(request), type=ErrorCode.REQUEST_CONFLICT)

    # Approval and withdrawal

    def check_approval(self, message: Approve) -> None:
        self._check_approval_is_due()
        self._check_staff(message.actor, "approve")
        if message.actor.id == self._case.request.actor.id:
            raise ApplicationError(
                f"{message.actor} asked for the cancellation of order {self._case.order_id} and cannot approve it; "
                "somebody else has to."
            )

    def accept_approval(self, message: Approve) -> Acknowledgement:
        self._case.record_approval()
        self._case.record_action("approved", message.actor, message.note)
        return self._acknowledge("Approved; the cancellation goes on.")

    def check_rejection(self, message: Reject) -> None:
        self._check_approval_is_due()
        self._check_staff(message.actor, "reject")

    def accept_rejection(self, message: Reject) -> Acknowledgement:
        self._case.record_action("rejected", message.actor, message.note)
        sentence = f"The approval was refused by {message.actor}."
        self._case.request_roll_back(RollBack(Outcome.ROLLED_BACK, sentence))
        return self._acknowledge("Refused; what was done is rolled back.")

    def check_withdrawal(self, message: Withdraw) -> None:
        case = self._case
        self._check_owner_or_staff(message.actor)
        if case.has_ended:
            raise ApplicationError(
                f"The cancellation of order {case.order_id} has ended: {case.state.replace('_', ' ')}."
            )
        if case.is_past_pivot:
            raise ApplicationError(
                f"The cancellation of order {case.order_id} cannot be withdrawn any more: the money is on its "
                "way back. Place a new order instead."
            )
        if case.roll_back_cause:
            raise ApplicationError(
                f"The cancellation of order {case.order_id} is being rolled back already: {case.roll_back_cause.sentence}"
            )

    def accept_withdrawal(self, message: Withdraw) -> Acknowledgement:
        self._case.record_action("withdrawn", message.actor, message.note)
        self._case.request_roll_back(RollBack(Outcome.WITHDRAWN, f"Withdrawn by {message.actor}."))
        return self._acknowledge("Withdrawn; what was done is rolled back.")

    # A step that waits for a person

    def check_retry(self, message: RetryStep) -> None:
        self._check_step_waits(message)

    def accept_retry(self, message: RetryStep) -> Acknowledgement:
        self._keep_answer(f"retry {message.step} {message.target}", message)
        return self._acknowledge(f"{message.step} of {message.target} is tried again.")

    def check_resolution(self, message: ResolveStep) -> None:
        case = self._case
        self._check_step_waits(message)
        if message.step in _BOOKS_ONLY and message.resolution is not Resolution.ROLL_BACK:
            raise ApplicationError(
                f"{message.step} of {message.target} happens in the order book itself and cannot be done by hand; remove "
                "what stands in its way there, then retry the step."
            )
        about_money = message.step is not StepName.STOP_SHIPMENT
        if message.resolution is Resolution.NOTHING_DUE and case.credit_note and about_money:
            raise ApplicationError(
                f"Credit note {case.credit_note} says that this money is due to the customer; give it back by hand "
                "and name the reference, or roll back."
            )
        if case.was_reopened and message.resolution is Resolution.ROLL_BACK:
            raise ApplicationError(
                f"Order {case.order_id} was cancelled and closed before, which is not rolled back any more. Resolve "
                "the step by hand, or place a new order."
            )
        if case.state is State.ROLLING_BACK and message.resolution is Resolution.ROLL_BACK:
            raise ApplicationError(f"The cancellation of order {case.order_id} is being rolled back already.")

    def accept_resolution(self, message: ResolveStep) -> Acknowledgement:
        action = f"resolve {message.step} {message.target}: {message.resolution} ({message.reference})"
        self._keep_answer(action, message)
        return self._acknowledge(f"{message.step} of {message.target}: {message.resolution}.")

    # Another way to have the money

    def check_refund_method(self, message: ChooseRefundMethod) -> None:
        order_id = self._case.order_id
        self._check_owner_or_staff(message.actor)
        if message.actor.kind is ActorKind.SYSTEM:
            raise ApplicationError(
                f"How the money of order {order_id} goes back is the customer's choice; name the customer, or "
                "the member of staff who was told."
            )
        fallbacks = self._case.terms.fallbacks
        if message.method not in fallbacks:
            raise ApplicationError(
                f"{message.method.replace('_', ' ')} is not offered for order {order_id}; to choose from: "
                f"{', '.join(method.replace('_', ' ') for method in fallbacks) or 'nothing, staff settles it by hand'}."
            )
        if message.target not in self._choices or message.target in self._chosen:
            raise ApplicationError(
                f"There is nothing to choose for {message.target} of order {order_id}: its refund has not "
                "failed, or the choice was made."
            )

    def accept_refund_method(self, message: ChooseRefundMethod) -> Acknowledgement:
        self._chosen[message.target] = message.method
        self._case.record_action(f"chose {message.method} for {message.target}", message.actor, message.note)
        return self._acknowledge(f"The money of {message.target} is given back by {message.method.replace('_', ' ')}.")

    # Details

    def _keep_answer(self, action: str, message: RetryStep | ResolveStep) -> None:
        self._answers[message.step, message.target] = message
        self._case.record_action(action, message.actor, message.note)

    def _check_owner_or_staff(self, actor: Actor) -> None:
        owner = self._case.customer_id or self._case.request.customer_id
        if actor.kind is ActorKind.CUSTOMER and actor.id != owner:
            raise ApplicationError(order_not_found(self._case.order_id), type=ErrorCode.ORDER_NOT_FOUND)

    def _check_staff(self, actor: Actor, verb: str) -> None:
        if actor.kind not in STAFF:
            raise ApplicationError(
                f"{actor} may not {verb} the cancellation of order {self._case.order_id}; staff of the merchant may."
            )

    def _check_approval_is_due(self) -> None:
        case = self._case
        if case.state is not State.WAITING_FOR_APPROVAL:
            raise ApplicationError(
                f"The cancellation of order {case.order_id} does not wait for approval; "
                f"it is {case.state.replace('_', ' ')}."
            )

    def _check_step_waits(self, message: RetryStep | ResolveStep) -> None:
        self._check_staff(message.actor, "steer")
        place = (message.step, message.target)
        if place not in self._questions or place in self._answers:
            waiting = ", ".join(f"{step} {target}" for step, target in sorted(self._questions)) or "nothing"
            raise ApplicationError(
                f"{message.step} of {message.target} does not wait for a decision; of order {self._case.order_id} "
                f"waiting is: {waiting}."
            )

    def _acknowledge(self, sentence: str) -> Acknowledgement:
        return Acknowledgement(state=self._case.state, sentence=sentence)
