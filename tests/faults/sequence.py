"""The sequence in which a roll-back undoes the steps: I9."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from domain.facts import EffectOutcome
from domain.keys import EffectKey
from domain.order import TenderKind
from domain.step import StepName
from tests.faults.model import FAILED, REFUNDED, RELEASED, RESERVED, Invariant, Noted, Recorded, World

Row = tuple[StepName, str]

_UNDO_OF = {
    StepName.STOP_SHIPMENT: StepName.RESUME_SHIPMENT,
    StepName.REVERSE_PAYMENT: StepName.RESTORE_PAYMENT,
    StepName.CREDIT_REFUND: StepName.REVOKE_REFUND,
}
_STEP_OF = {
    "label.void_submitted": StepName.STOP_SHIPMENT,
    "intercept.requested": StepName.STOP_SHIPMENT,
    "gift_card.deactivated": StepName.STOP_SHIPMENT,
    "withdraw_pick": StepName.STOP_SHIPMENT,
    "label.bought": StepName.RESUME_SHIPMENT,
    "intercept.cancelled": StepName.RESUME_SHIPMENT,
    "gift_card.activated": StepName.RESUME_SHIPMENT,
    "resume_pick": StepName.RESUME_SHIPMENT,
    REFUNDED: StepName.REVERSE_PAYMENT,
    RELEASED: StepName.REVERSE_PAYMENT,
    FAILED: StepName.RESTORE_PAYMENT,
    RESERVED: StepName.RESTORE_PAYMENT,
}
"""Which step does what the counterparts say that they did."""


@dataclass(frozen=True)
class _Period:
    begun: float
    over: float


@dataclass(frozen=True)
class _Undone:
    step: StepName
    target: str
    made: _Period
    undone: _Period


def undone_last_first(world: World) -> Iterator[tuple[Invariant, str]]:
    """What was done after a step is undone when the undoing of that step begins. When something was done and undone is what
    carrier, gateway, stored value and order management system say. The notes say it only where none of them does: of credit
    notes, of what a person does, and of a label that is charged on its use.

    The parcels of a plan are ordered to be stopped at once, in its order, and so are its payments to be reversed: who has
    ordered them undoes them by that order, too. That two of them were not under way at once is read from the notes: whatever
    these say wrongly, the money and the parcels are checked besides."""
    done = _read_moments(world)
    for recorded in world.cancellations:
        for earlier, later in permutations(_steps_undone(recorded, done), 2):
            was_last = earlier.made.over < later.made.begun and _was_ordered_before(recorded, earlier, later)
            if was_last and earlier.undone.begun < later.undone.over:
                first, then = (f"{made.step} of {made.target}" for made in (earlier, later))
                yield Invariant.COMPENSATION, f"{first} was undone before {then}, which was done after it, was"


def _was_ordered_before(recorded: Recorded, one: _Undone, other: _Undone) -> bool:
    if one.step is not other.step:
        return True
    planned = {target: place for place, target in enumerate(recorded.planned)}
    if planned.get(one.target, -1) > planned.get(other.target, -1):
        return False
    notes = _read_notes(recorded)
    first, then = notes.get((one.step, one.target)), notes.get((other.step, other.target))
    return not (first and then) or _by_notes(first).over < _by_notes(then).begun


def _steps_undone(recorded: Recorded, done: Mapping[Row, Sequence[float]]) -> list[_Undone]:
    """Those whose undoing has begun in the roll-back. Before it a parcel may be let go on, where a person gives up its
    stop."""
    since, notes, found = recorded.rolled_back_at, _read_notes(recorded), []
    if since is None:
        return []
    for step, undo in _UNDO_OF.items():
        for target in sorted({target for name, target in (*done, *notes) if name is undo}):
            undone = _find_period(recorded, (undo, target), done, notes, since)
            made = _find_period(recorded, (step, target), done, notes, recorded.began_at)
            if made is not None and undone is not None:
                found.append(_Undone(step, target, made, undone))
    return found


def _find_period(
    recorded: Recorded,
    row: Row,
    done: Mapping[Row, Sequence[float]],
    notes: Mapping[Row, Sequence[Noted]],
    since: float,
) -> _Period | None:
    """None: it was not done since then, or not by this cancellation."""
    until = recorded.ended_at
    moments = [at for at in done.get(row, ()) if at >= since and (until is None or at <= until)]
    if moments:
        return _Period(min(moments), max(moments))
    noted = notes.get(row)
    return _by_notes(noted) if noted and noted[0].at >= since else None


def _by_notes(noted: Sequence[Noted]) -> _Period:
    over = next((note.at for note in noted if note.outcome is EffectOutcome.DONE), noted[-1].at)
    return _Period(noted[0].at, over)


def _read_notes(recorded: Recorded) -> Mapping[Row, Sequence[Noted]]:
    found: dict[Row, list[Noted]] = defaultdict(list)
    for note in recorded.effects:
        if key := EffectKey.read(note.key):
            found[key.step, key.target].append(note)
    return dict(found)


def _read_moments(world: World) -> Mapping[Row, Sequence[float]]:
    """Nobody has undone a refund that a bank fails. Store credit is no step that is undone."""
    found: dict[Row, list[float]] = defaultdict(list)
    for parcel in world.parcels:
        for effect in parcel.effects:
            if effect.at and (step := _STEP_OF.get(effect.kind)):
                found[step, parcel.shipment.shipment_id].append(effect.at)
    for shown in world.at_shop:
        if shown.at and (step := _STEP_OF.get(shown.kind)):
            found[step, shown.target].append(shown.at)
    cards = {tender.tender_id for tender in world.order.tenders if tender.kind is TenderKind.CARD}
    for money in world.money:
        in_its_place = money.on_account and money.tender_id in cards
        by_bank = money.kind == FAILED and money.key is None
        if money.at and not (money.by_others or in_its_place or by_bank) and (step := _STEP_OF.get(money.kind)):
            found[step, money.tender_id].append(money.at)
    return dict(found)
