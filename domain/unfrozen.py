"""Orders that their order management system cannot freeze: goods may leave while a cancellation is under way, and others may
take units out. Pure: what a look at the order shows that was not planned."""

from collections import Counter
from collections.abc import Sequence

from domain.order import Order
from domain.plan import Plan, PlannedLine, PlannedShipment
from domain.shipment import Shipment, ShipmentLine


def new_parcels(plan: Plan, order: Order) -> tuple[Shipment, ...]:
    """Parcels that were not there when it was decided, each with the units of this cancellation that are in it. Every unit
    of a line had left before, is ours, is in another parcel or lies in the warehouse: what is more than the line has, is
    ours and has left."""
    planned = {p.shipment.shipment_id for p in plan.shipments}
    known = planned | {out.shipment_id for out in plan.left_out}
    ours, ours_in = Counter[str](), Counter[tuple[str, str | None]]()
    before: dict[str, int] = {}
    for line in plan.lines:
        ours[line.line_id] += line.quantity
        ours_in[line.line_id, line.shipment_id] += line.quantity
        before[line.line_id] = line.cancelled_before
    packed = Counter[str]()
    for shipment in order.shipments:
        for part in shipment.lines:
            packed[part.line_id] += max(part.quantity - ours_in[part.line_id, shipment.shipment_id], 0)
    quantities = {line.line_id: line.quantity for line in order.lines}
    left = {
        line_id: max(before[line_id] + units + packed[line_id] - quantities.get(line_id, 0), 0)
        for line_id, units in ours.items()
    }
    found = []
    for shipment in order.shipments:
        if shipment.shipment_id in known:
            continue
        parts = []
        for part in shipment.lines:
            units = min(part.quantity, left.get(part.line_id, 0), ours_in[part.line_id, None])
            if units:
                left[part.line_id] -= units
                ours_in[part.line_id, None] -= units
                parts.append(ShipmentLine(line_id=part.line_id, quantity=units))
        if parts:
            found.append(shipment.model_copy(update={"lines": tuple(parts)}))
    return tuple(found)


def is_shared(ours: Shipment, order: Order) -> bool:
    """Whether more is in the parcel than the units of this cancellation."""
    units = Counter({part.line_id: part.quantity for part in ours.lines})
    [parcel] = [shipment for shipment in order.shipments if shipment.shipment_id == ours.shipment_id]
    return any(part.quantity > units[part.line_id] for part in parcel.lines)


def with_parcel(plan: Plan, parcel: PlannedShipment) -> Plan:
    """The plan with units that were in no parcel in this one: it is to be stopped like the others."""
    units = {part.line_id: part.quantity for part in parcel.shipment.lines}
    lines: list[PlannedLine] = []
    for line in plan.lines:
        taken = min(units.get(line.line_id, 0), line.quantity) if line.shipment_id is None else 0
        if taken:
            units[line.line_id] -= taken
            lines += _divided(line, taken, parcel.shipment.shipment_id)
        else:
            lines.append(line)
    return plan.model_copy(update={"lines": tuple(lines), "shipments": (*plan.shipments, parcel)})


def _divided(line: PlannedLine, taken: int, shipment_id: str) -> Sequence[PlannedLine]:
    """The units in the parcel, and the rest, if any. The two are worth what they were together."""
    rest, whole = line.quantity - taken, line.quantity
    kept = line.model_copy(
        update={
            "quantity": rest,
            "amount": line.amount.share(rest, whole),
            "tax": line.tax.share(rest, whole),
            "shipping": line.shipping.share(rest, whole),
        }
    )
    packed = line.model_copy(
        update={
            "quantity": taken,
            "amount": line.amount - kept.amount,
            "tax": line.tax - kept.tax,
            "shipping": line.shipping - kept.shipping,
            "shipment_id": shipment_id,
        }
    )
    return [packed, kept] if rest else [packed]
