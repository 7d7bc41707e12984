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


def _was_delivered(stop: Stop | None) -> bool:
    """A person had stopped it, and it was seen delivered all the same."""
    return stop is not None and stop.is_by_hand and stop.status is StopStatus.MOVING


def _by_hand(target: str, status: StopStatus, reference: str, detail: str) -> Stop:
    return Stop(shipment_id=target, action=StopAction.NONE, status=status, detail=detail, reference=reference)
