"""The effects of a cancellation, as its facts have them: which key comes next, what is done, what is unknown, what
is to be undone."""

from collections.abc import Sequence
from datetime import datetime

from domain.facts import (
    DisputeSeen,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Entry,
    NothingDue,
    RefundElsewhereSeen,
    RefundSeen,
    Reopened,
    ReversalSeen,
    SettledByHand,
    StepOrdered,
    StopSeen,
)
from domain.keys import EffectKey
from domain.shipment import StopStatus
from domain.step import MONEY_STEPS, UNDOABLE, StepName


# Rule: The number of a key rises only after a confirmed failure
def next_key(entries: Sequence[Entry], first: EffectKey) -> EffectKey:
    """The key under which the step of `first` acts next for its target: the highest that was noted, or the one after
    it, where a failure is confirmed since: of that effect, of a refund of the tender that is to be made up for, or of the
    stop of a parcel that goes on.

    Number 1 was noted, and its answer was lost: it is number 1 again, because it may have been made. It was refused, or the
    refund that it made has failed: number 2. Somebody else's refund that was taken over has failed: number 2 as well, but
    only once it is known what became of number 1."""
    key = first
    noted = 0
    known = refused = gone = others_gone = False
    for entry in entries:
        match entry.fact:
            case EffectNoted(key=other) if other.is_same_step(key) and other.n >= key.n:
                if other.n > noted:
                    key = EffectKey(other.cancellation_id, other.step, other.target, other.n)
                    refused = gone = others_gone = False
                noted, known = other.n, False
            case EffectEnded(key=other, outcome=outcome) if other.is_same_step(key) and other.n == key.n:
                known = outcome is not EffectOutcome.UNKNOWN
                refused = outcome in {EffectOutcome.FAILED, EffectOutcome.REFUSED}
            case RefundSeen(refund=refund) if refund.key == str(key):
                # It was made. A confirmed failure stays one until this very effect is seen alive.
                known, gone = True, refund.status.has_failed
                refused = refused and gone
            case RefundSeen(target=tender, refund=refund) if tender == key.target and key.step in MONEY_STEPS:
                # Somebody else's refund that was taken over and failed: what makes up for it is an effect of its own, once
                # it is known what became of this one.
                others_gone = others_gone or refund.status.has_failed
            case StopSeen(stop=stop) if noted and (key.step, key.target) == (StepName.STOP_SHIPMENT, stop.shipment_id):
                # The parcel goes on all the same: stopping it once more is an effect of its own.
                gone = gone or stop.status in {StopStatus.DECLINED, StopStatus.MOVING}
            case _:
                pass
    return key.next if refused or gone or (known and others_gone) else key


def is_done(entries: Sequence[Entry], step: StepName, target: str) -> bool:
    """Whether the step has been carried out for this target, or a person has settled it. When a roll-back is opened again, a
    tender is to be undone once more of which a refund has failed since, or a dispute has changed, and so is what ends it."""
    changed_since = False
    for entry in reversed(entries):
        match entry.fact:
            case RefundSeen(target=tender, refund=refund) if step is StepName.RESTORE_PAYMENT and tender == target:
                changed_since = changed_since or refund.status.has_failed
            case DisputeSeen(target=tender) if step is StepName.RESTORE_PAYMENT and tender == target:
                changed_since = True
            case Reopened() if step is StepName.RELEASE_ORDER or changed_since:
                return False
            case EffectEnded(key=key, outcome=outcome) if key.step is step and key.target == target and not key.part:
                return outcome is EffectOutcome.DONE
            case SettledByHand(step=settled, target=what) | NothingDue(step=settled, target=what) if (
                settled is step and what == target
            ):
                return True
            case _:
                pass
    return False


def unknown(entries: Sequence[Entry], target: str) -> tuple[EffectKey, ...]:
    """Effects on the money of a tender that may have happened: noted, and their outcome is in no book."""
    found: dict[str, EffectKey] = {}
    for entry in entries:
        match entry.fact:
            case EffectNoted(key=key) if key.step is StepName.REVERSE_PAYMENT and key.target == target:
                found[str(key)] = key
            case EffectEnded(key=key, outcome=outcome) if outcome is not EffectOutcome.UNKNOWN:
                found.pop(str(key), None)
            case RefundSeen(refund=refund) if refund.key:
                found.pop(refund.key, None)
            case _:
                pass
    return tuple(found.values())


def last_change(entries: Sequence[Entry], step: StepName, target: str) -> datetime | None:
    """When the books last learnt something of a step's effect: its wait is due some time after it."""
    for entry in reversed(entries):
        match entry.fact:
            case EffectNoted(key=key) | EffectEnded(key=key) if (key.step, key.target) == (step, target):
                return entry.at
            case StopSeen(stop=stop) if step is StepName.STOP_SHIPMENT and stop.shipment_id == target:
                return entry.at
            case RefundSeen(target=tender) | ReversalSeen(target=tender) if (
                step is StepName.REVERSE_PAYMENT and tender == target
            ):
                return entry.at
            case _:
                pass
    return None


# Rule: What has, or may have, had an effect is undone, the last step first
def steps_to_undo(entries: Sequence[Entry]) -> tuple[tuple[StepName, str], ...]:
    """Steps that have, or may have, had an effect, the last first: what was ordered or noted counts, whoever did it."""
    found: dict[tuple[StepName, str], None] = {}
    for entry in entries:
        match entry.fact:
            case EffectNoted(key=key) if key.step in UNDOABLE:
                found.setdefault((key.step, key.target))
            case StepOrdered(step=step, target=target) | SettledByHand(step=step, target=target) if step in UNDOABLE:
                found.setdefault((step, target))
            case RefundElsewhereSeen(tender=tender):  # a person may have said that it was for this
                found.setdefault((StepName.REVERSE_PAYMENT, tender))
            case DisputeSeen(target=tender):  # the bank may have given it back, although nothing was refunded
                found.setdefault((StepName.REVERSE_PAYMENT, tender))
            case _:
                pass
    return tuple(reversed(found))


def is_ordered(entries: Sequence[Entry], step: StepName, target: str) -> bool:
    """Whether the run has ordered the step, and nothing has come of it since."""
    for entry in reversed(entries):
        match entry.fact:
            case StepOrdered(step=ordered, target=what) if (ordered, what) == (step, target):
                return True
            case EffectEnded(key=key) if (key.step, key.target) == (step, target):
                return False
            case _:
                pass
    return False
