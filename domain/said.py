"""A message of somebody who steers, as the fact that the books keep of it."""

from domain.facts import (
    ApprovalRefused,
    Approved,
    Chosen,
    NothingDue,
    RetryOrdered,
    RollBackOrdered,
    SettledByHand,
    WithdrawalAsked,
    Written,
)
from domain.messages import Approve, ChooseRefundMethod, Reject, Resolution, ResolveStep, RetryStep, Withdraw
from domain.step import StepName

Steering = Approve | Reject | Withdraw | RetryStep | ResolveStep | ChooseRefundMethod


def fact_of(message: Approve | Reject | Withdraw | ChooseRefundMethod) -> Written:
    """Of a message that is about the whole cancellation, or names its tender."""
    by, note = message.actor, message.note
    match message:
        case Approve(at_most=at_most):
            return Approved(by=by, note=note, at_most=at_most)
        case Reject():
            return ApprovalRefused(by=by, note=note)
        case Withdraw():
            return WithdrawalAsked(by=by, note=note)
        case ChooseRefundMethod(target=target, method=method):
            return Chosen(target=target, method=method, by=by, note=note)


def fact_about(message: RetryStep | ResolveStep, step: StepName, target: str, why: str = "") -> Written:
    """Of a message about a step that waits; `why` it does, for a roll-back."""
    by, note = message.actor, message.note
    if isinstance(message, RetryStep):
        return RetryOrdered(step=step, target=target, by=by, note=note)
    reference = message.reference
    if message.resolution is Resolution.ROLL_BACK:
        return RollBackOrdered(
            sentence=f"{by} ordered it ({reference}). {why}".strip(),
            failed=True,
            by=by,
            step=step,
            target=target,
            reference=reference,
            note=note,
        )
    kind = SettledByHand if message.resolution is Resolution.DONE_BY_HAND else NothingDue
    return kind(step=step, target=target, reference=reference, by=by, note=note)
