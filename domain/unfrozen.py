"""Orders that do not stay frozen (`Case.stays_frozen`): goods may leave while a cancellation is under way, and others may
take units out, or change what is paid. Pure: what the order shows, read again, that was not planned."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from domain.money import Money
from domain.order import Order
from domain.plan import LeftOut, Plan, PlannedLine, PlannedShipment
from domain.planning import by_group
from domain.shipment import Shipment, ShipmentLine, Tracking
from domain.units import units_by_line


# Rule: Goods that have left an order that cannot be frozen are parcels to be stopped
def find_new_parcels(
    plan: Plan, parcels_then: Sequence[Shipment], order: Order, trackings: Mapping[str, Tracking]
) -> tuple[Shipment, ...]:
    """Parcels that hold units of this cancellation which were not in them when it was decided, each with just these.
    `parcels_then` are the order's parcels of that moment.

    Nobody says whose units are in a parcel, so they are counted. Of a line of 3 units, one is cancelled that was in no
    parcel. A new parcel with 2 of them may hold just the two that stay, so nothing is found. Once 3 are packed, one of them
    is ours. Nor does anybody say which of several new parcels holds it: the one that can be stopped comes first, as in
    the plan."""
    known = _count_packed(parcels_then) | _by_parcel((*plan.lines, *plan.left_out))
    left, in_no_parcel = _units_that_left(plan, order), _units_in_no_parcel(plan, order)
    found = []
    for shipment in sorted(order.shipments, key=lambda s: by_group(trackings.get(s.shipment_id))):
        parts = []
        for part in shipment.lines:
            added = max(part.quantity - known[part.line_id, shipment.shipment_id], 0)
            units = min(added, left[part.line_id], in_no_parcel[part.line_id])
            if units:
                left[part.line_id] -= units
                in_no_parcel[part.line_id] -= units
                parts.append(ShipmentLine(line_id=part.line_id, quantity=units))
        if parts:
            found.append(shipment.model_copy(update={"lines": tuple(parts)}))
    return tuple(found)


def find_unpacked_parcels(plan: Plan, order: Order) -> tuple[str, ...]:
    """Parcels of the plan from which units were taken since: these may have been packed again elsewhere."""
    return tuple(sorted({shipment_id for _, shipment_id in _count_unpacked(plan, order)}))


def _units_that_left(plan: Plan, order: Order) -> Counter[str]:
    """By line, the units of this cancellation that have left the warehouse for certain. A unit of a line had left before, is
    ours, is packed although the plan has it in no such parcel, or lies in the warehouse. Where these are more than the
    line has, units were counted twice: they are ours, and packed."""
    planned, others = _by_parcel(plan.lines), Counter[str]()
    for (line_id, shipment_id), units in _count_packed(order.shipments).items():
        others[line_id] += max(units - planned[line_id, shipment_id], 0)
    before = {line.line_id: line.cancelled_before for line in plan.lines}
    quantities = {line.line_id: line.quantity for line in order.lines}
    return Counter(
        {
            line_id: max(before[line_id] + ours + others[line_id] - quantities.get(line_id, 0), 0)
            for line_id, ours in units_by_line(plan.lines).items()
        }
    )


def _units_in_no_parcel(plan: Plan, order: Order) -> Counter[str]:
    """By line, the units of this cancellation that are in none of the plan's parcels, or no longer in theirs."""
    in_no_parcel = units_by_line(line for line in plan.lines if line.shipment_id is None)
    for (line_id, _), units in _count_unpacked(plan, order).items():
        in_no_parcel[line_id] += units
    return in_no_parcel


def _count_unpacked(plan: Plan, order: Order) -> Mapping[tuple[str, str], int]:
    """By line and parcel of the plan, the units of this cancellation that are not in it any more."""
    packed = _count_packed(order.shipments)
    return {
        (line_id, shipment_id): units - packed[line_id, shipment_id]
        for (line_id, shipment_id), units in _by_parcel(plan.lines).items()
        if shipment_id is not None and units > packed[line_id, shipment_id]
    }


def _by_parcel(parts: Iterable[PlannedLine | LeftOut]) -> Counter[tuple[str, str | None]]:
    """Units by line and parcel; None: they are in none."""
    units = Counter[tuple[str, str | None]]()
    for part in parts:
        units[part.line_id, part.shipment_id] += part.quantity
    return units


def _count_packed(shipments: Iterable[Shipment]) -> Counter[tuple[str, str | None]]:
    """By line and parcel, all that is in the parcels, whoever's it is."""
    units = Counter[tuple[str, str | None]]()
    for shipment in shipments:
        for part in shipment.lines:
            units[part.line_id, shipment.shipment_id] += part.quantity
    return units


# Rule: Units that others add to an order that is cancelled as a whole are a person's question
def find_added_units(plan: Plan, order: Order) -> Mapping[str, int]:
    """By line, the units that would remain although everything was to leave the order: others have added them since. By such
    a plan all that was paid goes back, with the shipping charge of what is still to be sent."""
    if not plan.everything:
        return {}
    planned = units_by_line(plan.lines)
    gone = {line.line_id: line.cancelled_before + planned[line.line_id] for line in plan.lines}
    remaining = {line.line_id: line.quantity - gone.get(line.line_id, line.cancelled) for line in order.lines}
    return {line_id: units for line_id, units in remaining.items() if units > 0}


# Rule: A payment or a price that others change before the money moves is a person's question
def find_changed_money(plan: Plan, then: Order, now: Order) -> tuple[str, ...]:
    """What others have changed of what this plan gives back, each in a few words. `then` is the order as it was read when
    the plan was made. What is less by now has gone back, which the gateway says.

    A payment that is new may have paid for what leaves the order, unless all of that is refunded by payments which the order
    still names, at the price that it still has."""
    named = {tender.reference for tender in now.tenders}
    gone = tuple(
        f"the payment of tender {planned.tender.tender_id} ({planned.tender.amount}) is gone"
        for planned in plan.tenders
        if (planned.refund or planned.release) and planned.tender.reference not in named
    )
    prices = () if plan.everything else _changed_prices(plan, then, now)
    return (*gone, *find_new_payments(plan, then, now, any_payment=bool(gone)), *prices)


# Rule: A payment or a price that others change before the money moves is a person's question [a payment also afterwards]
def find_new_payments(plan: Plan, then: Order, now: Order, *, any_payment: bool = False) -> tuple[str, ...]:
    """Payments that may have paid for what leaves the order, and that the plan does not know, or not with so much.
    `any_payment`: whatever of the order is cancelled."""
    if not (any_payment or plan.everything or any(planned.release for planned in plan.tenders)):
        return ()
    known = {tender.reference: tender.amount for tender in then.by_payment().tenders}
    changed = []
    for tender in now.by_payment().tenders:
        before = known.get(tender.reference)
        if before is None:
            changed.append(f"tender {tender.tender_id} ({tender.amount}) is a new payment")
        elif tender.amount > before:
            changed.append(f"tender {tender.tender_id} is {tender.amount} instead of {before}")
    return tuple(changed)


def _changed_prices(plan: Plan, then: Order, now: Order) -> Iterable[str]:
    """Of what leaves the order. A line that has more units, or fewer, costs what it did as long as a unit does."""
    sold, ours = {line.line_id: line for line in then.lines}, units_by_line(plan.lines)
    for line in now.lines:
        before = sold.get(line.line_id)
        if before and line.line_id in ours:
            of_all = line.quantity * before.quantity
            if abs(line.total.amount * before.quantity - before.total.amount * line.quantity) >= of_all:
                yield f"line {line.line_id} costs {line.total} instead of {before.total}"
    if plan.shipping and now.shipping != then.shipping:
        yield f"the shipping charge is {now.shipping} instead of {then.shipping}"
    none = Money.zero(now.currency)
    if (now.discount or none) != (then.discount or none):
        yield f"the discount is {now.discount or none} instead of {then.discount or none}"


def is_shared(plan: Plan, ours: Shipment, order: Order) -> bool:
    """Whether the parcel is shared. `ours` has the units of this cancellation that were found in it just now."""
    parcel_id = ours.shipment_id
    parts: Iterable[PlannedLine | LeftOut] = (*plan.lines, *plan.left_out)
    known = (part for part in parts if part.shipment_id == parcel_id)
    cancelled = units_by_line((*known, *ours.lines))
    return any(packed.holds_more_than(cancelled) for packed in order.shipments if packed.shipment_id == parcel_id)


def with_parcel(plan: Plan, parcel: PlannedShipment, packed_before: Collection[str] = ()) -> Plan:
    """The plan with units in this parcel that were in none, or were `packed_before` in others: it is to be stopped like
    the others."""
    units = {part.line_id: part.quantity for part in parcel.shipment.lines}
    lines: list[PlannedLine] = []
    for line in sorted(plan.lines, key=lambda line: line.shipment_id is not None):
        is_in_no_parcel = line.shipment_id is None or line.shipment_id in packed_before
        taken = min(units.get(line.line_id, 0), line.quantity) if is_in_no_parcel else 0
        if taken:
            units[line.line_id] -= taken
            lines += _divided(line, taken, parcel.shipment.shipment_id)
        else:
            lines.append(line)
    parcel_id = parcel.shipment.shipment_id
    known = (planned.shipment for planned in plan.shipments if planned.shipment.shipment_id == parcel_id)
    parts = (*(part for shipment in known for part in shipment.lines), *parcel.shipment.lines)
    added = parcel.model_copy(update={"shipment": parcel.shipment.model_copy(update={"lines": parts})})
    others = (planned for planned in plan.shipments if planned.shipment.shipment_id != parcel_id)
    return plan.model_copy(update={"lines": tuple(lines), "shipments": (*others, added)})


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
