"""Refunds that others make at payments of the order to which nothing goes back by the plan. What they were for, only a
person knows: where it was for this cancellation, that part of the plan moves to the payment on which it was made."""

from collections.abc import Iterable, Iterator, Sequence

from domain.facts import Entry, RefundElsewhereSeen, SettledByHand, says_how_money_goes_back
from domain.money import Money
from domain.order import TenderKind
from domain.payment import Payment, Refund
from domain.plan import Plan, PlannedTender
from domain.step import MONEY_STEPS


def tenders_of(plan: Plan, elsewhere: Iterable[RefundElsewhereSeen]) -> tuple[PlannedTender, ...]:
    """Those that a cancellation is about: to which something goes back, or would if others had not refunded it before, or
    elsewhere."""
    targets = {seen.target for seen in elsewhere}
    return tuple(
        planned
        for planned in plan.tenders
        if planned.refund or planned.release or planned.by_others or planned.tender.tender_id in targets
    )


def other_cards(plan: Plan, but: str) -> tuple[PlannedTender, ...]:
    """The order's other payments at the gateway to which nothing goes back by the plan. A balance knows no refunds of
    others."""
    cards = (planned for planned in plan.tenders if planned.tender.kind is TenderKind.CARD)
    nothing = (planned for planned in cards if not planned.refund and not planned.release)
    return tuple(planned for planned in nothing if planned.tender.tender_id != but)


# Rule: What others refund on another payment of the order is a person's question
def refunds_elsewhere(
    entries: Sequence[Entry], target: str, other: PlannedTender, counted: Sequence[Refund], payment: Payment
) -> tuple[RefundElsewhereSeen, ...]:
    """Those of since the plan that are not known yet to whoever reverses the tender `target`. `counted` count already."""
    seen = (entry.fact for entry in entries if isinstance(entry.fact, RefundElsewhereSeen))
    known = {fact.refund.reference for fact in seen if fact.target == target}
    known |= {*other.earlier, *(refund.reference for refund in counted)}
    return tuple(
        RefundElsewhereSeen(target=target, tender=other.tender.tender_id, refund=refund)
        for refund in payment.refunds
        if refund.key is None and not refund.status.has_failed and refund.reference not in known
    )


# Rule: What others refund on another payment of the order is a person's question [until it is answered]
def unanswered_refunds(entries: Sequence[Entry], target: str) -> tuple[RefundElsewhereSeen, ...]:
    """Those of which nobody has said whether they were for this."""
    found: list[RefundElsewhereSeen] = []
    for entry in entries:
        match entry.fact:
            case RefundElsewhereSeen() as seen if seen.target == target:
                found.append(seen)
            case answer if says_how_money_goes_back(answer, target):
                found.clear()
            case _:
                pass
    return tuple(found)


def find_elsewhere(entries: Sequence[Entry], target: str, reference: str) -> RefundElsewhereSeen | None:
    """The refund of this number, where it was found before money of the tender moved."""
    seen = (entry.fact for entry in entries if isinstance(entry.fact, RefundElsewhereSeen))
    return next((fact for fact in seen if (fact.target, fact.refund.reference) == (target, reference)), None)


def taken_over(entries: Sequence[Entry]) -> Iterator[tuple[RefundElsewhereSeen, Money]]:
    """The refunds that a person has named for what was to go back to another tender, and how much of it they stand for."""
    for entry in entries:
        match entry.fact:
            case SettledByHand(step=step, target=target, reference=reference, amount=amount) if (
                step in MONEY_STEPS and amount is not None and (seen := find_elsewhere(entries, target, reference))
            ):
                yield seen, amount
            case _:
                pass


def tenders_taken_over(entries: Sequence[Entry], target: str) -> frozenset[str]:
    """The tenders whose refunds of others stand for what was to go back to this one."""
    return frozenset(seen.tender for seen, _ in taken_over(entries) if seen.target == target)


# Rule: What others refund on another payment of the order is a person's question [and counts there]
def with_moved(plan: Plan, entries: Sequence[Entry]) -> Plan:
    """The plan with what others have refunded for it at the payments on which they have."""
    tenders = {planned.tender.tender_id: planned for planned in plan.tenders}
    for seen, amount in taken_over(entries):
        left, moved = _less(tenders[seen.target], amount)
        to = tenders[seen.tender]
        tenders |= {seen.target: left, seen.tender: to.model_copy(update={"refund": to.refund + moved})}
    return plan.model_copy(update={"tenders": tuple(tenders.values())}) if tenders else plan


def _less(planned: PlannedTender, amount: Money) -> tuple[PlannedTender, Money]:
    """The tender with so much less, and how much that was."""
    refund = min(planned.refund, amount)
    release = min(planned.release, amount - refund)
    left = planned.model_copy(update={"refund": planned.refund - refund, "release": planned.release - release})
    return left, refund + release
