"""Stopping one shipment: what is to be done next, by where the carrier says that it is. Pure; the activity does it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from domain.facts import Entry, NothingDue, SettledByHand, StopSeen
from domain.shipment import GoodsGroup, LabelStatus, Shipment, Stop, StopAction, StopStatus, Tracking
from domain.step import StepName
from domain.terms import RefundIntercepted

BACK = frozenset({GoodsGroup.COMING_BACK, GoodsGroup.RETURNED})
VOID = frozenset({LabelStatus.VOID_SUBMITTED, LabelStatus.VOIDED})
_NOT_SEEN = frozenset({GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN})
_ON_ITS_WAY = frozenset({GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED})


class NextStop(StrEnum):
    DEACTIVATE_GIFT_CARD = "deactivate_gift_card"
    WITHDRAW_PICK = "withdraw_pick"
    VOID_LABEL = "void_label"
    REQUEST_INTERCEPT = "request_intercept"


def next_stop(shipment: Shipment, tracking: Tracking | None) -> NextStop | Stop:
    """How the shipment is stopped, or how it stands when there is nothing to do. `tracking` None: it has no label. A
    rejected void usually means that the parcel was scanned a moment ago: it is in the network."""
    if shipment.gift_card is not None:
        return NextStop.DEACTIVATE_GIFT_CARD
    if tracking is None or shipment.label_reference is None:
        return NextStop.WITHDRAW_PICK
    if tracking.group in _NOT_SEEN and tracking.label is not LabelStatus.VOID_REJECTED:
        return NextStop.VOID_LABEL

    def stop(status: StopStatus, detail: str) -> Stop:
        return Stop(shipment_id=shipment.shipment_id, action=StopAction.INTERCEPT, status=status, detail=detail)

    if tracking.group is GoodsGroup.LOST:
        return stop(StopStatus.LOST, "lost by the carrier; claim it there")
    if tracking.group in BACK:
        return stop(StopStatus.COMING_BACK, "on its way back")
    if tracking.group in _ON_ITS_WAY:
        return stop(StopStatus.DECLINED, tracking.group.replace("_", " "))
    if shipment.tracking_number is None:
        return stop(StopStatus.DECLINED, "the label's void was rejected and it has no tracking number")
    return NextStop.REQUEST_INTERCEPT


def intercepted(known: Stop, tracking: Tracking, counts: RefundIntercepted) -> Stop:
    """Where a parcel stands whose intercept was asked for; unchanged as long as tracking does not say how that ended."""
    back = {GoodsGroup.RETURNED}
    if counts is not RefundIntercepted.ON_RECEIPT:
        back.add(GoodsGroup.COMING_BACK)
    if tracking.group in back:
        status, detail = StopStatus.COMING_BACK, "on its way back"
    elif tracking.group is GoodsGroup.DELIVERED:
        status, detail = StopStatus.DECLINED, "delivered in spite of the intercept"
    elif tracking.group is GoodsGroup.LOST:
        status, detail = StopStatus.LOST, "lost by the carrier; claim it there"
    else:
        return known
    return known.model_copy(update={"status": status, "detail": detail})


def moves_again(stop: Stop, tracking: Tracking) -> bool:
    """Whether a parcel that counts as stopped is on its way to the customer all the same."""
    if stop.status in {StopStatus.DECLINED, StopStatus.LOST, StopStatus.MOVING}:
        return False
    if stop.action is StopAction.VOID_LABEL:
        return tracking.group in {*_ON_ITS_WAY, GoodsGroup.IN_NETWORK}
    return stop.action is StopAction.INTERCEPT and tracking.group in _ON_ITS_WAY


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
