"""What the earlier cancellations of an order leave of a payment to the next one."""

from collections.abc import Sequence

from domain.base import Value
from domain.money import Money
from domain.payment import Payment


class EarlierReversal(Value):
    """What another cancellation of the order did to a tender.

    `released` is the part of a reservation that it gave up and that will not be captured: the gateway may still reserve it.
    `due` is its part of what was captured, of which `of_provider` is the tender's provider's to give back: by `refunds`, by
    others where one of these has failed, or later. The rest went another way, or a person declared it not due.
    `paid_back` is what the customer has paid back of these refunds, which the provider does not have. `another_way` is what
    the customer has got another way, less all that they have paid back or may keep. `before`: the refunds that there were
    when it was planned.
    """

    cancellation_id: str
    released: Money
    due: Money
    of_provider: Money
    another_way: Money
    refunds: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    paid_back: Money | None = None

    def beyond_refunds(self, payment: Payment) -> Money:
        """What of its part its provider has not given back. It is not the next cancellation's to give back. A refund may
        have failed since the books heard of it last, so the provider's word counts. Below zero: what its provider has given
        beyond it and the customer has paid back, which is the next cancellation's to give back."""
        beyond = self.due - self._held(payment)
        return max(beyond, -(self.paid_back or Money.zero(self.due.currency)))

    def missing(self, payment: Payment) -> Money:
        """What its provider is still to give back."""
        return max(self.of_provider - self._held(payment), Money.zero(self.due.currency))

    def _held(self, payment: Payment) -> Money:
        holds = (r.amount for r in payment.refunds if r.reference in self.refunds and not r.status.has_failed)
        return Money.total(holds, self.due.currency)


def left_to_earlier(reversals: Sequence[EarlierReversal], payment: Payment) -> Money:
    """What the provider still counts of a payment, and these cancellations give back. What others have refunded since one of
    them was planned makes up for a refund of it that has failed: the provider has not got that any more."""
    known = {reference for earlier in reversals for reference in earlier.refunds}
    by_others = {
        refund.reference: refund.amount
        for refund in payment.refunds
        if refund.key is None and refund.reference not in known and not refund.status.has_failed
    }
    left = Money.zero(payment.captured.currency)
    for earlier in reversals:
        left += earlier.beyond_refunds(payment)
        missing = earlier.missing(payment)
        for reference, amount in by_others.items():
            made_up = min(amount, missing) if reference not in earlier.before else missing - missing
            by_others[reference] -= made_up
            missing -= made_up
            left -= made_up
    return left
