"""Each shipment of a cancellation as it was last seen, or as a person has said. Pure, from the facts."""

from collections.abc import Mapping, Sequence

from domain.facts import Entry, NothingDue, SettledByHand, StopSeen
from domain.shipment import Stop, StopAction, StopStatus
from domain.step import StepName


def stops_of(entries: Sequence[Entry], actions: Mapping[str, StopAction], pivot: int | None) -> tuple[Stop, ...]:
    """Each shipment as it was last seen, or as a person has said. `actions` are the planned ones; `pivot` is where it
    stands in the entries: what is not stopped after it is a person's to fetch, because its money is on its way."""
    found: dict[str, Stop] = {}
    for at, entry in enumerate(entries):
        past = pivot is not None and at > pivot
        match entry.fact:
            case StopSeen(stop=stop):
                moving = past and stop.status is StopStatus.DECLINED
                found[stop.shipment_id] = stop.model_copy(update={"status": StopStatus.MOVING}) if moving else stop
            case SettledByHand(step=StepName.STOP_SHIPMENT, target=target, reference=reference):
                status = StopStatus.COMING_BACK if past else StopStatus.STOPPED
                found[target] = _by_hand(target, status, reference, actions, "fetched by hand" if past else "")
            case NothingDue(step=StepName.STOP_SHIPMENT, target=target, reference=reference):
                status = StopStatus.LOST if past else StopStatus.DECLINED
                found[target] = _by_hand(target, status, reference, actions, "done without" if past else "")
            case _:
                pass
    return tuple(found.values())


def _by_hand(target: str, status: StopStatus, reference: str, actions: Mapping[str, StopAction], detail: str) -> Stop:
    action = StopAction.NONE if detail else actions.get(target, StopAction.NONE)
    return Stop(shipment_id=target, action=action, status=status, detail=detail, reference=reference)
