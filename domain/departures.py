"""Parcels that leave the warehouse although they count as stopped there: somebody else may let an order go on that does not
stay frozen, or pack such a parcel anew. Pure: what the order shows, read again."""

from domain.case import Case
from domain.order import Order
from domain.shipment import Shipment, Stop, StopStatus
from domain.stopping import is_stopped_in_warehouse, leaves_although_stopped
from domain.units import units_by_line


# Rule: A parcel that counts as stopped is looked at again, and stopped once more [by what the OMS says]
def find_departures(case: Case, order: Order) -> tuple[Stop, ...]:
    """Parcels that were stopped in the warehouse and have left it since it was decided, or are to leave it with another
    label: they move. The OMS says so; it may know that before their carrier does."""
    stops = {stop.shipment_id: stop for stop in case.stops}
    return tuple(
        stop.model_copy(update={"status": StopStatus.MOVING})
        for shipment in order.shipments
        if (stop := stops.get(shipment.shipment_id)) and _departs(case, stop, shipment, order)
    )


def _departs(case: Case, stop: Stop, shipment: Shipment, order: Order) -> bool:
    if is_of_others(case, shipment, order):
        return False
    if _is_packed_anew(case, shipment) and is_stopped_in_warehouse(stop):
        return True
    return has_left_since(case, shipment) and leaves_although_stopped(stop, shipment)


def has_left_since(case: Case, shipment: Shipment) -> bool:
    """Whether it has left the warehouse, by the OMS, and had not when it was decided."""
    decided = case.decided
    planned = decided.plan.shipments if decided and decided.plan else ()
    then = (*(known.shipment for known in planned), *(decided.parcels if decided else ()))
    had_left = any(known.has_left for known in then if known.shipment_id == shipment.shipment_id)
    return shipment.has_left and not had_left


# Rule: A parcel that is packed anew under its number is another one [with what stays in the order]
def is_of_others(case: Case, shipment: Shipment, order: Order) -> bool:
    """Whether a parcel of the plan was packed anew with what stays in the order alone. Nobody says whose units are in it, so
    they are counted: it holds, with the parcels that the plan does not name, no more of each line than stays. `order` is
    what the OMS shows, with what our cancellations did to it laid over."""
    plan = case.plan
    if plan is None or not _is_packed_anew(case, shipment):
        return False
    others = (parcel for parcel in order.shipments if plan.find_shipment(parcel.shipment_id) is None)
    packed = units_by_line(part for parcel in (*others, shipment) for part in parcel.lines)
    ours, before = units_by_line(plan.lines), {line.line_id: line.cancelled_before for line in plan.lines}
    stays = {line.line_id: line.quantity - ours[line.line_id] - before.get(line.line_id, 0) for line in order.lines}
    return all(packed[part.line_id] <= stays.get(part.line_id, 0) for part in shipment.lines if part.line_id in ours)


def _is_packed_anew(case: Case, shipment: Shipment) -> bool:
    planned = case.plan.find_shipment(shipment.shipment_id) if case.plan else None
    return planned is not None and shipment.is_packed_anew(planned.shipment)
