"""The questions about what is owed on a tender that a person answers, instead of its provider being asked: a refund that has
failed, a disputed payment, a proof that turns out to be none, money that was captured although it was not to be, or what
others have refunded on another payment of the order."""

from collections.abc import Sequence

from domain.carried import Obstacle
from domain.case import Case
from domain.decision import Gate, Rule
from domain.elsewhere import find_elsewhere, unanswered_refunds
from domain.facts import (
    Credited,
    Entry,
    RefundElsewhereSeen,
    RefundSeen,
    Reopened,
    RetryOrdered,
    ReversalSeen,
    SettledByHand,
    says_how_money_goes_back,
)
from domain.money import Money
from domain.payment import Refund
from domain.step import MONEY_STEPS
from domain.tender_facts import reversal_of


def why_person_decides(case: Case, order_id: str, tender_id: str) -> Obstacle | None:
    """Why, in a sentence for them. None: nobody has to decide, or somebody has."""
    question = _of_the_tender(case, order_id, tender_id)
    if not (found := unanswered_refunds(case.entries, tender_id)):
        return question
    asked = _refunded_by_others(found, case.outstanding(tender_id), f"tender {tender_id} of order {order_id}")
    return Obstacle(sentence=f"{question.sentence} {asked}" if question else asked, final=True)


def _of_the_tender(case: Case, order_id: str, tender_id: str) -> Obstacle | None:
    owed, of_order = case.outstanding(tender_id), f"tender {tender_id} of order {order_id}"
    failed, method = case.failed_refund(tender_id), case.chosen_method(tender_id)
    if case.reversal(tender_id).disputed and (failed or method):
        return _disputed(case.reversal(tender_id).disputes_in_words, owed, tender_id)
    if refuted := refuted_proof(case.entries, tender_id):
        return _named_twice(refuted, owed, tender_id)
    if won := won_dispute(case, tender_id):
        return _won(won, owed, of_order)
    if is_captured_anyway(case.entries, tender_id):
        return _captured_anyway(owed, of_order, is_shared=case.reversal(tender_id).planned.share is not None)
    if failed and method is None:
        return _failed(failed, unclear_since_reopening(case.entries, tender_id), of_order)
    return None


def _refunded_by_others(found: Sequence[RefundElsewhereSeen], owed: Money, of_order: str) -> str:
    shared = [seen for seen in found if seen.tender == seen.target]
    elsewhere = [seen for seen in found if seen.tender != seen.target]
    sentences = [_refunded_on_shared(shared, owed, of_order)] if shared else []
    return " ".join([*sentences, *([_refunded_elsewhere(elsewhere, owed, of_order)] if elsewhere else [])])


# Rule: Whose a refund of others on a shared payment is, a person says [and is asked for that]
def _refunded_on_shared(found: Sequence[RefundElsewhereSeen], owed: Money, of_order: str) -> str:
    refunds = " and ".join(f"{seen.amount} (refund {seen.refund.reference})" for seen in found)
    return (
        f"Since the cancellation was decided, others have refunded {refunds} on the payment of {of_order}, which pays "
        f"other orders too; {owed} of it has not gone back yet. Find out for which order that was. If it was for this one, "
        "resolve the step with the refund's number: it counts for what it gave back. If it was for another one, retry the "
        "step."
    )


def _refunded_elsewhere(found: Sequence[RefundElsewhereSeen], owed: Money, of_order: str) -> str:
    refunds = " and ".join(
        f"{seen.refund.amount} on tender {seen.tender} (refund {seen.refund.reference})"
        + (f", {seen.beyond} more than is due there" if seen.beyond else "")
        for seen in found
    )
    name_it = (
        "with the number of each refund that was, one after the other" if found[1:] else "with the refund's number"
    )
    return (
        f"Since the cancellation was decided, others have refunded {refunds}, on another payment of the order; {owed} of "
        f"{of_order} has not gone back yet. If they did it for this cancellation, resolve the step {name_it}: it counts for "
        "what it gave back. If it was for something else, retry the step."
    )


def _disputed(disputes: str, owed: Money, tender_id: str) -> Obstacle:
    """The bank may pay the customer itself: a second way would pay twice, so none is offered."""
    sentence = (
        f"The refund of {owed} on tender {tender_id} has failed, and the bank disputes the payment{disputes}: the bank "
        "may pay it back itself. Answer the dispute, then resolve the step with the dispute's number, or retry it once "
        "the dispute is won. What the bank has not given back is yours to transfer: resolve the step with its reference."
    )
    return Obstacle(sentence=sentence, final=True)


def _named_twice(refuted: RefundSeen, owed: Money, tender_id: str) -> Obstacle:
    """Who has named it may have paid another way: to refund at once could pay twice."""
    sentence = (
        f"{refuted.refund.reference} was named as the proof of a payment for tender {tender_id}, and is the refund of "
        f"{refuted.target}: {owed} is still owed. Resolve the step with the proof of what was paid for it, or retry it."
    )
    return Obstacle(sentence=sentence, final=True, choice=True)


def _won(number: str, owed: Money, of_order: str) -> Obstacle:
    """Who has named it may have paid another way since: to refund at once could pay twice."""
    sentence = (
        f"Dispute {number} was named as the proof that the bank pays, and the bank has decided it for the merchant: "
        f"{owed} of {of_order} is still owed. Retry the step to refund it, or resolve the step with the proof of what was "
        "paid for it."
    )
    return Obstacle(sentence=sentence, final=True)


# Rule: Whose the captured part of a shared payment is, a person says where it is not certain [after the credit note]
def _captured_anyway(owed: Money, of_order: str, *, is_shared: bool) -> Obstacle:
    """To refund it at once could give back what the order has got something else for, or what another order has paid."""
    sentence = (
        f"{owed} of {of_order} was not to be captured because of this cancellation, and was captured all the same. Retry "
        "the step to refund it, or say that nothing is due where it was for something else."
    )
    if is_shared:
        sentence += (
            " Its payment pays other orders too, and some of that may have been captured for these: where it may, a retry "
            "asks you how much."
        )
    return Obstacle(sentence=sentence, final=True)


# Rule: A refund that was refused or has failed waits for another way [whose choice that is]
def _failed(failed: Refund, unclear: Sequence[Refund], of_order: str) -> Obstacle:
    """The customer chooses another way only where their own account refused the money, and where no refund of others may
    have paid them."""
    sentence = (
        f"Refund {failed.reference} of {failed.amount} to {of_order} failed: {failed.reason or 'no reason given'}."
    )
    if unclear:
        found = ", ".join(f"{refund.amount} by refund {refund.reference}" for refund in unclear)
        sentence += (
            f" Others have refunded {found} at this payment, for this or for something else. If it was for this, resolve "
            "the step with the refund's number; otherwise retry the step, or choose another way."
        )
    elif not failed.failed_at_customer:
        sentence += " The customer's card is not the cause: put it right at the gateway, then retry the step."
    else:
        sentence += " Ask the customer how they want the money and choose that, or pay it and resolve the step."
    return Obstacle(sentence=sentence, final=True, choice=failed.failed_at_customer and not unclear)


# Rule: A refund of others may have been for one that failed: a person looks first [in the run]
def unclear_since_reopening(entries: Sequence[Entry], tender_id: str) -> tuple[Refund, ...]:
    """What others had refunded when the cancellation was opened again: a person looks what it was for before the customer is
    offered another way."""
    reopened = next((e.fact for e in reversed(entries) if isinstance(e.fact, Reopened)), None)
    return tuple(seen.refund for seen in reopened.unclear if seen.target == tender_id) if reopened else ()


# Rule: A refund that pays something else is no proof of a payment [found later]
def refuted_proof(entries: Sequence[Entry], tender_id: str) -> RefundSeen | None:
    """The refund of another tender that somebody has named as the proof of a payment for this one, when nobody has said
    since how the money goes back."""
    named: set[str] = set()
    others: dict[str, RefundSeen] = {}
    for entry in entries:
        match entry.fact:
            case RefundSeen(target=target, refund=refund) if target != tender_id:
                others[refund.reference] = entry.fact
            case SettledByHand(step=step, target=target, reference=reference) if (
                target == tender_id and step in MONEY_STEPS and not find_elsewhere(entries, target, reference)
            ):
                named = {*named.difference(others), reference}
            case answer if says_how_money_goes_back(answer, tender_id) and not isinstance(answer, SettledByHand):
                named = set()
            case _:
                pass
    return next((refund for reference, refund in others.items() if reference in named), None)


# Rule: A dispute that is named as the proof counts until it is won [and a person says what is done then]
def won_dispute(case: Case, tender_id: str) -> str | None:
    """The dispute that somebody has named as the proof that the bank pays, and that it has decided for the merchant, when
    nobody has said since how the money goes back."""
    planned = case.reversal(tender_id).planned
    answers = (at for at, entry in enumerate(case.entries, 1) if says_how_money_goes_back(entry.fact, tender_id))
    known = reversal_of(case.entries[: max(answers, default=0)], planned).won
    return next((number for number in case.reversal(tender_id).won if number not in known), None)


# Rule: What was not to be captured, and is all the same, is owed [and a person says whether it goes back]
def is_captured_anyway(entries: Sequence[Entry], tender_id: str) -> bool:
    """Whether something of the tender was captured, or paid, that was not to be, and nobody has said since what it was for.
    The order goes on once the credit note is written: it may have got something else for it."""
    released: Money | None = None
    credited = captured = False
    for entry in entries:
        match entry.fact:
            case Credited():
                credited = True
            case ReversalSeen(target=target, released=now) if target == tender_id:
                captured = captured or (credited and released is not None and now < released)
                released = now
            case answer if says_how_money_goes_back(answer, tender_id):
                captured = False
            case _:
                pass
    return captured


# Rule: A second person approves these, before this step; policy.toml has the limits [what a suspect pays afterwards]
def awaits_second_person(case: Case, tender_id: str) -> bool:
    """Whether what is captured was not yet when an order under fraud review was decided about, so that nobody was asked, and
    nobody but who asked for the cancellation has had it refunded."""
    decision = case.decision
    if decision is None or decision.rule is not Rule.FRAUD_REVIEW or decision.gate is not Gate.NONE:
        return False
    asked = {request.actor.id for request in case.requests}
    said = (entry.fact for entry in case.entries if says_how_money_goes_back(entry.fact, tender_id))
    return not any(isinstance(fact, RetryOrdered) and fact.by.id not in asked for fact in said)
