"""Orders that their order management system cannot freeze: goods may leave while a cancellation is under way, and others may
take units out. Pure: what a look at the order shows that was not planned."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from domain.order import Order
from domain.plan import Plan, PlannedLine, PlannedShipment
from domain.planning import by_group
from domain.shipment import Shipment, ShipmentLine, Tracking
from domain.units import units_by_line


def new_parcels(
    plan: Plan, then: Sequence[Shipment], order: Order, trackings: Mapping[str, Tracking]
) -> tuple[Shipment, ...]:
    """Parcels that hold units of this cancellation which were not in them when it was decided, each with just these. `then`
    are the order's parcels of that moment. Every unit of a line had left before, is ours, is in another parcel or lies in
    the warehouse: what is more than the line has, is ours and has left. Which of several parcels holds ours nobody says:
    what can be stopped comes first, as in the plan."""
    planned, accounted = _planned(plan), _units_in(then)
    for (line_id, shipment_id), units in (_planned(plan) + _left_out(plan)).items():
        accounted[line_id, shipment_id] = max(accounted[line_id, shipment_id], units)
    before = {line.line_id: line.cancelled_before for line in plan.lines}
    ours = units_by_line(plan.lines)
    packed = Counter[str]()
    for (line_id, shipment_id), units in _units_in(order.shipments).items():
        packed[line_id] += max(units - planned[line_id, shipment_id], 0)
    quantities = {line.line_id: line.quantity for line in order.lines}
    unpacked_units = _unpacked(plan, order)
    left, loose = Counter[str](), Counter[str]()
    for line_id, units in ours.items():
        left[line_id] = max(before[line_id] + units + packed[line_id] - quantities.get(line_id, 0), 0)
        again = sum(units for (line, _), units in unpacked_units.items() if line == line_id)
        loose[line_id] = planned[line_id, None] + again
    found = []
    for shipment in sorted(order.shipments, key=lambda s: by_group(trackings.get(s.shipment_id))):
        parts = []
        for part in shipment.lines:
            added = max(part.quantity - accounted[part.line_id, shipment.shipment_id], 0)
            units = min(added, left[part.line_id], loose[part.line_id])
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
    packed = _units_in(order.shipments)
    return {
        (line_id, shipment_id): units - packed[line_id, shipment_id]
        for (line_id, shipment_id), units in _planned(plan).items()
        if shipment_id is not None and units > packed[line_id, shipment_id]
    }


def _left_out(plan: Plan) -> Counter[tuple[str, str | None]]:
    units = Counter[tuple[str, str | None]]()
    for out in plan.left_out:
        units[out.line_id, out.shipment_id] += out.quantity
    return units


def _units_in(shipments: Iterable[Shipment]) -> Counter[tuple[str, str | None]]:
    units = Counter[tuple[str, str | None]]()
    for shipment in shipments:
        for part in shipment.lines:
            units[part.line_id, shipment.shipment_id] += part.quantity
    return units


def is_shared(plan: Plan, ours: Shipment, order: Order) -> bool:
    """Whether more is in the parcel than units of this cancellation, these included."""
    units = _planned(plan) + _left_out(plan) + Counter({(p.line_id, ours.shipment_id): p.quantity for p in ours.lines})
    of_parcel = _units_in(shipment for shipment in order.shipments if shipment.shipment_id == ours.shipment_id)
    return any(quantity > units[key] for key, quantity in of_parcel.items())


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
    others = [planned for planned in plan.shipments if planned.shipment.shipment_id != parcel.shipment.shipment_id]
    for planned in plan.shipments:
        if planned not in others:
            both = (*planned.shipment.lines, *parcel.shipment.lines)
            parcel = parcel.model_copy(update={"shipment": parcel.shipment.model_copy(update={"lines": both})})
    return plan.model_copy(update={"lines": tuple(lines), "shipments": (*others, parcel)})


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
