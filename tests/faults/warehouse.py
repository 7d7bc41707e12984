"""The warehouse packs what stays of a parcel that was stopped once more, and gives it the same number."""

from collections import Counter

from domain.order import Order
from domain.shipment import Shipment, ShipmentLine
from sandbox import built_in
from sandbox.carrier.model import Script
from tests.faults.world import Watched
from tests.system import System


async def find_stopped(system: System, watched: Watched) -> Shipment | None:
    """A parcel of an order that goes on, as it is to be packed anew: under its number, with what of its goods stays in the
    order. It has the label yet that it was placed with."""
    order = await system.orders.read(watched.order.order_id)
    is_held = (await system.read_order(order.order_id)).held_by is not None
    if is_held or not any(line.cancelled for line in order.lines):
        return None
    now = {parcel.shipment_id: parcel for parcel in order.shipments}
    for placed in watched.order.shipments:
        parcel, lines = now.get(placed.shipment_id), _what_stays(order, placed)
        had = placed.label_reference
        if parcel is not None and parcel.stopped and had and had == parcel.label_reference and lines:
            return Shipment(shipment_id=placed.shipment_id, lines=lines, carrier="UPS")
    return None


def _what_stays(order: Order, placed: Shipment) -> tuple[ShipmentLine, ...]:
    """Of the parcel as it was placed: the shop shows nothing in one that is stopped."""
    elsewhere = Counter[str]()
    for other in order.shipments:
        if not other.stopped:
            elsewhere.update({part.line_id: part.quantity for part in other.lines})
    left = {line.line_id: line.quantity - line.cancelled - elsewhere[line.line_id] for line in order.lines}
    parts = ((part.line_id, min(part.quantity, left[part.line_id])) for part in placed.lines)
    return tuple(ShipmentLine(line_id=line_id, quantity=units) for line_id, units in parts if units > 0)


async def label_anew(system: System, order_id: str, parcel: Shipment) -> Shipment:
    label = await system.shop.carrier.parcel(Script.LABEL_ONLY, reference=f"{order_id}-{parcel.shipment_id}-anew")
    system.shop.labels[order_id].append(label.shipment_id)
    return parcel.model_copy(update={"label_reference": label.shipment_id, "tracking_number": label.tracking_number})


def with_parcel(order: Order, anew: Shipment) -> Order:
    """As if it had been placed so."""
    parcels = (anew if parcel.shipment_id == anew.shipment_id else parcel for parcel in order.shipments)
    return order.model_copy(update={"shipments": tuple(parcels)})


async def replace_parcel(system: System, order_id: str, anew: Shipment) -> None:
    order = await system.orders.read(order_id)
    now = next((parcel for parcel in order.shipments if parcel.shipment_id == anew.shipment_id), None)
    if now is not None and now.label_reference != anew.label_reference:
        await built_in.remove_shipment(system.engine, order_id, anew.shipment_id)
        now = None
    if now is None:
        await built_in.add_shipment(system.engine, order_id, anew)
