"""Stripe's noes and failures in the words of the domain: whose matter each is, and whether anything may have happened.

The codes are those of docs.stripe.com/error-codes. One that is on no list here means nothing to us: a person looks what it
is before the customer is written to. Only Stripe's codes are passed on, never its sentences.
"""

from dataclasses import dataclass

import aiohttp
import stripe

from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable

FAILURES = (stripe.StripeError, aiohttp.ClientError, TimeoutError)
"""What a call can raise: the SDK lets through what happens while it reads the body of an answer."""

REPLAYED = "Idempotent-Replayed"
"""The header of an answer that was given before under the same idempotency key."""

STATE_CHANGED = "payment_intent_unexpected_state"

_DISPUTED = {"charge_disputed", "charge_not_refundable", "refund_disputed_payment"}
_BALANCE = {"balance_insufficient", "insufficient_funds"}
_CARD = {
    "account_closed",
    "bank_account_declined",
    "bank_account_restricted",
    "bank_account_unusable",
    "card_declined",
    "debit_not_authorized",
    "expired_card",
    "expired_payment_method",
    "no_account",
    "payment_method_bank_account_blocked",
    "payment_method_customer_decline",
    "payment_method_not_available",
    "payment_method_provider_decline",
    "payment_method_restricted",
    "refer_to_customer",
}
"""The customer's card, account or bank does not take the money. So says every error of type `card_error` too."""
_AMOUNT = {"amount_too_large", "amount_too_small"}
_SETTINGS = {
    "account_invalid",
    "action_blocked",
    "approval_required",
    "capability_not_active",
    "country_unsupported",
    "invalid_characters",
    "livemode_mismatch",
    "missing",
    "not_allowed_on_standard_account",
    "parameters_exclusive",
    "platform_account_required",
    "request_blocked",
    "secret_key_required",
    "testmode_charges_only",
    "tls_version_unsupported",
    "url_invalid",
}


@dataclass(frozen=True)
class Doing:
    """What a call is about, for the sentences of its errors. `otherwise` is the refusal that has no code of its own; a call
    without one only reads. `refunds`: it gives an amount back."""

    what: str
    otherwise: ErrorCode | None = None
    refunds: bool = False


def is_repeated(error: Exception) -> bool:
    """The answer of an earlier call under the same idempotency key."""
    return isinstance(error, stripe.StripeError) and (error.headers or {}).get(REPLAYED) == "true"


def is_server_error(error: Exception) -> bool:
    return isinstance(error, stripe.StripeError) and (error.http_status or 0) >= 500


def to_step_error(error: Exception, doing: Doing) -> StepError:
    """Every answer of Stripe that is not a success, as the process knows it."""
    what = doing.what
    match error:
        case stripe.AuthenticationError() | stripe.PermissionError():
            return Refused(
                ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
                f"The gateway rejected our API key while {what}: check the key and its permissions.",
            )
        case stripe.RateLimitError():
            return Unavailable(f"The gateway asked to slow down while {what}.", _retry_after(error))
        case stripe.APIError(http_status=409):
            return Unavailable(f"Another call with the same key is under way while {what}.", _retry_after(error))
        case stripe.IdempotencyError():
            return Refused(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                f"The key of this effect was used with other content while {what}: look at the payment's refunds.",
            )
        case stripe.InvalidRequestError() | stripe.CardError() if doing.otherwise or _says_why(error):
            return _refusal(error, doing)
        case _ if doing.otherwise is None or _never_sent(error):
            return Unavailable(f"The gateway gave no usable answer while {what}.", _retry_after(error))
        case _:
            return OutcomeUnknown(
                f"The gateway's answer was lost while {what}: it may have happened and must be looked up.",
                _retry_after(error),
            )


# Rule: Each of the gateway's words for a no has its own meaning
def _refusal(error: stripe.InvalidRequestError | stripe.CardError, doing: Doing) -> Refused:
    what, code = doing.what, error.code or ""
    if code == "charge_already_refunded":
        return Refused(ErrorCode.ALREADY_REFUNDED, f"Nothing is left to give back while {what}: look at its refunds.")
    if code in _DISPUTED:
        return Refused(
            ErrorCode.PAYMENT_DISPUTED,
            f"The bank disputes the payment, or has charged it back ({code}); stopped {what}. Answer the dispute, then "
            "resolve the step with the dispute's number.",
        )
    if code in _BALANCE:
        return Refused(
            ErrorCode.BALANCE_EMPTY,
            f"Our balance at the gateway does not cover it ({code}); stopped {what}. Top the balance up: it is tried again "
            "by itself.",
        )
    if doing.refunds and error.param == "amount" and not code:
        return Refused(
            ErrorCode.REFUND_EXCEEDS_CAPTURED, f"More than is left of the captured amount was asked for while {what}."
        )
    if doing.refunds and (code in _AMOUNT or code.startswith("invalid_charge_amount") or error.param == "amount"):
        return Refused(
            ErrorCode.AMOUNT_REFUSED,
            f"The gateway does not take this amount ({code}); stopped {what}. Give it back another way and resolve the step "
            "with its reference.",
        )
    if _is_setting(code):
        return Refused(
            ErrorCode.PROVIDER_REJECTED_SETTINGS,
            f"The gateway does not accept how we ask ({code}{f', {error.param}' if error.param else ''}); stopped {what}. "
            "Check the account's settings and ours: it is tried again by itself.",
        )
    if doing.otherwise is not ErrorCode.NO_MANDATE and _is_missing(error):
        return Refused(ErrorCode.PAYMENT_NOT_FOUND, f"The gateway knows no such payment or refund; stopped {what}.")
    if doing.refunds and (code in _CARD or isinstance(error, stripe.CardError)):
        return Refused(
            ErrorCode.REFUND_REFUSED,
            f"The gateway refused for good ({code or 'no code'}) while {what}: another way or a person is needed.",
        )
    return Refused(
        doing.otherwise or ErrorCode.REFUND_UNCLEAR,
        f"The gateway refused for good ({code or 'it gave no reason'}) while {what}: a person has to find out why.",
    )


def _says_why(error: stripe.InvalidRequestError | stripe.CardError) -> bool:
    """Asking again will not change the answer to a question either."""
    return _is_missing(error) or _is_setting(error.code or "")


def _is_missing(error: stripe.StripeError) -> bool:
    return error.http_status == 404 or error.code == "resource_missing"


def _is_setting(code: str) -> bool:
    return code in _SETTINGS or code.startswith("parameter_")


def _never_sent(error: Exception) -> bool:
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _retry_after(error: Exception) -> float | None:
    """The seconds that the gateway asks us to wait."""
    if not isinstance(error, stripe.StripeError):
        return None
    try:
        seconds = float((error.headers or {}).get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
