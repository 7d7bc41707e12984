"""The gateway port: what the process needs of any payment gateway."""

from typing import Protocol

from domain.money import Money
from domain.payment import Payment, Refund, Refunded


class PaymentGateway(Protocol):
    """Every method raises `Unavailable` (nothing happened, ask again), `OutcomeUnknown` (an effect may have happened:
    the answer was lost, or the gateway failed while it worked) or `Refused`; what is OURS_TO_PUT_RIGHT every one of them may
    be refused with. Amounts are in the payment's currency.

    The keys are idempotency keys: the same key has one effect, ever. They are kept with the effect at the gateway, so
    that `read_payment` finds our own refunds again after the gateway has forgotten the key itself.
    """

    def is_dispute_number(self, text: str) -> bool:
        """Whether a dispute's number here is written like this; asks nobody."""
        ...

    async def read_payment(self, reference: str) -> Payment:
        """The live truth, with every refund there is. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def void(self, payment: Payment, *, key: str) -> Payment:
        """Release what the authorisation still reserves, or close what the customer has not paid yet. `payment` is the
        caller's look at it; returned is the payment after the void, which reserves nothing and cannot be paid. One that was
        captured meanwhile, or that was released or has expired already, is returned as it is: the caller looks at it and
        goes on."""
        ...

    async def refund(self, reference: str, amount: Money, *, key: str) -> Refunded:
        """Make a new refund, or return the one that this key made, with the payment after it. Refused: PAYMENT_DISPUTED,
        REFUND_EXCEEDS_CAPTURED, ALREADY_REFUNDED (nothing is left: reconcile by `read_payment`), AMOUNT_REFUSED,
        REFUND_REFUSED (by the customer's card), REFUND_UNCLEAR."""
        ...

    async def read_refund(self, reference: str) -> Refund:
        """Refused: PAYMENT_NOT_FOUND."""
        ...

    async def cancel_refund(self, reference: str, *, key: str) -> Refund:
        """Stop a refund that has not moved money yet. Refused: REFUND_NOT_CANCELLABLE."""
        ...

    async def authorise_again(self, reference: str, amount: Money, *, key: str) -> Payment:
        """Reserve `amount` again on the payment method behind `reference`, as a new payment, which is returned. Refused:
        NO_MANDATE."""
        ...
