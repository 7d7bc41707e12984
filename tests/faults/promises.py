"""What each act promises, besides what may never be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.outcome import Outcome
from tests.faults.model import Invariant, Verb, Violation, World
from tests.faults.words import HARMLESS, NO_ANSWER, Answer, Word

_UNDONE = {
    Word.WITHDRAW: Outcome.WITHDRAWN,
    Word.REJECT: Outcome.ROLLED_BACK,
    Word.ROLL_BACK: Outcome.ROLLED_BACK,
}


@dataclass(frozen=True)
class End:
    """How a cancellation ends: its outcome, and what the customer has by then."""

    outcome: Outcome | None
    given: int

    @classmethod
    def of(cls, world: World) -> "End":
        outcome = world.cancellations[-1].outcome if world.cancellations else None
        return cls(outcome, world.given_back + world.by_hand)


@dataclass(frozen=True)
class Asked:
    """A word, and how it was answered. None: not at all."""

    word: Word
    answer: Answer | None


def broken_promises(world: World, usual: End | None, asked: Sequence[Asked], *, lost: bool = False) -> list[Violation]:
    """`usual` is the end of the same story undisturbed; None: people had to help it to another one. `lost`: a run was ended
    from outside, so that a sender may not know how it was answered."""
    ends = _ends(world, usual, asked) if usual else []
    found = [*_unanswered(asked, lost=lost), *_contradictions(world), *ends]
    return [
        Violation(invariant=invariant, order_id=world.order.order_id, sentence=sentence)
        for invariant, sentence in found
    ]


def _unanswered(asked: Sequence[Asked], *, lost: bool) -> list[tuple[Invariant, str]]:
    found = []
    for said in asked:
        if said.answer is None:
            found.append((Invariant.ANSWERED, f"nobody has answered {said.word}"))
        elif said.answer.accepted is False and not said.answer.sentence:
            found.append((Invariant.ANSWERED, f"{said.word} was refused without a sentence"))
        elif said.answer.accepted is None and not lost:
            found.append((Invariant.ANSWERED, f"whoever said {said.word} cannot know: {said.answer.sentence}"))
    return found


def _contradictions(world: World) -> list[tuple[Invariant, str]]:
    accepted = {said.verb for said in world.said if said.accepted}
    both = accepted >= {Verb.APPROVE, Verb.REJECT}
    return [(Invariant.ANSWERED, "it was approved and refused, and both were accepted")] if both else []


def _ends(world: World, usual: End, asked: Sequence[Asked]) -> list[tuple[Invariant, str]]:
    """What was refused has no effect; what was accepted has its own. Another request for a part of the order, after the
    first one has ended, is about further units."""
    end = End.of(world)
    usual = replace(usual, given=usual.given * max(len(world.carried_out), 1))
    accepted = [said.word for said in asked if said.answer is not None and said.answer.accepted is not False]
    for word, outcome in _UNDONE.items():
        sure = any(said.word is word and said.answer is not None and said.answer.accepted for said in asked)
        if sure and end.outcome is not outcome:
            return [(Invariant.ANSWERED, f"{word} was accepted, and it ended {end.outcome}")]
    changing = [word for word in accepted if word not in HARMLESS]
    if not changing and end != usual:
        said = ", ".join(said.word for said in asked) or "nothing that was said"
        return [(Invariant.TERMINAL, f"it ends as {end} instead of {usual} by {said}")]
    if set(changing) == {Word.CANCEL} and end != usual and end.outcome is not Outcome.ROLLED_BACK:
        return [(Invariant.TERMINAL, f"it ends as {end}, neither as {usual} nor rolled back")]
    return []


def taken_at_once(asked: Sequence[Asked], question: frozenset[Word]) -> list[Word]:
    """Which of the answers to one question were accepted."""
    return [
        said.word
        for said in asked
        if said.word in question and said.word not in NO_ANSWER and said.answer is not None and said.answer.accepted
    ]
