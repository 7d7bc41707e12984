"""Orders that their order management system cannot freeze: goods may leave while a cancellation is under way, and others may
take units out. Pure: what a look at the order shows that was not planned."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from domain.order import Order
from domain.plan import Plan, PlannedLine, PlannedShipment
from domain.shipment import Shipment, ShipmentLine


def new_parcels(plan: Plan, order: Order) -> tuple[Shipment, ...]:
    """Parcels that were not there when it was decided, each with the units of this cancellation that are in it. Every unit
    of a line had left before, is ours, is in another parcel or lies in the warehouse: what is more than the line has, is
    ours and has left."""
    known = {p.shipment.shipment_id for p in plan.shipments} | {out.shipment_id for out in plan.left_out}
    planned = _planned(plan)
    before = {line.line_id: line.cancelled_before for line in plan.lines}
    ours = Counter[str]()
    for (line_id, _), units in planned.items():
        ours[line_id] += units
    unpacked_units = _unpacked(plan, order)
    packed = Counter[str]()
    for shipment in order.shipments:
        for part in shipment.lines:
            packed[part.line_id] += max(part.quantity - planned[part.line_id, shipment.shipment_id], 0)
    quantities = {line.line_id: line.quantity for line in order.lines}
    left, loose = Counter[str](), Counter[str]()
    for line_id, units in ours.items():
        left[line_id] = max(before[line_id] + units + packed[line_id] - quantities.get(line_id, 0), 0)
        again = sum(units for (line, _), units in unpacked_units.items() if line == line_id)
        loose[line_id] = planned[line_id, None] + again
    found = []
    for shipment in order.shipments:
        if shipment.shipment_id in known:
            continue
        parts = []
        for part in shipment.lines:
            units = min(part.quantity, left[part.line_id], loose[part.line_id])
            if units:
                left[part.line_id] -= units
                loose[part.line_id] -= units
                parts.append(ShipmentLine(line_id=part.line_id, quantity=units))
        if parts:
            found.append(shipment.model_copy(update={"lines": tuple(parts)}))
    return tuple(found)


def unpacked(plan: Plan, order: Order) -> tuple[str, ...]:
    """Parcels of the plan that have lost units since: what was in them may have been packed again."""
    return tuple(sorted({shipment_id for _, shipment_id in _unpacked(plan, order)}))


def _planned(plan: Plan) -> Counter[tuple[str, str | None]]:
    """Units of this cancellation, by line and parcel."""
    units = Counter[tuple[str, str | None]]()
    for line in plan.lines:
        units[line.line_id, line.shipment_id] += line.quantity
    return units


def _unpacked(plan: Plan, order: Order) -> Mapping[tuple[str, str], int]:
    """By line and parcel of the plan, the units of this cancellation that are not in it any more."""
    packed = Counter[tuple[str, str]]()
    for shipment in order.shipments:
        for part in shipment.lines:
            packed[part.line_id, shipment.shipment_id] += part.quantity
    return {
        (line_id, shipment_id): units - packed[line_id, shipment_id]
        for (line_id, shipment_id), units in _planned(plan).items()
        if shipment_id is not None and units > packed[line_id, shipment_id]
    }


def is_shared(ours: Shipment, order: Order) -> bool:
    """Whether more is in the parcel than the units of this cancellation."""
    units = Counter({part.line_id: part.quantity for part in ours.lines})
    [parcel] = [shipment for shipment in order.shipments if shipment.shipment_id == ours.shipment_id]
    return any(part.quantity > units[part.line_id] for part in parcel.lines)


def with_parcel(plan: Plan, parcel: PlannedShipment, packed_before: Collection[str] = ()) -> Plan:
    """The plan with units in this parcel that were in none, or were `packed_before` in others: it is to be stopped like
    the others."""
    units = {part.line_id: part.quantity for part in parcel.shipment.lines}
    lines: list[PlannedLine] = []
    for line in sorted(plan.lines, key=lambda line: line.shipment_id is not None):
        loose = line.shipment_id is None or line.shipment_id in packed_before
        taken = min(units.get(line.line_id, 0), line.quantity) if loose else 0
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
