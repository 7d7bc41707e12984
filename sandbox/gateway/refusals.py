"""The words in which Stripe refuses a refund, and what else it says with them (docs.stripe.com/error-codes).

What is refused before the operation has begun is not kept under the idempotency key; everything else is repeated for a day.
"""

from dataclasses import dataclass

from sandbox.gateway.errors import ApiError


@dataclass(frozen=True)
class RefusedRefund:
    message: str
    status: int = 400
    kind: str = "invalid_request_error"
    param: str | None = None
    begun: bool = True


_EXPIRED_CARD = "expired_card"
_WITHOUT_CODE = {"no_code", "no_code_but_amount"}

REFUSALS = {
    _EXPIRED_CARD: RefusedRefund("Your card has expired.", status=402, kind="card_error"),
    "charge_disputed": RefusedRefund("The charge has been charged back."),
    "refund_disputed_payment": RefusedRefund("This payment is disputed and cannot be refunded."),
    "charge_not_refundable": RefusedRefund("This charge cannot be refunded."),
    "charge_already_refunded": RefusedRefund("The charge has already been refunded."),
    "balance_insufficient": RefusedRefund("Your balance is not sufficient for this refund."),
    "insufficient_funds": RefusedRefund("Your balance is not sufficient for this refund."),
    "livemode_mismatch": RefusedRefund("A live object was asked for with a test key.", begun=False),
    "parameter_missing": RefusedRefund("instructions_email is needed.", param="instructions_email", begun=False),
    "parameter_unknown": RefusedRefund("Received unknown parameter: amount_off", param="amount_off", begun=False),
    "account_invalid": RefusedRefund("The key has no access to the account.", status=403, begun=False),
    "api_key_expired": RefusedRefund("The API key has expired.", status=401, begun=False),
    "amount_too_small": RefusedRefund("The amount is below the least that can be refunded.", param="amount"),
    "lock_timeout": RefusedRefund("The object is in use.", status=429, begun=False),
    "no_code": RefusedRefund("This refund is not possible."),
    "no_code_but_amount": RefusedRefund("This amount is not possible.", param="amount"),
}


def refuse(code: str | None) -> ApiError:
    """By the word that a fault names: a card that has expired, where it names none."""
    code = code or _EXPIRED_CARD
    refusal = REFUSALS[code]
    return ApiError(
        refusal.status,
        refusal.message,
        kind=refusal.kind,
        code=None if code in _WITHOUT_CODE else code,
        param=refusal.param,
        stored=refusal.begun,
    )
