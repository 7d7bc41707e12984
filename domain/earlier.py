"""What the cancellations of an order leave of a payment to one another.

Others' refunds at a payment make up for what cancellations lack there: `share_out` alone says which part of which refund
counts for which of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from domain.base import Value
from domain.money import Money
from domain.payment import ChargeBack, Payment, Refund


class RefundPart(Value):
    """What of a refund counts for one cancellation, where the rest of it counts for others."""

    reference: str
    amount: Money


@dataclass(frozen=True)
class Claim:
    """What a cancellation lacks at a payment. A refund of exactly `missing` makes up for all of it, any other for `at_most`
    in all: after its end a cancellation takes less of a refund that may be for something else. `counted` is what it counts
    of refunds already. `before`: the refunds that make up for nothing of it."""

    missing: Money
    at_most: Money
    counted: Mapping[str, Money]
    before: frozenset[str]


class EarlierReversal(Value):
    """What another cancellation of the order did to a tender.

    - `released`: the part of a reservation that it gave up. It will not be captured; the gateway may still reserve it.
    - `due`: its part of what was captured.
    - `of_provider`: what of `due` the tender's provider gives back: by `refunds`, by others' refunds where one of these has
      failed, or later. The rest went another way, or a person declared it not due.
    - `parts`: what counts of those refunds that are divided among several cancellations.
    - `paid_back`: what the customer has paid back of these refunds. The provider does not have it.
    - `another_way`: what the customer has got another way, less all that they have paid back or may keep.
    - `before`: the refunds that existed when it was planned.
    - `by_bank`: what a person has settled with the number of a lost dispute, or has collected of it.
    """

    cancellation_id: str
    released: Money
    due: Money
    of_provider: Money
    another_way: Money
    refunds: tuple[str, ...] = ()
    parts: tuple[RefundPart, ...] = ()
    before: tuple[str, ...] = ()
    paid_back: Money | None = None
    by_bank: tuple[ChargeBack, ...] = ()

    # Rule: What was paid back of an earlier cancellation's refund is owed again
    def beyond_refunds(self, payment: Payment) -> Money:
        """What of its part its provider has not given back. It is not the next cancellation's to give back. A refund may
        have failed since the books heard of it last, so the provider's word counts. Below zero: what its provider has given
        beyond it and the customer has paid back, which is the next cancellation's to give back."""
        beyond = self.due - self._held(payment)
        return max(beyond, -(self.paid_back or Money.zero(self.due.currency)))

    def claim(self, payment: Payment) -> Claim:
        """What its provider is still to give back."""
        missing = max(self.of_provider - self._held(payment), Money.zero(self.due.currency))
        return Claim(missing, missing, self._counted(payment), frozenset(self.before))

    def _held(self, payment: Payment) -> Money:
        return Money.total(self._counted(payment).values(), self.due.currency)

    def _counted(self, payment: Payment) -> dict[str, Money]:
        parts = {part.reference: part.amount for part in self.parts}
        return {
            refund.reference: parts.get(refund.reference, refund.amount)
            for refund in payment.refunds
            if refund.reference in self.refunds and not refund.status.has_failed
        }


# Rule: What others refunded makes up for the money that cancellations lack, each refund once
def share_out(payment: Payment, claims: Sequence[Claim]) -> tuple[dict[str, Money], ...]:
    """For each claim, what others' refunds make up for that nobody counts yet, by their references. A refund that is just as
    much as one claim lacks, or as all of them lack together, is for these. Then those that fit into a claim count, and what
    is larger is divided, the first claim first.

    Two claims lack 30.00 and 20.00. A refund of 20.00 is for the second one, and a refund of 50.00 is for both. One of 25.00
    fits into the first claim. One of 40.00 fits into neither: 30.00 of it is for the first claim, 10.00 for the second. Of
    60.00, 10.00 is left over."""
    currency = payment.captured.currency
    theirs = [refund.reference for refund in payment.refunds if refund.key is None and not refund.status.has_failed]
    left = {refund.reference: refund.amount - _counted_of(refund, claims) for refund in payment.refunds}
    missing, at_most = [claim.missing for claim in claims], [claim.at_most for claim in claims]
    shares: tuple[dict[str, Money], ...] = tuple({} for _ in claims)

    def give(n: int, reference: str, amount: Money) -> None:
        shares[n][reference] = amount
        left[reference] -= amount
        missing[n] -= min(amount, missing[n])
        at_most[n] -= min(amount, at_most[n])

    def may_have(n: int, reference: str) -> bool:
        known = reference in claims[n].before or reference in claims[n].counted or reference in shares[n]
        return not known and left[reference].amount > 0

    for reference in theirs:
        lacking = [n for n, amount in enumerate(missing) if amount and may_have(n, reference)]
        for group in (*([n] for n in lacking), lacking):  # each claim alone, then all of them together
            if Money.total((missing[n] for n in group), currency) == left[reference]:
                for n in group:
                    give(n, reference, missing[n])
                break
    for must_fit, reference, n in product((True, False), theirs, range(len(claims))):
        if at_most[n] and may_have(n, reference) and (left[reference] <= at_most[n] or not must_fit):
            give(n, reference, min(left[reference], at_most[n]))
    return shares


# Rule: What others had refunded before counts as given until it fails
def given_by_others(payment: Payment, reversals: Sequence[EarlierReversal]) -> tuple[RefundPart, ...]:
    """What others have refunded, without what makes up for what these cancellations lack."""
    claims = [earlier.claim(payment) for earlier in reversals]
    shares = share_out(payment, claims)
    found = []
    for refund in payment.refunds:
        if refund.key is None and not refund.status.has_failed:
            made_up = Money.total(
                (s[refund.reference] for s in shares if refund.reference in s), refund.amount.currency
            )
            rest = refund.amount - _counted_of(refund, claims) - made_up
            found.append(RefundPart(reference=refund.reference, amount=rest))
    return tuple(part for part in found if part.amount.amount > 0)


def _counted_of(refund: Refund, claims: Sequence[Claim]) -> Money:
    counted = (claim.counted[refund.reference] for claim in claims if refund.reference in claim.counted)
    return Money.total(counted, refund.amount.currency)


def left_of_disputes(payment: Payment, other_reversals: Sequence[EarlierReversal]) -> tuple[ChargeBack, ...]:
    """What the bank has given back by each lost dispute, without what a person has counted for the order's other
    cancellations."""
    counted = [given for other in other_reversals for given in other.by_bank]
    left = [back.less(counted) for back in payment.charge_backs]
    return tuple(back for back in left if back.amount)


def settled_later(
    payment: Payment, other_reversals: Sequence[EarlierReversal], before: Sequence[EarlierReversal]
) -> Money | None:
    """What of it a person has counted for the order's cancellations that came after the one that knows those of `before`.
    None: nothing."""
    known, lost = {other.cancellation_id for other in before}, {back.reference for back in payment.charge_backs}
    later = (given for other in other_reversals if other.cancellation_id not in known for given in other.by_bank)
    return Money.total((g.amount for g in later if g.reference in lost), payment.captured.currency) or None


# Rule: What an earlier cancellation gives back, or need not, is left to it
def left_to_earlier(reversals: Sequence[EarlierReversal], payment: Payment) -> Money:
    """What the provider still counts of a payment, and these cancellations give back. What others have refunded makes up for
    a refund that has failed: the provider has not got that any more."""
    shares = share_out(payment, [earlier.claim(payment) for earlier in reversals])
    made_up = Money.total((part for share in shares for part in share.values()), payment.captured.currency)
    return Money.total((earlier.beyond_refunds(payment) for earlier in reversals), payment.captured.currency) - made_up
