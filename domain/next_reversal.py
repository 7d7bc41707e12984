"""What is to be done next about the reversal of one tender.

Deciding is apart from doing: `next_reversal` is a pure function of the plan, the provider's own count and the books' facts.
The activity asks it, acts once, notes what came of it, and asks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.earlier import EarlierReversal
from domain.keys import EffectKey
from domain.money import Money
from domain.payment import Payment, Refund
from domain.reversal import Reversal
from domain.settlement import is_ours, left_to_other_orders, made_by_others, may_be_for_this


@dataclass(frozen=True)
class Void:
    """Release what the authorisation reserves, or close what the customer has not paid yet."""

    amount: Money


@dataclass(frozen=True)
class MakeRefund:
    """`released` and `found` are what has come back already, whatever becomes of this refund."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


@dataclass(frozen=True)
class NotYet:
    """Nothing can be done at this moment; the provider is in the middle of something."""

    sentence: str


@dataclass(frozen=True)
class Disputed:
    """The bank has taken the money back, or may: to refund as well could pay twice. A person decides."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


# Rule: What the gateway does not have and nobody has given is owed, and a person gives it
@dataclass(frozen=True)
class ByHandAlone:
    """It is owed, and the gateway cannot give it: what it had went to the customer by refunds that do not count here, or
    that they have paid back, or it is less than the gateway takes. A person gives it back."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


# Rule: Whose the captured part of a shared payment is, a person says where it is not certain [and it is not refunded]
@dataclass(frozen=True)
class Unclear:
    """The money may be another order's. A person finds out, and gives it back where it is this one's."""

    amount: Money
    released: Money
    found: tuple[Refund, ...]


@dataclass(frozen=True)
class Settled:
    """Nothing is left to do under this key. `refunds` are those that count, ours and others'."""

    released: Money
    refunds: tuple[Refund, ...]


NextReversal = Void | MakeRefund | NotYet | Disputed | ByHandAlone | Unclear | Settled


# Rule: Money is released, refunded or left, and this much of it
# Rule: A disputed payment is not refunded
def next_reversal(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal] = ()
) -> NextReversal:
    """What is to be done next about a card's payment, never more than planned and never more than the gateway still has.

    `key` is the effect's, a refund or store credit in its place: what was made under it counts, and so does every refund of
    ours, by an earlier attempt or a run that was lost. `other_reversals` are those of the order's other cancellations.
    """
    planned = reversal.planned
    released = released_by_now(reversal, payment)
    if isinstance(released, Void):
        return released
    if payment.capturing:
        return NotYet(
            f"The gateway is still taking {payment.capturing} of tender {planned.tender.tender_id}; it is refunded "
            "once taken."
        )
    counted = _counted(reversal, payment, key)
    now = reversal.with_refunds(payment, counted).model_copy(update={"released": released})
    owed = now.outstanding
    zero = Money.zero(owed.currency)
    of_others = made_by_others(now, payment, key, owed, other_reversals)
    ours = max(payment.refundable - left_to_other_orders(now, payment, key, owed, other_reversals), zero)
    owed = max(owed - Money.total((refund.amount for refund in of_others), zero.currency), zero)
    amount = min(owed, ours).in_steps(payment.step)
    unclear = planned.unclear and payment.taken < payment.whole  # once all is captured, each order's share is
    unclear = unclear or planned.may_be_of_others(payment)
    of_this_key = payment.made_under(str(key)) or next((r for r in reversal.refunds if r.key == str(key)), None)
    if amount.amount <= 0 or of_this_key is not None:
        # A key has one refund. What it does not cover is owed under the next key, once the failure that left it is known.
        failed = _failed_since(reversal, payment, of_this_key) if of_this_key is not None else ()
        if owed and not failed:
            decided_by_person = Disputed if payment.disputed else Unclear if unclear else ByHandAlone
            return decided_by_person(amount=owed, released=released, found=(*of_others, *counted))
        live = (refund for refund in counted if not refund.status.has_failed)
        return Settled(released=released, refunds=(*of_others, *live, *failed))
    action = Disputed if payment.disputed else Unclear if unclear else MakeRefund
    return action(amount=amount, released=released, found=(*of_others, *counted))


# Rule: What others refund on another payment of the order is a person's question [what of it is due there]
def beyond_due(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal]
) -> dict[str, Money]:
    """By its reference, what of each refund of others at the tender's payment gives back nothing that is due on the tender:
    what is due is taken over first. 10.00 are due: of a refund of 50.00 it is 40.00."""
    planned = reversal.planned
    released = released_by_now(reversal, payment)
    if isinstance(released, Void):
        released = planned.release + planned.never_taken(payment)
    now = reversal.with_refunds(payment, _counted(reversal, payment, key)).model_copy(update={"released": released})
    of_others = made_by_others(now, payment, key, now.outstanding, other_reversals)
    now = now.model_copy(update={"refunds": (*now.refunds, *of_others)})
    counted = {refund.reference: refund.amount for refund in now.live_refunds}
    excess, found = now.excess, dict[str, Money]()
    for refund in payment.refunds:
        if refund.key is None:
            of_it = counted.get(refund.reference)
            found[refund.reference] = refund.amount if of_it is None else min(of_it, excess)
            excess -= found[refund.reference] if of_it is not None else Money.zero(excess.currency)
    return found


# Rule: Whose a refund of others on a shared payment is, a person says
def refunds_to_ask_about(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal]
) -> tuple[Refund, ...]:
    """What others have refunded since the plan of a payment that pays other orders too, beyond what these lack."""
    released = released_by_now(reversal, payment)
    if reversal.planned.share is None or isinstance(released, Void):
        return ()
    now = reversal.with_refunds(payment, _counted(reversal, payment, key)).model_copy(update={"released": released})
    return may_be_for_this(now, payment, key, now.outstanding, other_reversals)


# Rule: A reservation that has expired counts as released
# Rule: A payment that was not completed is closed
def released_by_now(reversal: Reversal, payment: Payment) -> Money | Void:
    """What is released of the reservation, where the plan wants any of it released, or was never taken.

    A part of a reservation is not released at the gateway: the rest of it is simply captured later. What is neither
    reserved any more nor captured since was released with that capture. The same holds for what the customer can still pay.
    Where more is captured than the rest, less is released than before. What was being captured and has not come counts, too:
    its payment is closed where nothing else is to be paid by it.
    """
    planned = reversal.planned
    never_taken = planned.never_taken(payment)
    if never_taken and payment.revocable and planned.takes_all:
        return Void(payment.revocable)
    if not planned.release:
        return never_taken
    if planned.released_by_capture:
        return planned.release - planned.taken_anyway(payment)
    if payment.revocable:
        return Void(payment.revocable)
    # Released by us, by someone else, or by expiry: reserved no more. What was captured meanwhile is refunded instead.
    captured_since = max(planned.captured_since(payment), Money.zero(planned.release.currency))
    return planned.release - min(planned.release, captured_since) + never_taken


# Rule: The outcome of a lost call is looked up
def _counted(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """Refunds at the gateway that count for this tender and have not failed: ours, and others' that were taken over. And
    those of before the plan that have failed although it counted on them."""
    references = reversal.references
    return tuple(
        reversal.as_counted(refund)
        for refund in payment.refunds
        if reversal.has_lapsed(refund)
        or (not refund.status.has_failed and (refund.reference in references or is_ours(refund, key)))
    )


def _failed_since(reversal: Reversal, payment: Payment, mine: Refund) -> tuple[Refund, ...]:
    """The refund of this key, where it failed; where it holds, those of others that were to give back what is owed."""
    if mine.status.has_failed:
        return (mine,)
    earlier = reversal.planned.earlier
    others = (refund for refund in payment.refunds if refund.key is None and refund.reference not in earlier)
    failed = (refund for refund in others if refund.status.has_failed)
    lapsed = (refund for refund in payment.refunds if reversal.has_lapsed(refund))
    return tuple(reversal.as_counted(refund) for refund in (*failed, *lapsed))
