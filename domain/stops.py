"""Each shipment of a cancellation as it was last seen, or as a person has said. Pure, from the facts."""

from collections.abc import Sequence

from domain.facts import Entry, NothingDue, SettledByHand, StopSeen
from domain.shipment import Stop, StopAction, StopStatus
from domain.step import StepName


# Rule: A parcel that reaches a customer who has the money back is a person's to fetch
def stops_of(entries: Sequence[Entry], pivot: int | None) -> tuple[Stop, ...]:
    """Each shipment as it was last seen, or as a person has said, whatever was planned for it. `pivot` is where it stands in
    the entries: what is not stopped after it is a person's to fetch, because its money is on its way."""
    found: dict[str, Stop] = {}
    for at, entry in enumerate(entries):
        past = pivot is not None and at > pivot
        match entry.fact:
            case StopSeen(stop=stop):
                moving = past and stop.status is StopStatus.DECLINED
                found[stop.shipment_id] = stop.model_copy(update={"status": StopStatus.MOVING}) if moving else stop
            case SettledByHand(step=StepName.STOP_SHIPMENT, target=target, reference=reference):
                fetched = past or _was_delivered(found.get(target))
                status = StopStatus.COMING_BACK if fetched else StopStatus.STOPPED
                found[target] = _by_hand(target, status, reference, "fetched by hand" if fetched else "")
            case NothingDue(step=StepName.STOP_SHIPMENT, target=target, reference=reference):
                status = StopStatus.LOST if past else StopStatus.DECLINED
                found[target] = _by_hand(target, status, reference, "done without" if past else "")
            case _:
                pass
    return tuple(found.values())


def stopped_by_hand(entries: Sequence[Entry], shipment_id: str) -> str | None:
    """The reference under which a person stopped or fetched a shipment; None: nobody did, or it was given up since."""
    said = _said(entries, shipment_id)
    return said[-1].reference if said and isinstance(said[-1], SettledByHand) else None


def given_up(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The shipments whose stop a person has given up at some time."""
    return tuple(dict.fromkeys(fact.target for fact in _said(entries) if isinstance(fact, NothingDue)))


def _said(entries: Sequence[Entry], shipment_id: str | None = None) -> list[SettledByHand | NothingDue]:
    """What people have said about stopping this shipment, or any."""
    facts = [entry.fact for entry in entries if isinstance(entry.fact, SettledByHand | NothingDue)]
    return [fact for fact in facts if fact.step is StepName.STOP_SHIPMENT and shipment_id in {None, fact.target}]


def _was_delivered(stop: Stop | None) -> bool:
    """A person had stopped it, and it was seen delivered all the same."""
    return stop is not None and stop.is_by_hand and stop.status is StopStatus.MOVING


def _by_hand(target: str, status: StopStatus, reference: str, detail: str) -> Stop:
    return Stop(shipment_id=target, action=StopAction.NONE, status=status, detail=detail, reference=reference)
