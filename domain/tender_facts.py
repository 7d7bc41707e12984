"""What the facts of a cancellation say of one tender: its reversal."""

from collections.abc import Iterable, Sequence

from domain.elsewhere import find_elsewhere
from domain.facts import (
    Credited,
    DisputeSeen,
    Entry,
    NothingDue,
    RefundElsewhereSeen,
    RefundSeen,
    ReversalSeen,
    SettledByHand,
)
from domain.money import Money
from domain.payment import Refund
from domain.plan import PlannedTender
from domain.reversal import ByHand, Reversal
from domain.step import MONEY_STEPS, StepName


# Rule: "Done by hand" and "nothing due" mean this for the money
def reversal_of(entries: Sequence[Entry], planned: PlannedTender) -> Reversal:
    """What has come back to one tender so far."""
    reversal = Reversal.begin(planned)
    tender_id = reversal.tender_id
    refunds: dict[str, Refund] = {}
    for entry in entries:
        match entry.fact:
            case ReversalSeen(target=target, released=released, covered=covered, detail=detail) if target == tender_id:
                update = {"released": released, "covered": reversal.covered + covered, "detail": detail}
                reversal = reversal.model_copy(update=update)
            case RefundSeen(target=target, refund=refund) if target == tender_id:
                reversal = reversal.without_proof(refund.reference)
                refunds[refund.reference] = refund
                reversal = reversal.model_copy(update={"refunds": tuple(refunds.values())})
            case RefundElsewhereSeen(target=target, tender=tender, refund=refund) if target == tender == tender_id:
                asked_about = (*reversal.asked_about, refund.reference)
                reversal = reversal.model_copy(update={"asked_about": asked_about})
            case Credited():
                reversal = reversal.model_copy(update={"released_when_credited": reversal.released})
            case DisputeSeen(target=target) as seen if target == tender_id:
                reversal = _paid_by_bank(_without_won(reversal, seen), entry.seq)
            case SettledByHand(step=step, target=target, reference=reference) if step in MONEY_STEPS and (
                elsewhere := find_elsewhere(entries, target, reference)
            ):
                if elsewhere.tender == tender_id:
                    refunds.setdefault(reference, elsewhere.refund)
                    reversal = _taken_over(reversal, reference, entry.seq, refunds.values())
            case SettledByHand(step=step, target=target, reference=reference, amount=amount) if (
                target == tender_id and amount is not None
            ):
                reversal = _settled(reversal, step, ByHand(reference=reference, amount=amount, fact=entry.seq))
            case RefundSeen(refund=refund):
                reversal = reversal.without_proof(refund.reference)  # of another tender: it gave nothing to this one
            case NothingDue(step=StepName.CHECK_REFUND, target=target) if target == tender_id:
                reversal = reversal.model_copy(update={"left_with_them": reversal.left_with_them + reversal.overpaid})
            case NothingDue(step=step, target=target) if target == tender_id and step in MONEY_STEPS:
                reversal = reversal.model_copy(update={"waived": reversal.waived + reversal.outstanding})
            case _:
                pass
    return reversal


def _settled(reversal: Reversal, step: StepName, hand: ByHand) -> Reversal:
    """Money that a person moved: to the customer, or back from them. Who names a refund that counts has paid by it."""
    if step in MONEY_STEPS and any(refund.reference == hand.reference for refund in reversal.live_refunds):
        return reversal.model_copy(update={"named": (*reversal.named, hand)})
    if step in MONEY_STEPS:
        return reversal.model_copy(update={"by_hand": (*reversal.by_hand, hand)})
    return reversal.model_copy(update={"paid_back": reversal.paid_back + hand.amount})


def _taken_over(reversal: Reversal, reference: str, fact: int, refunds: Iterable[Refund]) -> Reversal:
    """A refund of others that a person has named for what was to go back to another tender: a roll-back takes it back."""
    named = ByHand(reference=reference, amount=Money.zero(reversal.released.currency), fact=fact)
    return reversal.model_copy(update={"refunds": tuple(refunds), "named": (*reversal.named, named)})


# Rule: A dispute that is named as the proof counts until it is won
def _without_won(reversal: Reversal, seen: DisputeSeen) -> Reversal:
    """With the disputes as they are now. One that a person has named, and that is neither open nor lost any more, has given
    the customer nothing."""
    update = {"disputed": seen.disputed, "charge_backs": seen.charge_backs, "open_disputes": seen.open_disputes}
    lost = {back.reference for back in (*reversal.charge_backs, *seen.charge_backs)}.union(reversal.lapsed_charge_backs)
    lapsed = tuple(sorted(lost - {back.reference for back in seen.charge_backs}))
    now = reversal.model_copy(update={**update, "settled_later": seen.settled_later, "lapsed_charge_backs": lapsed})
    for number in reversal.dispute_numbers:
        if number not in now.dispute_numbers and any(hand.reference == number for hand in now.by_hand):
            now = now.without_proof(number).model_copy(update={"won": (*now.won, number)})
    return now


def _paid_by_bank(reversal: Reversal, fact: int) -> Reversal:
    """The same, where a person who paid by hand has named a dispute that the bank has decided since for the customer: how
    much it gave back is the bank's word, and `fact` says so."""
    now = reversal
    for lost in reversal.charge_backs:
        named = [hand for hand in now.by_hand if hand.reference == lost.reference]
        if Money.total((hand.amount for hand in named), lost.amount.currency) > lost.amount:
            now = now.without_proof(lost.reference)
            given = ByHand(reference=lost.reference, amount=lost.amount, fact=fact)
            now = now.model_copy(update={"by_hand": (*now.by_hand, given)})
    return now
