"""What a look at the refunds of a tender finds once it was reversed: ours as they are now, and those that others made.

What others refund at the gateway is known only there. They may do so although the money went another way (by hand, as store
credit): then the customer has it twice, and a person is asked to collect it.
"""

from collections.abc import Sequence

from domain.earlier import Claim, EarlierReversal, share_out
from domain.keys import EffectKey
from domain.money import Money
from domain.payment import Payment, Refund
from domain.reversal import Reversal
from domain.step import StepName


# Rule: Refunds of others may repeat what had already gone back another way
def refunds_found(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal] = ()
) -> tuple[Refund, ...]:
    """While the cancellation is under way: what others have refunded since the plan gives back what is owed, or once more
    what went another way."""
    counted = known_refunds(reversal, payment, key)
    now = reversal.with_refunds(payment, counted)
    twice = now.given_another_way - now.overpaid - now.collected
    twice = max(twice, Money.zero(twice.currency))
    owed = twice if now.planned.share is not None else now.outstanding + twice
    return (*counted, *may_be_for_this(now, payment, key, owed, other_reversals))


# Rule: Refunds of others may repeat what had already gone back another way [after the end]
def refunds_found_after_end(
    reversal: Reversal, payment: Payment, key: EffectKey, other_reversals: Sequence[EarlierReversal]
) -> tuple[Refund, ...]:
    """What others refund after the end may be for something else, such as goods that were sent back. It counts where it is
    just as much as is missing since a refund has failed, and otherwise as far as the customer would have more than was taken
    from them: by what they have, from all cancellations of the order, and what they are owed.

    50.00 were taken, and a person gave 30.00 back by hand. If others refund 10.00 after the end, nothing of it counts. Of
    25.00, 5.00 counts, because with the rest the customer has all that was taken."""
    counted = known_refunds(reversal, payment, key)
    now = reversal.with_refunds(payment, counted)
    another_way = now.given_another_way + Money.total(
        (other.another_way for other in other_reversals), payment.captured.currency
    )
    given = payment.refunded + another_way + now.outstanding
    beyond = given - payment.captured - now.overpaid - now.collected
    zero = Money.zero(beyond.currency)
    missing = now.outstanding if now.planned.share is None else zero
    mine = _claim(now, missing=missing, at_most=max(beyond, zero))
    return (*counted, *_shared_out(now, mine, payment, key, other_reversals))


# Rule: A refund of others may have been for one that failed: a person looks first
def unclear_refunds(
    reversal: Reversal, payment: Payment, counted: Sequence[Refund], other_reversals: Sequence[EarlierReversal]
) -> tuple[Refund, ...]:
    """After the end: refunds of others since the plan that nobody counts. They may have been for what is missing since a
    refund has failed, or for something else; nobody knows but a person."""
    known = {refund.reference for refund in counted}.union(
        reversal.planned.earlier, *(other.refunds for other in other_reversals)
    )
    return tuple(
        refund
        for refund in payment.refunds
        if refund.key is None and not refund.status.has_failed and refund.reference not in known
    )


def known_refunds(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """Those that the books know, those that a person has named as their proof, ours that no book knows yet, and those of
    before the plan that it counted on and that have failed."""
    known = reversal.references
    return tuple(
        reversal.as_counted(refund)
        for refund in payment.refunds
        if refund.reference in known or is_ours(refund, key) or reversal.has_lapsed(refund)
    )


def is_ours(refund: Refund, key: EffectKey) -> bool:
    """Whether a refund at the gateway was made for the cancellation and the tender of `key`, under whatever number."""
    made_under = EffectKey.read(refund.key)
    return made_under is not None and made_under.is_same_step(
        EffectKey(key.cancellation_id, StepName.REVERSE_PAYMENT, key.target)
    )


# Rule: A refund that others made meanwhile is taken over
def made_by_others(
    reversal: Reversal, payment: Payment, key: EffectKey, owed: Money, other_reversals: Sequence[EarlierReversal]
) -> tuple[Refund, ...]:
    """Refunds that somebody made at the gateway since the plan was made, and that do not count yet: they give back what is
    planned here, as far as they do not make up for what the order's other cancellations lack, and are credited under their
    own references. One that is more than all of that counts here with the excess: a person is notified of it.

    Another cancellation lacks 10.00, and this one owes 30.00. If somebody refunds 45.00 in one sum, 10.00 of it is for the
    other one and 35.00 counts here, which is 5.00 too much. Of a payment that pays other orders too, a person says it."""
    if reversal.planned.share is not None:
        return ()
    return may_be_for_this(reversal, payment, key, owed, other_reversals)


def may_be_for_this(
    reversal: Reversal, payment: Payment, key: EffectKey, owed: Money, other_reversals: Sequence[EarlierReversal]
) -> tuple[Refund, ...]:
    """The same, also where only a person can tell whether they were for this order or for another one of the payment."""
    mine = _claim(reversal, missing=owed, at_most=owed)
    return _shared_out(reversal, mine, payment, key, other_reversals, excess=True)


def _claim(reversal: Reversal, *, missing: Money, at_most: Money) -> Claim:
    """`reversal` with its refunds as they are now: what it counts already makes up for nothing more."""
    counted = {refund.reference: refund.amount for refund in reversal.live_refunds}
    before = reversal.references.union(reversal.planned.earlier, reversal.asked_about)
    return Claim(missing, at_most, counted, before)


def left_to_other_orders(
    reversal: Reversal, payment: Payment, key: EffectKey, owed: Money, other_reversals: Sequence[EarlierReversal]
) -> Money:
    """What the gateway has of a shared payment that is theirs. What our customer has paid back is not at the gateway any
    more: it does not make up for that."""
    theirs = _of_other_orders(reversal, payment, key)
    mine = _claim(reversal, missing=owed, at_most=owed)
    before = [other.claim(payment) for other in other_reversals]
    shares = share_out(payment, [*before, *theirs, mine])[len(before) : -1]
    refunded = (part for share in shares for part in share.values())
    missing = Money.total((claim.missing for claim in theirs), owed.currency)
    return max(missing - Money.total(refunded, owed.currency), Money.zero(owed.currency))


def _of_other_orders(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Claim, ...]:
    """What was captured of a shared payment for them, by now, less what their own cancellations have refunded since."""
    planned = reversal.planned
    if planned.share is None:
        return ()
    known = reversal.references | frozenset(planned.earlier)
    counted = {
        refund.reference: refund.amount
        for refund in payment.refunds
        if refund.key is not None
        and not refund.status.has_failed
        and refund.reference not in known
        and not is_ours(refund, key)
    }
    zero = Money.zero(planned.share.currency)
    taken = planned.refundable + planned.captured_since(payment)
    theirs = max(taken - planned.share - Money.total(counted.values(), zero.currency), zero)
    return (Claim(theirs, theirs, counted, frozenset(planned.earlier)),)


def _shared_out(
    reversal: Reversal,
    mine: Claim,
    payment: Payment,
    key: EffectKey,
    other_reversals: Sequence[EarlierReversal],
    *,
    excess: bool = False,
) -> tuple[Refund, ...]:
    """The refunds of others that count here, each with the part that does. `excess`: also the rest of such a refund that
    makes up for nothing."""
    claims = [*(other.claim(payment) for other in other_reversals), *_of_other_orders(reversal, payment, key), mine]
    *shares_of_others, my_share = share_out(payment, claims)
    of_others = [*(claim.counted for claim in claims), *shares_of_others]
    found = []
    for refund in payment.refunds:
        if refund.reference not in my_share:
            continue
        parts = (part[refund.reference] for part in of_others if refund.reference in part)
        rest = refund.amount - Money.total(parts, refund.amount.currency)
        amount = rest if excess else my_share[refund.reference]
        part_for = None if amount == refund.amount else key.cancellation_id
        found.append(refund.model_copy(update={"amount": amount, "part_for": part_for}))
    return tuple(found)
