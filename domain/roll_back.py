"""Why everything is undone, by the facts."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.facts import ApprovalRefused, Entry, RollBackOrdered, RollBackReason, WithdrawalAsked
from domain.outcome import Outcome
from domain.request import ActorKind


@dataclass(frozen=True)
class RollBackCause:
    """Why everything is undone. `failed`: a step's failure is the cause, so the run ends as failed."""

    outcome: Outcome
    reason: RollBackReason
    sentence: str
    failed: bool = False


def cause_of(entries: Sequence[Entry]) -> RollBackCause | None:
    """The first order among these to undo everything."""
    for entry in entries:
        match entry.fact:
            case WithdrawalAsked(by=by):
                by_customer = by.kind is ActorKind.CUSTOMER
                reason = RollBackReason.WITHDRAWN if by_customer else RollBackReason.WITHDRAWN_BY_STAFF
                return RollBackCause(Outcome.WITHDRAWN, reason, f"Withdrawn by {by}.")
            case ApprovalRefused(by=by):
                sentence = f"The approval was refused by {by}."
                return RollBackCause(Outcome.ROLLED_BACK, RollBackReason.APPROVAL_REFUSED, sentence)
            case RollBackOrdered(outcome=outcome, reason=reason, sentence=sentence, failed=failed):
                return RollBackCause(outcome, reason, sentence, failed)
            case _:
                pass
    return None
