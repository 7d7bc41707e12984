"""What a look at the refunds of a tender finds once it was reversed: ours as they are now, and what others gave besides.

What others refund at the gateway is known only there. They may do so although the money went another way (by hand, as store
credit): then the customer has it twice, and a person is asked to collect it.
"""

from domain.keys import EffectKey
from domain.payment import Payment, Refund
from domain.reversal import Reversal, is_ours, made_by_others


def refunds_found(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """While the cancellation is under way: what others have refunded since the plan gives back what is owed, or once more
    what went another way."""
    counted = known_refunds(reversal, payment, key)
    now = reversal.with_refunds(payment, counted)
    twice = now.elsewhere - now.overpaid - now.collected
    return (*counted, *made_by_others(now, payment, now.outstanding + max(twice, twice - twice)))


def refunds_found_after_end(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """What others refund after the end may be for something else, such as goods that were sent back. It counts as far as the
    customer would have more than was taken from them: by what they have, and what they are owed."""
    counted = known_refunds(reversal, payment, key)
    now = reversal.with_refunds(payment, counted)
    given = payment.refunded + now.elsewhere + now.outstanding
    beyond = given - payment.captured - now.overpaid - now.collected
    return (*counted, *made_by_others(now, payment, max(beyond, beyond - beyond)))


def known_refunds(reversal: Reversal, payment: Payment, key: EffectKey) -> tuple[Refund, ...]:
    """Those that the books know, those that a person has named as their proof, and ours that no book knows yet."""
    known = reversal.references
    return tuple(refund for refund in payment.refunds if refund.reference in known or is_ours(refund, key))
