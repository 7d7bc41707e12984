"""Parcels that leave the warehouse although they count as stopped there: somebody else may let an order go on that does not
stay frozen. Pure: what the order shows, read again."""

from domain.case import Case
from domain.order import Order
from domain.shipment import Shipment, Stop, StopStatus
from domain.stopping import leaves_although_stopped


# Rule: A parcel that counts as stopped is looked at again, and stopped once more [by what the OMS says]
def find_departures(case: Case, order: Order) -> tuple[Stop, ...]:
    """Parcels that were stopped in the warehouse and have left it since it was decided: they move. The OMS says so; it may
    know that before their carrier does."""
    stops = {stop.shipment_id: stop for stop in case.stops}
    return tuple(
        stop.model_copy(update={"status": StopStatus.MOVING})
        for shipment in order.shipments
        if (stop := stops.get(shipment.shipment_id))
        and has_left_since(case, shipment)
        and leaves_although_stopped(stop, shipment)
    )


def has_left_since(case: Case, shipment: Shipment) -> bool:
    """Whether it has left the warehouse, by the OMS, and had not when it was decided."""
    decided = case.decided
    planned = decided.plan.shipments if decided and decided.plan else ()
    then = (*(known.shipment for known in planned), *(decided.parcels if decided else ()))
    had_left = any(known.has_left for known in then if known.shipment_id == shipment.shipment_id)
    return shipment.has_left and not had_left
