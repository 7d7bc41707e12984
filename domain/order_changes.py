"""What others change of an order that does not stay frozen, and what a person has said of it. Pure, from the facts."""

from collections.abc import Sequence

from domain.closed import is_settled_by_person
from domain.facts import Entry, OrderChangeSeen
from domain.step import StepName


# Rule: A person's answer about a changed order is about the change that they were shown
def unanswered_change(entries: Sequence[Entry], change: OrderChangeSeen) -> OrderChangeSeen:
    """What of it nobody has answered: whatever others change later is asked about again."""
    answered = _answered(entries)
    return OrderChangeSeen(
        taken={
            line_id: units
            for line_id, units in change.taken.items()
            if all(known.taken.get(line_id) != units for known in answered)
        },
        added={
            line_id: units
            for line_id, units in change.added.items()
            if all(known.added.get(line_id) != units for known in answered)
        },
        money=tuple(words for words in change.money if all(words not in known.money for known in answered)),
    )


def is_asked_about(entries: Sequence[Entry], change: OrderChangeSeen) -> bool:
    """Whether it is what was seen last."""
    seen = (entry.fact for entry in reversed(entries) if isinstance(entry.fact, OrderChangeSeen))
    return next(seen, None) == change


def lines_taken_for_us(entries: Sequence[Entry]) -> frozenset[str]:
    """Lines of which others have taken units out, and a person has said that these are this cancellation's."""
    return frozenset(line_id for known in _answered(entries) for line_id in known.taken)


def _answered(entries: Sequence[Entry]) -> tuple[OrderChangeSeen, ...]:
    seen: list[OrderChangeSeen] = []
    answered: tuple[OrderChangeSeen, ...] = ()
    for entry in entries:
        if isinstance(entry.fact, OrderChangeSeen):
            seen.append(entry.fact)
        elif is_settled_by_person(entry.fact, StepName.CHECK_ORDER):
            answered = (*answered, *seen)
            seen.clear()
    return answered
