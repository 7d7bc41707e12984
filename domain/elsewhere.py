"""Refunds that others make on other payments of the order than the one that is reversed, and that give back nothing of what
is due there. What they were for, only a person knows: where it was for what is owed here, that part of the plan moves to the
payment on which it was made. The same is asked of a refund on the tender's own payment where that pays other orders too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from domain.facts import Entry, NothingDue, RefundElsewhereSeen, RetryOrdered, SettledByHand
from domain.money import Money
from domain.order import TenderKind
from domain.payment import Payment
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


def other_cards(plan: Plan, target: str) -> tuple[PlannedTender, ...]:
    """The order's other payments at the gateway. A balance knows no refunds of others."""
    cards = (planned for planned in plan.tenders if planned.tender.kind is TenderKind.CARD)
    return tuple(planned for planned in cards if planned.tender.tender_id != target)


# Rule: What others refund on another payment of the order is a person's question
def refunds_elsewhere(
    entries: Sequence[Entry], target: str, other: PlannedTender, payment: Payment, beyond: Mapping[str, Money]
) -> tuple[RefundElsewhereSeen, ...]:
    """Those of since the plan that are not known yet to whoever reverses the tender `target`. `payment` is that of another
    tender, and `beyond` says what of each is not due there. Where a person has named one for `target` that has failed, it
    is known too: it counts as it is."""
    known = {seen.refund.reference for seen in _all_seen(entries) if seen.target == target}.union(other.earlier)
    named = {fact.reference for fact in _named(entries) if fact.target == target}
    found = (refund for refund in payment.refunds if refund.key is None and refund.reference not in known)
    return tuple(
        RefundElsewhereSeen(
            target=target,
            tender=other.tender.tender_id,
            refund=refund,
            beyond=None if beyond[refund.reference] == refund.amount else beyond[refund.reference],
        )
        for refund in found
        if beyond[refund.reference] and (refund.reference in named or not refund.status.has_failed)
    )


# Rule: What others refund on another payment of the order is a person's question [until it is answered]
def unanswered_refunds(entries: Sequence[Entry], target: str) -> tuple[RefundElsewhereSeen, ...]:
    """Those of which nobody has said whether they were for this: who names one says it of that one, and who has the step
    tried again says of all that are known that they were not."""
    found: dict[str, RefundElsewhereSeen] = {}
    named = {fact.reference for fact in _named(entries) if fact.target == target}
    for entry in entries:
        match entry.fact:
            case RefundElsewhereSeen() as seen if seen.target == target:
                found[seen.refund.reference] = seen
            case RetryOrdered(step=step, target=of) | NothingDue(step=step, target=of) if (
                of == target and step in MONEY_STEPS
            ):
                found.clear()
            case _:
                pass
    open_ = (seen for reference, seen in found.items() if reference not in named)
    return tuple(seen for seen in open_ if left_of(entries, seen.refund.reference))


def find_elsewhere(entries: Sequence[Entry], target: str, reference: str) -> RefundElsewhereSeen | None:
    """The refund of this number, where it was found on another payment than the one of the tender."""
    return next((s for s in _all_seen(entries) if (s.target, s.refund.reference) == (target, reference)), None)


def _all_seen(entries: Sequence[Entry]) -> Iterator[RefundElsewhereSeen]:
    return (entry.fact for entry in entries if isinstance(entry.fact, RefundElsewhereSeen))


def _named(entries: Sequence[Entry]) -> Iterator[SettledByHand]:
    """What people have named as the proof that money went to the customer."""
    settled = (entry.fact for entry in entries if isinstance(entry.fact, SettledByHand))
    return (fact for fact in settled if fact.step in MONEY_STEPS)


def taken_over(entries: Sequence[Entry]) -> Iterator[tuple[RefundElsewhereSeen, Money]]:
    """The refunds that a person has named for what was to go back to another tender, and how much of it they stand for: no
    more than they are."""
    left: dict[str, Money] = {}
    for fact in _named(entries):
        seen = find_elsewhere(entries, fact.target, fact.reference)
        if seen is not None and fact.amount is not None:
            rest = left.get(fact.reference, seen.amount)
            left[fact.reference] = rest - min(fact.amount, rest)
            yield seen, min(fact.amount, rest)


def _moved(entries: Sequence[Entry]) -> Iterator[tuple[RefundElsewhereSeen, Money]]:
    """Those on another payment."""
    return ((seen, amount) for seen, amount in taken_over(entries) if seen.tender != seen.target)


def left_of(entries: Sequence[Entry], reference: str) -> Money:
    """What of a refund that was found nobody has named yet."""
    amount = next(seen.amount for seen in _all_seen(entries) if seen.refund.reference == reference)
    moved = (moved for seen, moved in taken_over(entries) if seen.refund.reference == reference)
    return amount - Money.total(moved, amount.currency)


def tenders_taken_over(entries: Sequence[Entry], target: str) -> frozenset[str]:
    """The tenders whose refunds of others stand for what was to go back to this one."""
    return frozenset(seen.tender for seen, _ in _moved(entries) if seen.target == target)


# Rule: What others refund on another payment of the order is a person's question [and counts there]
def with_moved(plan: Plan, entries: Sequence[Entry]) -> Plan:
    """The plan with what others have refunded for it at the payments on which they have."""
    tenders = {planned.tender.tender_id: planned for planned in plan.tenders}
    for seen, amount in _moved(entries):
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
