"""What follows a refund that has failed: whether somebody has answered it, and how the customer wants the money instead; a
proof of a payment that turns out to be none, or a dispute that the bank decides for the merchant; and a capture of what was
not to be captured."""

from collections.abc import Sequence

from domain.elsewhere import find_elsewhere
from domain.facts import (
    Chosen,
    Credited,
    DisputeSeen,
    Entry,
    NothingDue,
    RefundSeen,
    Reopened,
    RetryOrdered,
    ReversalSeen,
    SettledByHand,
)
from domain.money import Money
from domain.payment import Refund
from domain.step import MONEY_STEPS, StepName
from domain.terms import RefundMethod


# Rule: A refund that was refused or has failed waits for another way [what has failed]
def unanswered_failure(entries: Sequence[Entry], tender_id: str) -> Refund | None:
    """The last refund of a tender, when it failed and nobody has said since what to do about it."""
    failed: Refund | None = None
    for entry in entries:
        match entry.fact:
            case RefundSeen(target=target, refund=refund) if target == tender_id and refund.status.has_failed:
                failed = refund
            case RetryOrdered(step=step, target=target) | SettledByHand(step=step, target=target) if (
                target == tender_id and step in MONEY_STEPS
            ):
                failed = None
            case Chosen(target=target) if target == tender_id:
                failed = None
            case _:
                pass
    return failed


# Rule: A refund of others may have been for one that failed: a person looks first [in the run]
def unclear_since_reopening(entries: Sequence[Entry], tender_id: str) -> tuple[Refund, ...]:
    """What others had refunded when the cancellation was opened again: a person looks what it was for before the customer is
    offered another way."""
    reopened = next((e.fact for e in reversed(entries) if isinstance(e.fact, Reopened)), None)
    return tuple(seen.refund for seen in reopened.unclear if seen.target == tender_id) if reopened else ()


# Rule: A refund that was refused or has failed waits for another way [how the customer wants it]
def chosen_method(entries: Sequence[Entry], tender_id: str) -> RefundMethod | None:
    """How the customer wants what is outstanding, unless staff has ordered another try since, or a refund has failed
    again."""
    method: RefundMethod | None = None
    for entry in entries:
        match entry.fact:
            case Chosen(target=target, method=chosen) if target == tender_id:
                method = chosen
            case RetryOrdered(step=StepName.REVERSE_PAYMENT, target=target) if target == tender_id:
                method = None
            case RefundSeen(target=target, refund=refund) if target == tender_id and refund.status.has_failed:
                method = None
            case _:
                pass
    return method


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
            case RetryOrdered(step=step, target=target) | NothingDue(step=step, target=target) if (
                target == tender_id and step in MONEY_STEPS
            ):
                named = set()
            case Chosen(target=target) if target == tender_id:
                named = set()
            case _:
                pass
    return next((refund for reference, refund in others.items() if reference in named), None)


# Rule: A dispute that is named as the proof counts until it is won [and a person says what is done then]
def won_dispute(entries: Sequence[Entry], tender_id: str) -> str | None:
    """The dispute that somebody has named as the proof that the bank pays, and that it has decided for the merchant, when
    nobody has said since how the money goes back."""
    known, named = frozenset[str](), set[str]()
    won: str | None = None
    for entry in entries:
        match entry.fact:
            case DisputeSeen(target=target) as seen if target == tender_id:
                now = frozenset((*seen.open_disputes, *(back.reference for back in seen.charge_backs)))
                won = next(iter(sorted((known & named) - now)), won)
                known = now
            case SettledByHand(step=step, target=target, reference=reference) if (
                target == tender_id and step in MONEY_STEPS
            ):
                named.add(reference)
                won = None
            case RetryOrdered(step=step, target=target) | NothingDue(step=step, target=target) if (
                target == tender_id and step in MONEY_STEPS
            ):
                won = None
            case Chosen(target=target) if target == tender_id:
                won = None
            case _:
                pass
    return won


# Rule: What was not to be captured, and is all the same, is owed [and a person says whether it goes back]
def is_taken_after_all(entries: Sequence[Entry], tender_id: str) -> bool:
    """Whether something of the tender was captured, or paid, that was not to be, and nobody has said since what it was for.
    The order goes on once the credit note is written: it may have got something else for it."""
    released: Money | None = None
    credited = taken = False
    for entry in entries:
        match entry.fact:
            case Credited():
                credited = True
            case ReversalSeen(target=target, released=now) if target == tender_id:
                taken = taken or (credited and released is not None and now < released)
                released = now
            case (
                RetryOrdered(step=step, target=target)
                | SettledByHand(step=step, target=target)
                | NothingDue(step=step, target=target)
            ) if target == tender_id and step in MONEY_STEPS:
                taken = False
            case _:
                pass
    return taken
