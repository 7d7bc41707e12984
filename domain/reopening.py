"""Which ended cancellation of an order a provider's event is about. Pure, from the facts: whether its outcome still holds is
looked up afterwards."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from domain.case import Case
from domain.money import Money
from domain.reversal import Reversal


# Rule: An ended cancellation is opened again when its outcome no longer holds [the event that says so]
def find_case_about(
    ended: Sequence[Case],
    subject: str | None,
    *,
    may_undo_outcome: bool,
    of_gateway: bool,
    payment_taken: bool,
    dispute_won: bool,
) -> Case | None:
    """The one of these that has to look again; `ended` are in the order of their beginning. `subject`: the refund, the
    dispute, the payment or the parcel of which the event says that it has changed. Where cancellations have parts of one
    payment, the last one is first, and before it the last one that rests on a dispute which was open when it looked."""
    latest_first = ended[::-1]
    if payment_taken:
        return _first_about(subject, latest_first, _not_to_be_taken)
    if not may_undo_outcome:
        return _first_about(subject, ended, _expected)
    found = _first_about(subject, ended, _references)
    if found is not None or not of_gateway or subject is None:
        return found
    undecided = _first_about(subject, latest_first, _undecided)
    gave_back = undecided or _first_about(subject, latest_first, _payments)
    return gave_back if gave_back is not None or dispute_won else _carried_out_besides(ended)


def _first_about(subject: str | None, cases: Iterable[Case], names: Callable[[Case], set[str]]) -> Case | None:
    return next((case for case in cases if subject in names(case)), None)


def _references(case: Case) -> set[str]:
    """What the outcome rests on: the refunds that have not failed, those of before the plan among them, the disputes that
    a person has named, and the parcels that were stopped. After a roll-back the parcels travel, and what others had refunded
    before is no matter; what the bank had given back, or was to give, is one where it was collected."""
    if case.plan is None or not case.ever_closed:
        return {reference for reversal in case.reversals for reference in _taken_back(reversal)}
    parcels = (planned.shipment.named_by_carrier for planned in case.plan.shipments)
    return set[str]().union(*(reversal.rests_on for reversal in case.reversals), *parcels)


def _taken_back(reversal: Reversal) -> frozenset[str]:
    live = frozenset(refund.reference for refund in reversal.live_refunds)
    return reversal.rests_on - reversal.counted_on | live if reversal.collected else live


def _payments(case: Case) -> set[str]:
    """Those of which it gave back something that the bank can give back as well, where it was carried out."""
    reversals = case.reversals if case.ever_closed else ()
    return {reversal.planned.tender.reference for reversal in reversals if reversal.open_to_bank}


def _undecided(case: Case) -> set[str]:
    """Payments with a dispute that was named as the proof, and was open at the last look. These come first: one that has
    looked may still get something from the bank, and would be found again and again."""
    reversals = case.reversals if case.ever_closed else ()
    return {
        r.planned.tender.reference
        for r in reversals
        if not {b.reference for b in r.by_hand}.isdisjoint(r.open_disputes)
    }


def _not_to_be_taken(case: Case) -> set[str]:
    """Payments of which a part was not to be taken, and can be all the same."""
    reversals = case.reversals if case.ever_closed else ()
    return {reversal.planned.tender.reference for reversal in reversals if reversal.may_be_taken}


def _expected(case: Case) -> set[str]:
    """The parcels whose lines leave the order when they are received."""
    planned = case.plan.shipments if case.plan else ()
    parcels = (p.shipment for p in planned if p.shipment.shipment_id in case.expected_back)
    return set[str]().union(*(parcel.named_by_carrier for parcel in parcels))


def _carried_out_besides(cases: Sequence[Case]) -> Case | None:
    """A cancellation that was carried out, where one of these has left money with the customer another way: that one itself
    if it may be, and another one where it was rolled back."""
    another_way = [case for case in cases if any(_left_another_way(case))]
    carried_out = [case for case in (*another_way, *cases) if case.ever_closed]
    return carried_out[0] if another_way and carried_out else None


def _left_another_way(case: Case) -> Iterator[Money]:
    return (
        reversal.given_another_way if case.ever_closed else reversal.kept_another_way for reversal in case.reversals
    )
