"""What follows a refund that has failed: whether somebody has answered it, and how the customer wants the money instead."""

from collections.abc import Sequence

from domain.elsewhere import unanswered_refunds
from domain.facts import Chosen, Entry, NothingDue, RefundSeen, RetryOrdered, says_how_money_goes_back
from domain.payment import Refund
from domain.step import StepName
from domain.terms import RefundMethod


# Rule: A refund that was refused or has failed waits for another way [what has failed]
def unanswered_failure(entries: Sequence[Entry], tender_id: str) -> Refund | None:
    """The last refund of a tender, when it failed and nobody has said since what to do about it."""
    failed: Refund | None = None
    for entry in entries:
        match entry.fact:
            case RefundSeen(target=target, refund=refund) if target == tender_id and refund.status.has_failed:
                failed = refund
            case NothingDue():
                pass  # it does not say how the money goes back, should some be owed again
            case answer if says_how_money_goes_back(answer, tender_id):
                failed = None
            case _:
                pass
    return failed


# Rule: A refund that was refused or has failed waits for another way [how the customer wants it]
def chosen_method(entries: Sequence[Entry], tender_id: str) -> RefundMethod | None:
    """How the customer wants what is outstanding, unless staff has ordered another try since, or a refund has failed
    again."""
    method: RefundMethod | None = None
    for at, entry in enumerate(entries):
        match entry.fact:
            case Chosen(target=target, method=chosen) if target == tender_id:
                method = chosen
            case RetryOrdered(step=StepName.REVERSE_PAYMENT, target=target) if target == tender_id:
                if not unanswered_refunds(entries[:at], tender_id):  # that is all that they were asked about
                    method = None
            case RefundSeen(target=target, refund=refund) if target == tender_id and refund.status.has_failed:
                method = None
            case _:
                pass
    return method
