"""Stopping one shipment: what is to be done next, by where the carrier says that it is. Pure; the activity does it."""

from enum import StrEnum

from domain.shipment import GoodsGroup, LabelStatus, Shipment, Stop, StopAction, StopStatus, Tracking
from domain.terms import RefundIntercepted

BACK = frozenset({GoodsGroup.COMING_BACK, GoodsGroup.RETURNED})
VOID = frozenset({LabelStatus.VOID_SUBMITTED, LabelStatus.VOIDED})
NOT_SEEN = frozenset({GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN})
_ON_ITS_WAY = frozenset({GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED})
_IN_WAREHOUSE = frozenset({StopAction.WITHDRAW_PICK, StopAction.VOID_LABEL})


class NextStop(StrEnum):
    DEACTIVATE_GIFT_CARD = "deactivate_gift_card"
    WITHDRAW_PICK = "withdraw_pick"
    VOID_LABEL = "void_label"
    REQUEST_INTERCEPT = "request_intercept"


# Rule: A shipment is stopped by this means
def next_stop(
    shipment: Shipment, tracking: Tracking | None, *, shared: bool = False, left_since: bool = False
) -> NextStop | Stop:
    """How the shipment is stopped, or how it stands when there is nothing to do. `tracking` None: it has no label. A
    rejected void usually means that the parcel was scanned a moment ago: it is in the network. `shared`: goods that stay in
    the order are in it too. `left_since`: by the OMS it has left since it was decided about."""
    if shipment.gift_card is not None:
        return NextStop.DEACTIVATE_GIFT_CARD

    def stop(status: StopStatus, detail: str) -> Stop:
        return Stop(shipment_id=shipment.shipment_id, action=StopAction.INTERCEPT, status=status, detail=detail)

    if shipment.is_out_of_reach:
        return stop(StopStatus.DECLINED, "it has left the warehouse, and its label is not known")
    if tracking is None or shipment.label_reference is None:
        return NextStop.WITHDRAW_PICK
    is_seen = tracking.group not in NOT_SEEN
    if not is_seen and left_since and tracking.label in VOID:
        return stop(StopStatus.DECLINED, "it has left the warehouse although its label is void")
    if not is_seen and not left_since and tracking.label is not LabelStatus.VOID_REJECTED:
        return NextStop.VOID_LABEL
    if tracking.group is GoodsGroup.LOST:
        return lost(stop(StopStatus.LOST, ""))
    if tracking.group in BACK:
        return stop(StopStatus.COMING_BACK, "on its way back")
    if tracking.group in _ON_ITS_WAY:
        return stop(StopStatus.DECLINED, tracking.group.replace("_", " "))
    if shared:
        return stop(StopStatus.DECLINED, "goods that stay in the order are in it too")
    if shipment.tracking_number is None:
        return stop(StopStatus.DECLINED, "the label's void was rejected and it has no tracking number")
    if not shipment.can_be_intercepted:
        return stop(StopStatus.DECLINED, f"{shipment.carrier} is not asked to stop parcels")
    return NextStop.REQUEST_INTERCEPT


def planned_action(shipment: Shipment, tracking: Tracking) -> StopAction:
    """How the plan says that it is stopped, by the same rule. NONE: it comes back, or is lost. A parcel that
    nobody will stop is left out of the plan (domain/planning.py)."""
    match next_stop(shipment, tracking):
        case NextStop.DEACTIVATE_GIFT_CARD:
            return StopAction.DEACTIVATE_GIFT_CARD
        case NextStop.WITHDRAW_PICK:
            return StopAction.WITHDRAW_PICK
        case NextStop.VOID_LABEL:
            return StopAction.VOID_LABEL
        case Stop(status=StopStatus.LOST | StopStatus.COMING_BACK):
            return StopAction.NONE
        case _:
            return StopAction.INTERCEPT


# Rule: An intercepted parcel counts as stopped when policy.toml says so
def intercepted(stop: Stop, tracking: Tracking, counts: RefundIntercepted) -> Stop:
    """Where a parcel stands whose intercept was asked for; unchanged as long as tracking does not say how that ended."""
    back = {GoodsGroup.RETURNED}
    if counts is not RefundIntercepted.ON_RECEIPT:
        back.add(GoodsGroup.COMING_BACK)
    if tracking.group in back:
        status, detail = StopStatus.COMING_BACK, "on its way back"
    elif tracking.group is GoodsGroup.DELIVERED:
        status, detail = StopStatus.DECLINED, "delivered in spite of the intercept"
    elif tracking.group is GoodsGroup.LOST:
        return lost(stop)
    else:
        return stop
    return stop.model_copy(update={"status": status, "detail": detail})


def lost(stop: Stop) -> Stop:
    """It stands still for good, and is paid for."""
    return stop.model_copy(update={"status": StopStatus.LOST, "detail": "lost by the carrier; claim it there"})


# Rule: A parcel that counts as stopped is looked at again, and stopped once more [which parcels]
def is_watched(stop: Stop) -> bool:
    """Whether a parcel that counts as stopped may reach the customer all the same, so that it is looked at again: one that
    is with the carrier, or that a person has stopped; not one that a person has fetched or written off."""
    if stop.is_by_hand:
        return stop.status is StopStatus.STOPPED
    with_carrier = stop.action in {StopAction.VOID_LABEL, StopAction.INTERCEPT}
    return with_carrier and stop.status not in {StopStatus.DECLINED, StopStatus.MOVING}


# Rule: A parcel that counts as stopped is looked at again, and stopped once more [when]
def moves_again(stop: Stop, tracking: Tracking) -> bool:
    """Whether a parcel that counts as stopped is on its way to the customer all the same. A parcel that comes back moves in
    the network as well, and a person's word stands until the parcel is delivered."""
    if not is_watched(stop):
        return False
    if stop.is_by_hand:
        return tracking.group is GoodsGroup.DELIVERED
    moving = set(_ON_ITS_WAY)
    if stop.action is StopAction.VOID_LABEL or stop.status is StopStatus.LOST:
        moving.add(GoodsGroup.IN_NETWORK)
    return tracking.group in moving


def leaves_although_stopped(stop: Stop, now: Shipment) -> bool:
    """Whether a parcel that was stopped in the warehouse has left it all the same, by the OMS, which may know that before
    the carrier does. A person's word stands until the parcel is delivered."""
    if stop.is_by_hand:
        return stop.status is StopStatus.STOPPED and now.group is GoodsGroup.DELIVERED
    return is_stopped_in_warehouse(stop) and now.has_left


def is_stopped_in_warehouse(stop: Stop) -> bool:
    """It counts as stopped, and no carrier has it."""
    return stop.status is StopStatus.STOPPED and stop.action in _IN_WAREHOUSE
