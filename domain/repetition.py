"""Whether somebody has said the same before, so that it is kept once."""

from domain.case import Case
from domain.facts import Fact, NothingDue, RetryOrdered, RollBackOrdered, SettledByHand, Written
from domain.request import Actor
from domain.step import MONEY_STEPS, StepName


# Rule: The same answer to a question that is asked anew is another answer
def is_repetition(case: Case, said: Written, asked_after: int = 0) -> bool:
    """Whether the same person has said the same since it was last asked: after this fact of the books (0: it was asked once
    at most), or whenever it was where nothing more is owed that they could have paid. An order to try again is a new one
    each time."""
    if isinstance(said, RetryOrdered):
        return False
    if isinstance(said, SettledByHand) and said.step in MONEY_STEPS and case.planned(said.target) is not None:
        asked_after = asked_after if case.reversal(said.target).payable_by_hand else 0
    plain = _without_remarks(said)
    since = (entry.fact for entry in case.entries if entry.seq > asked_after or not entry.seq)
    return any(_without_remarks(fact) == plain for fact in since)


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
