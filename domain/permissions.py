"""Who may say what about a cancellation, by what is known of it.

Asked twice by the same rules: by the run, before it accepts a message, and by the books, before they keep it. Each may know
more than the other: the run what it has ordered just now, the books how far an earlier run has come. Both have to agree.
"""

from collections.abc import Mapping

from domain.case import Case
from domain.decision import Gate, order_not_found
from domain.elsewhere import find_elsewhere, left_of
from domain.errors import ErrorCode
from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    NothingDue,
    RetryOrdered,
    RollBackOrdered,
    SettledByHand,
    WithdrawalAsked,
    Written,
)
from domain.money import Money
from domain.payment import FailureCause
from domain.policy import above_at_most
from domain.repetition import is_repetition
from domain.request import STAFF, Actor, ActorKind
from domain.step import IN_BOOKS_ONLY, MONEY_STEPS, UNDOING, StepName


class NotPossible(Exception):
    """What was said cannot be done, or not by this person. `sentence` is for them."""

    def __init__(self, sentence: str, code: ErrorCode = ErrorCode.NOT_POSSIBLE) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


# Rule: Nobody who asked approves
def permit(
    case: Case,
    said: Written,
    order_id: str,
    refunds_of_others: Mapping[str, str] | None = None,
    *,
    asked_after: int = 0,
    names_dispute: bool = False,
) -> Written | None:
    """What is to be kept of what was said; None: the same was said before by the same person, and is kept already.
    `asked_after`: the last fact of the books when the run asked what this answers. `refunds_of_others`: those of other
    cancellations, each with its order, and `names_dispute`: by its form the proof is the number of a dispute. The books know
    both, and a run does not.

    Raises NotPossible.
    """
    if is_repetition(case, said, asked_after):
        return None
    _check_open(case, order_id)
    match said:
        case Approved():
            _check_approval(case, said.by, order_id, "approve")
            if any(request.actor.id == said.by.id for request in case.requests):
                raise NotPossible(
                    f"{said.by} asked for the cancellation of order {order_id} and cannot approve it; somebody else has to."
                )
            if case.plan is not None and case.plan.exceeds(said.at_most):
                sentence = above_at_most(case.plan, said.at_most, "Somebody who may give it back has to approve.")
                raise NotPossible(sentence, ErrorCode.AMOUNT_EXCEEDS_AT_MOST)
        case ApprovalRefused():
            _check_approval(case, said.by, order_id, "reject")
        case WithdrawalAsked():
            _check_withdrawal(case, said.by, order_id)
        case RollBackOrdered():
            _check_roll_back(case, said, order_id)
        case RetryOrdered():
            _check_staff(case, said.by, order_id, "steer")
            _check_goes_on(case, said.step, order_id)
        case SettledByHand():
            amount = _amount_by_hand(case, said, order_id)
            _check_proof(case, said, order_id, refunds_of_others or {})
            if names_dispute:
                _check_dispute(case, said, order_id)
            return said.model_copy(update={"amount": amount})
        case NothingDue():
            _check_nothing_due(case, said, order_id)
        case Chosen():
            _check_choice(case, said, order_id)
    return said


# Rule: An unknown order and somebody else's get one and the same answer [to messages]
def may_see(case: Case, actor: Actor) -> bool:
    """Nobody learns of somebody else's order."""
    owner = case.customer_id or (case.request.customer_id if case.request else None)
    return actor.kind is not ActorKind.CUSTOMER or actor.id == owner


def _check_owner(case: Case, actor: Actor, order_id: str) -> None:
    if not may_see(case, actor):
        raise NotPossible(order_not_found(order_id), ErrorCode.ORDER_NOT_FOUND)


def _check_staff(case: Case, actor: Actor, order_id: str, verb: str) -> None:
    _check_owner(case, actor, order_id)
    if actor.kind not in STAFF:
        raise NotPossible(f"{actor} may not {verb} the cancellation of order {order_id}; staff of the merchant may.")


def _check_open(case: Case, order_id: str) -> None:
    if case.ended:
        raise NotPossible(
            f"The cancellation of order {order_id} has ended: {case.ended.outcome.replace('_', ' ')}. {case.ended.sentence}"
        )


def _check_not_rolling_back(case: Case, order_id: str) -> None:
    if cause := case.roll_back_cause:
        raise NotPossible(f"The cancellation of order {order_id} is being rolled back already: {cause.sentence}")


def _check_goes_on(case: Case, step: StepName, order_id: str) -> None:
    """What is rolled back is not carried out any more; only its undoing is still decided about."""
    if step not in UNDOING:
        _check_not_rolling_back(case, order_id)


def _check_approval(case: Case, actor: Actor, order_id: str, verb: str) -> None:
    _check_staff(case, actor, order_id, verb)
    _check_not_rolling_back(case, order_id)
    if case.decision is None or case.decision.gate is Gate.NONE or case.past_pivot:
        raise NotPossible(no_approval_due(order_id))
    if case.approved:
        raise NotPossible(
            f"The cancellation of order {order_id} has been approved already; it does not wait for approval."
        )


# Rule: Until the pivot staff may withdraw, and a customer as long as only customers have asked
def _check_withdrawal(case: Case, actor: Actor, order_id: str) -> None:
    _check_owner(case, actor, order_id)
    if case.past_pivot:
        raise NotPossible(
            f"The cancellation of order {order_id} cannot be withdrawn any more: "
            f"{'its money is being given back' if case.tenders else 'it is carried out already'}. Place a new order instead."
        )
    others = [request.actor for request in case.requests if request.actor.kind not in {ActorKind.CUSTOMER, actor.kind}]
    if actor.kind not in STAFF and others:
        raise NotPossible(
            f"{others[0].kind.replace('_', ' ')} has asked for the cancellation of order {order_id}, so only staff can "
            "withdraw it. Ask customer service."
        )
    _check_not_rolling_back(case, order_id)


def _check_roll_back(case: Case, said: RollBackOrdered, order_id: str) -> None:
    if said.by is None and case.past_pivot:
        raise NotPossible(f"The money of order {order_id} is on its way back; the cancellation only goes forward.")
    if said.by is not None:
        _check_staff(case, said.by, order_id, "steer")
    if case.ever_closed:
        raise NotPossible(
            f"Order {order_id} was cancelled and closed before, which is not rolled back any more. Resolve the step "
            "by hand, or place a new order."
        )
    _check_not_rolling_back(case, order_id)


def may_be_closed(order_id: str) -> NotPossible:
    """Why a roll-back is refused while an attempt to close the order is under way, or its answer was lost. The books alone
    know."""
    return NotPossible(
        f"The order management system may have closed order {order_id} already, and its answer is not known. Retry the "
        "step, or take the lines out there and resolve it."
    )


def _check_by_hand(case: Case, said: SettledByHand | NothingDue, order_id: str) -> None:
    _check_staff(case, said.by, order_id, "steer")
    _check_goes_on(case, said.step, order_id)
    if said.step is StepName.STOP_SHIPMENT and case.past_pivot and said.target in case.declined_shipments:
        raise NotPossible(
            f"The lines of shipment {said.target} have left the cancellation of order {order_id} and are not refunded; the "
            "customer may send them back as a return."
        )
    if said.step in IN_BOOKS_ONLY:
        raise NotPossible(
            f"{said.step} of {said.target} happens in the merchant's own books and cannot be done by hand; remove "
            "what stands in its way there, then retry the step."
        )


# Rule: What is settled by hand counts with what is owed, or to be collected, at that moment
def _amount_by_hand(case: Case, said: SettledByHand, order_id: str) -> Money | None:
    """The money that a person has moved by what they did, at this moment's count."""
    _check_by_hand(case, said, order_id)
    if said.step not in {*MONEY_STEPS, StepName.RESTORE_PAYMENT, StepName.CHECK_REFUND}:
        return None
    if case.planned(said.target) is None:
        raise NotPossible(f"Order {order_id} has no tender {said.target} that gets something back.")
    reversal = case.reversal(said.target)
    if said.step is StepName.RESTORE_PAYMENT:
        if reversal.may_fail:
            raise NotPossible(
                f"{reversal.pending} of {said.target} of order {order_id} is still under way to the customer and may fail. "
                "Collect nothing yet; you are asked when it has arrived."
            )
        return reversal.to_collect or None
    collecting = said.step is StepName.CHECK_REFUND
    amount = reversal.overpaid if collecting else reversal.payable_by_hand
    if amount:
        return amount if collecting else _of_proof(case, said, amount, order_id)
    if any(hand.reference == said.reference for hand in reversal.by_hand):
        raise NotPossible(
            f"{said.reference} is recorded already; nothing more is owed on {said.target} of order {order_id}."
        )
    if collecting:
        raise NotPossible(
            f"Nothing is to be collected on {said.target} of order {order_id} any more; see the step table."
        )
    raise NotPossible(
        f"Nothing is owed on {said.target} of order {order_id} any more: it was settled meanwhile. See the step "
        "table, and take back what you paid."
    )


def _of_proof(case: Case, said: SettledByHand, owed: Money, order_id: str) -> Money:
    """What of it the proof stands for: a lost dispute for no more than the bank gave back by it, and a refund of others on
    another payment for no more than it is."""
    if elsewhere := find_elsewhere(case.entries, said.target, said.reference):
        return _of_refund_elsewhere(case, elsewhere.refund.reference, owed, order_id)
    reversal = case.reversal(said.target)
    lost = next((back for back in reversal.charge_backs if back.reference == said.reference), None)
    if lost is None:
        return owed
    left = lost.less(named for other in case.reversals for named in other.named_disputes).amount
    if not left:
        raise NotPossible(
            f"What the bank gave back by dispute {said.reference} is recorded already; {owed} is still owed on "
            f"{said.target} of order {order_id}. Name the proof of what you have paid for it."
        )
    return min(owed, left)


def _of_refund_elsewhere(case: Case, reference: str, owed: Money, order_id: str) -> Money:
    left = left_of(case.entries, reference)
    if left.amount <= 0:
        raise NotPossible(
            f"What others gave back by refund {reference} is recorded already; {owed} of order {order_id} is still "
            "owed. Name the proof of what you have paid for it."
        )
    return min(owed, left)


# Rule: A refund that pays something else is no proof of a payment
def _check_proof(case: Case, said: SettledByHand, order_id: str, refunds_of_others: Mapping[str, str]) -> None:
    """A refund that pays something else is no proof of what a person has paid here."""
    plan = case.plan
    if said.step not in MONEY_STEPS or plan is None or find_elsewhere(case.entries, said.target, said.reference):
        return
    others = (reversal for reversal in case.reversals if reversal.tender_id != said.target)
    of_other = next(
        (other for other in others if said.reference in {refund.reference for refund in other.refunds}), None
    )
    if any(said.reference in planned.earlier for planned in plan.tenders):
        what = f"was made before this cancellation of order {order_id} was planned"
    elif of_other is not None:
        what = f"is the refund of {of_other.tender_id} of order {order_id}"
    elif said.reference in refunds_of_others:
        what = f"is the refund of another cancellation of order {refunds_of_others[said.reference]}"
    else:
        return
    raise NotPossible(
        f"{said.reference} {what}, so it pays nothing of what is owed on {said.target}. Name the proof of what you have "
        "paid for it, or retry the step."
    )


# Rule: Only a dispute of this payment is the proof that the bank has paid
def _check_dispute(case: Case, said: SettledByHand, order_id: str) -> None:
    if said.step not in MONEY_STEPS or case.planned(said.target) is None:
        return
    known = case.reversal(said.target).dispute_numbers
    if said.reference in known:
        return
    raise NotPossible(
        f"{said.reference} is no dispute by which the bank pays back anything of {said.target} of order {order_id}"
        + (f"; its disputes are: {', '.join(known)}. " if known else ", as far as it is known here. ")
        + "Name the right number, or the proof of what you have paid; or retry the step: it looks for disputes again."
    )


def _check_nothing_due(case: Case, said: NothingDue, order_id: str) -> None:
    _check_by_hand(case, said, order_id)
    if case.credit_note and said.step in MONEY_STEPS and not _is_uncredited(case, said.target):
        raise NotPossible(
            f"Credit note {case.credit_note} says that this money is due to the customer; give it back by hand and name the "
            "reference."
        )


def _is_uncredited(case: Case, tender_id: str) -> bool:
    """What is owed was captured since the credit note, which does not say that it is due."""
    if case.planned(tender_id) is None:
        return False
    reversal = case.reversal(tender_id)
    return bool(reversal.taken_after_all) and reversal.outstanding <= reversal.taken_after_all


# Rule: A customer whose refund fails at their bank may have the money another way [who may choose]
def _check_choice(case: Case, said: Chosen, order_id: str) -> None:
    _check_owner(case, said.by, order_id)
    _check_not_rolling_back(case, order_id)
    if said.by.kind is ActorKind.SYSTEM:
        raise NotPossible(
            f"How the money of order {order_id} goes back is the customer's choice; name the customer, or the member "
            "of staff who spoke with them."
        )
    offered = case.terms.fallbacks
    if said.method not in offered:
        ways = ", ".join(method.replace("_", " ") for method in offered)
        raise NotPossible(
            f"{said.method.replace('_', ' ')} is not offered for order {order_id}. "
            + (f"Choose one of: {ways}." if ways else "No other refund method is offered; staff will settle it.")
        )
    planned = case.planned(said.target)
    if planned is not None and case.reversal(said.target).disputed:
        raise NotPossible(
            f"There is nothing to choose for {said.target} of order {order_id}: the bank disputes the payment and may "
            "pay it back itself. The refund department answers the dispute first."
        )
    failed = case.failed_refund(said.target) if planned is not None else None
    if failed is not None and failed.cause is FailureCause.MERCHANT:
        raise NotPossible(
            f"There is nothing to choose for {said.target} of order {order_id}: its refund failed for a reason of the "
            "merchant's own, and is made again."
        )
    if planned is not None and not planned.is_ours_to_give:
        raise NotPossible(
            f"There is nothing to choose for {said.target} of order {order_id}: the marketplace has the money and gives it "
            "back itself."
        )
    if planned is None or not case.outstanding(said.target):
        raise NotPossible(nothing_to_choose(order_id, said.target))


def no_approval_due(order_id: str) -> str:
    return f"The cancellation of order {order_id} does not wait for approval."


def nothing_to_choose(order_id: str, tender_id: str) -> str:
    return (
        f"There is nothing to choose for {tender_id} of order {order_id}: its refund has not failed, or the choice was "
        "made."
    )
