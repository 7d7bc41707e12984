"""What a look at the refunds of a tender finds once it was reversed: ours as they are now, and what others gave besides.

What others refund at the gateway is known only there. They may do so although the money went another way (by hand, as store
credit): then the customer has it twice, and a person is asked to collect it.
"""

from collections.abc import Sequence

from domain.earlier import EarlierReversal
from domain.keys import EffectKey
from domain.money import Money
from domain.payment import Payment, Refund
from domain.reversal import Reversal
from domain.step import StepName


def refunds_found(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """While the cancellation is under way: what others have refunded since the plan gives back what is owed, or once more
    what went another way."""
    counted = known_refunds(reversal, payment, key)
    now = reversal.with_refunds(payment, counted)
    twice = now.elsewhere - now.overpaid - now.collected
    return (*counted, *made_by_others(now, payment, now.outstanding + max(twice, twice - twice)))


def refunds_found_after_end(
    reversal: Reversal, payment: Payment, key: EffectKey, others: Sequence[EarlierReversal]
) -> tuple[Refund, ...]:
    """What others refund after the end may be for something else, such as goods that were sent back. It counts as far as the
    customer would have more than was taken from them: by what they have, from all cancellations of the order, and what they
    are owed. What one of the `others` counts is not counted again."""
    counted = known_refunds(reversal, payment, key)
    now = reversal.with_refunds(payment, counted)
    another_way = now.elsewhere + Money.total((other.another_way for other in others), payment.captured.currency)
    given = payment.refunded + another_way + now.outstanding
    beyond = given - payment.captured - now.overpaid - now.collected
    taken = frozenset(reference for other in others for reference in other.refunds)
    return (*counted, *made_by_others(now, payment, max(beyond, beyond - beyond), taken))


def known_refunds(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """Those that the books know, those that a person has named as their proof, and ours that no book knows yet."""
    known = reversal.references
    return tuple(refund for refund in payment.refunds if refund.reference in known or is_ours(refund, key))


def is_ours(refund: Refund, key: EffectKey) -> bool:
    """Whether a refund at the gateway was made for the cancellation and the tender of `key`, under whatever number."""
    made_under = EffectKey.read(refund.key)
    return made_under is not None and made_under.is_same_step(
        EffectKey(key.cancellation_id, StepName.REVERSE_PAYMENT, key.target)
    )


def made_by_others(
    reversal: Reversal, payment: Payment, owed: Money, taken: frozenset[str] = frozenset()
) -> tuple[Refund, ...]:
    """Refunds that somebody made at the gateway since the plan was made, and that do not count yet: they give back what is
    planned here, and are credited under their own references. One that comes to more than is owed covers it where no smaller
    ones do: a person hears of the excess. `taken`: those that another cancellation counts."""
    zero = owed - owed
    earlier = reversal.planned.earlier
    known = reversal.references | taken
    theirs = [
        refund
        for refund in payment.refunds
        if refund.reference not in earlier
        and refund.key is None
        and refund.reference not in known
        and not refund.status.has_failed
    ]
    found: list[Refund] = []
    for refund in theirs:
        if refund.amount <= owed:
            found.append(refund)
            owed -= refund.amount
    for refund in theirs:
        if refund not in found and owed > zero:
            found.append(refund)
            owed -= refund.amount
    return tuple(found)
