"""Whether somebody has said the same before, so that it is kept once; and what makes it a new answer."""

from domain.case import Case
from domain.facts import (
    Approved,
    Chosen,
    DisputeSeen,
    EffectEnded,
    EffectOutcome,
    Fact,
    NothingDue,
    RefundSeen,
    Reopened,
    RetryOrdered,
    RollBackOrdered,
    SettledByHand,
    StopSeen,
    Written,
)
from domain.request import Actor
from domain.shipment import StopStatus
from domain.step import MONEY_STEPS, StepName


def is_repetition(case: Case, said: Written) -> bool:
    """Whether the same person has said the same since it was last asked. An order to try again is a new one each time."""
    if isinstance(said, RetryOrdered):
        return False
    plain = _without_remarks(said)
    since = max((at for at, entry in enumerate(case.entries) if _asks_anew(entry.fact, said)), default=-1)
    return any(_without_remarks(entry.fact) == plain for entry in case.entries[since + 1 :])


def said_before(  # noqa: PLR0917 (the parts of a message)
    case: Case,
    kind: type[SettledByHand | NothingDue | RollBackOrdered],
    by: Actor,
    reference: str,
    step: StepName | None,
    target: str | None,
) -> tuple[StepName, str] | None:
    """The step and target about which this person has said the same with the same reference, where a message does not name
    them: sent again, it is about the step that waited then, and not about the one that waits now."""
    if step is not None and target is not None:
        return None
    for entry in reversed(case.entries):
        fact = entry.fact
        if not isinstance(fact, SettledByHand | NothingDue | RollBackOrdered) or not isinstance(fact, kind):
            continue
        if (fact.by, fact.reference) == (by, reference) and fact.step and step in {None, fact.step}:
            return (fact.step, fact.target) if target in {None, fact.target} else None
    return None


def _without_remarks(fact: Fact) -> Fact:
    """What of it makes it the same: who, about what, and the proof. Not the note, the sender's limit, nor what the process
    adds to it."""
    remarks = {"note": "", "amount": None, "sentence": "", "at_most": None}
    return fact.model_copy(update={name: plain for name, plain in remarks.items() if name in type(fact).model_fields})


def _asks_anew(fact: Fact, said: Written) -> bool:
    """Whether this fact opens the question anew that `said` answers, so that the same answer is a new one. What came of the
    answer itself does not."""
    step = StepName.REVERSE_PAYMENT if isinstance(said, Chosen) else getattr(said, "step", None)
    target = getattr(said, "target", None)
    match fact:
        case Reopened():
            return not isinstance(said, Approved)
        case RefundSeen(target=tender, refund=refund) if tender == target:
            failed = refund.status.has_failed
            return step in MONEY_STEPS if failed else step is StepName.CHECK_REFUND
        case RefundSeen(refund=refund) if isinstance(said, SettledByHand):
            return step in MONEY_STEPS and refund.reference == said.reference  # of another tender: it was no proof
        case DisputeSeen(target=tender, charge_backs=lost) if lost:
            return tender == target and step is StepName.CHECK_REFUND
        case EffectEnded(key=key, outcome=EffectOutcome.REFUSED | EffectOutcome.FAILED):
            return key.target == target and _is_same_question(key.step, step)
        case RetryOrdered(step=ordered, target=what):
            # What a person has paid stays paid, whatever is tried afterwards.
            return what == target and _is_same_question(ordered, step) and not isinstance(said, SettledByHand)
        case StopSeen(stop=stop):
            goes_on = stop.status in {StopStatus.DECLINED, StopStatus.MOVING}
            return stop.shipment_id == target and step is StepName.STOP_SHIPMENT and goes_on
        case _:
            return False


def _is_same_question(step: StepName, other: StepName | None) -> bool:
    """However a tender's money goes back, it is one question."""
    return step is other or {step, other} <= MONEY_STEPS
