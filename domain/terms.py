"""What the policy sets for the course of one cancellation: its clocks, and how money may go back."""

from datetime import timedelta
from enum import StrEnum

from domain.base import Value
from domain.request import FRAUD, ReasonCode


class RefundIntercepted(StrEnum):
    """When an intercepted parcel counts as stopped, so that its money may go back."""

    ON_ACCEPTANCE = "on_acceptance"
    ON_RETURN_SCAN = "on_return_scan"
    ON_RECEIPT = "on_receipt"


class RefundMethod(StrEnum):
    """The other ways to give money back when the original tender cannot take it."""

    STORE_CREDIT = "store_credit"
    BANK_TRANSFER = "bank_transfer"


class Terms(Value):
    """What the policy sets for the course of one cancellation. It travels in the plan, so that a run keeps the terms it
    was decided under. `fallbacks` are the other ways to have the money that a customer is offered, in this sequence."""

    refund_intercepted: RefundIntercepted = RefundIntercepted.ON_RETURN_SCAN
    fallbacks: tuple[RefundMethod, ...] = (RefundMethod.STORE_CREDIT, RefundMethod.BANK_TRANSFER)
    approval_reminder: timedelta = timedelta(hours=24)
    approval_escalation: timedelta = timedelta(days=2)
    approval_expiry: timedelta = timedelta(days=3)
    carrier_poll: timedelta = timedelta(hours=2)
    carrier_patience: timedelta = timedelta(days=10)
    settlement_poll: timedelta = timedelta(hours=6)
    settlement_due: timedelta = timedelta(days=7)
    attention_due: timedelta = timedelta(days=1)
    next_round: timedelta = timedelta(minutes=10)
    """How long a step whose counterpart does not answer rests before it is tried again."""


def terms_for(terms: Terms, reason: ReasonCode, *, suspect: bool = False) -> Terms:
    """A suspect's money goes back to the tender that it came from, or nowhere: other ways launder it. So for every request
    with such a reason, whether it opens a cancellation or joins one."""
    return terms.model_copy(update={"fallbacks": ()}) if suspect or reason in FRAUD else terms
