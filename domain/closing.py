"""What leaves an order when it is closed, by a cancellation's facts."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from domain.base import Value
from domain.case import Case
from domain.closed import is_settled_by_person
from domain.facts import EffectNoted, OrderChangeSeen, OrderClosed, ParcelReceived, StopSeen
from domain.keys import EffectKey
from domain.order import Order
from domain.shipment import GoodsGroup, Stop, StopStatus, Tracking
from domain.step import StepName
from domain.stopping import lost
from domain.units import units_by_line

_STILL_TRAVELLING = {StopStatus.DECLINED, StopStatus.MOVING}
_COMING_BACK = {StopStatus.COMING_BACK, StopStatus.REQUESTED}
_GONE = {*_COMING_BACK, StopStatus.LOST, StopStatus.MOVING}


class ClosedLine(Value):
    """Units of an order line that leave the order, out of this parcel; None: out of none. `gone_before` units of the line
    had left when the order was read first."""

    line_id: str
    quantity: int
    shipment_id: str | None
    gone_before: int


class Closing(Value):
    """What leaves the order in all. `stopped` are the shipments that were stopped or written off. Those that are `gone` have
    left the warehouse, and the goods of those that are `coming_back` are restocked when they arrive. Everything else only
    releases the promise, and stock on hand stays. `shipping_back`: nothing of the order's shipping charge is owed after this
    close."""

    lines: tuple[ClosedLine, ...]
    stopped: frozenset[str] = frozenset()
    coming_back: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    shipping_back: bool = False

    @classmethod
    def of(cls, case: Case) -> "Closing":
        plan = case.plan
        assert plan is not None, "an order is closed after the decision"

        def shipments(stops: tuple[Stop, ...]) -> frozenset[str]:
            return frozenset(stop.shipment_id for stop in stops)

        return cls(
            lines=tuple(
                ClosedLine(
                    line_id=line.line_id,
                    quantity=line.quantity,
                    shipment_id=line.shipment_id,
                    gone_before=line.cancelled_before,
                )
                for line in plan.lines
            ),
            stopped=shipments(tuple(stop for stop in case.stops if stop.status not in _STILL_TRAVELLING)),
            coming_back=shipments(tuple(stop for stop in case.stops if stop.status in _COMING_BACK)),
            gone=shipments(tuple(stop for stop in case.stops if stop.status in _GONE)),
            shipping_back=_gives_back_shipping(case),
        )

    @classmethod
    def before(cls, case: Case) -> "Closing | None":
        """What had left the order when it was closed last; None: it is closed for the first time."""
        closed = [(at, entry.fact) for at, entry in enumerate(case.entries) if isinstance(entry.fact, OrderClosed)]
        if not closed:
            return None
        at, last = closed[-1]
        return cls.of(Case(case.entries[:at])).without_expected(last.expected_back, {})

    def without_expected(self, parcels: Collection[str], ahead: Mapping[str, int]) -> "Closing":
        """The same for a system that restocks at once what leaves an order: without the lines of these parcels, which are on
        their way back and stay in the order until they arrive. `ahead`: by line, the units of other cancellations that have
        left the order by our books and are still in it there (KnownOrder.ahead_of_oms)."""
        return self.model_copy(
            update={
                "lines": tuple(
                    line.model_copy(update={"gone_before": line.gone_before - ahead.get(line.line_id, 0)})
                    for line in self.lines
                    if line.shipment_id not in parcels
                )
            }
        )

    @property
    def gone_before(self) -> Mapping[str, int]:
        """By line, the units that had left the order when it was read first."""
        return {line.line_id: line.gone_before for line in self.lines}

    @property
    def targets(self) -> Mapping[str, int]:
        """By line, the units that have left the order when it is closed: those that had before, and ours. Bringing an order
        to them once more changes nothing."""
        ours = units_by_line(self.lines)
        return {line_id: before + ours[line_id] for line_id, before in self.gone_before.items()}

    # Rule: Units that others took out of the order are no part of ours
    def taken_by_others(
        self,
        gone: Mapping[str, int],
        *,
        tried: Collection[Mapping[str, int]] = (),
        already: Mapping[str, int] | None = None,
    ) -> Mapping[str, int]:
        """By line, the units that others have taken out of the order since it was read first, where that is some; below
        zero: that they have put back. `gone` have left by now. `tried`: the targets to which earlier attempts may have
        brought the order. `already`: the order was closed before, and so many had left then; of lines that lose nothing
        more, what others do later is theirs.

        Of a line, one unit had left before and one is ours, so its target is 2. While 1 is gone, nobody has taken any. When
        2 are gone, others have taken one, unless it was tried: units are not counted as ours, because both may have been
        paid back. When 3 are gone, others have taken some in any case."""
        found = {}
        for line_id, first in self.gone_before.items():
            before = first if already is None else already.get(line_id, first)
            now, target = gone.get(line_id, before), self.targets[line_id]
            if before not in {now, target} and all(now != earlier.get(line_id, before) for earlier in tried):
                found[line_id] = now - before
        return found


def _gives_back_shipping(case: Case) -> bool:
    """Whether the rest of the shipping charge, which earlier cancellations have not given back, goes back. It was planned
    so with the last line, or because it was asked for; parcels that were not stopped have kept their part of it."""
    decided, plan, request = case.decided, case.plan, case.request
    if decided is None or decided.plan is None or plan is None or request is None:
        return False
    return plan.shipping == decided.plan.shipping and (decided.plan.everything or request.shipping)


def cases_since(case: Case, key: EffectKey) -> Iterator[Case]:
    """The case as it was when this effect was noted, and with each fact that was added since: what each attempt went by."""
    entries = case.entries
    noted = next(at for at, e in enumerate(entries) if isinstance(e.fact, EffectNoted) and e.fact.key == key)
    return (Case(entries[: at + 1]) for at in range(noted, len(entries)))


# Rule: In an order that restocks at once, what comes back stays until it is received
def not_received(case: Case) -> frozenset[str]:
    """Parcels that have left and were not received, and whose lines are still in the order: they are coming back, lost,
    written off, or moving. What a person has fetched or taken out of the order is no longer waited for, and what had left
    the order when it was closed last does not leave it once more."""
    fetched = {stop.shipment_id for stop in case.stops if stop.is_by_hand and stop.status is not StopStatus.LOST}
    received = {entry.fact.shipment_id for entry in case.entries if isinstance(entry.fact, ParcelReceived)}
    waited_for = Closing.of(case).gone - fetched - received - _taken_out_by_hand(case)
    return waited_for.intersection(case.expected_back) if case.ever_closed else waited_for


# Rule: In an order that restocks at once, what comes back stays until it is received [received or lost]
def news_of_expected(case: Case, stop: Stop, tracking: Tracking) -> ParcelReceived | StopSeen | None:
    """What has become of a parcel whose lines are still in the order: it has arrived, or is lost."""
    if stop.shipment_id in case.expected_back:
        if tracking.group is GoodsGroup.RETURNED:
            return ParcelReceived(shipment_id=stop.shipment_id)
        if tracking.group is GoodsGroup.LOST and stop != lost(stop):
            return StopSeen(stop=lost(stop))
    return None


def lost_parcels(case: Case) -> frozenset[str]:
    """Those that the carrier has lost, or a person has written off: what is in them does not come back."""
    return frozenset(stop.shipment_id for stop in case.stops if stop.status is StopStatus.LOST)


def _taken_out_by_hand(case: Case) -> frozenset[str]:
    """Lost parcels whose lines a person has dealt with in the order: they were lost when its close was settled."""
    settled = [at for at, entry in enumerate(case.entries) if is_settled_by_person(entry.fact, StepName.CLOSE_ORDER)]
    return lost_parcels(Case(case.entries[: settled[-1]])) & lost_parcels(case) if settled else frozenset()


def changed_before(order_id: str, change: OrderChangeSeen, *, past_pivot: bool = False) -> str:
    """What a person has to put right, before the money moves where that is possible. Units are added to an order that was to
    be cancelled as a whole."""
    changed = f"Somebody else has {_changed(order_id, change)}"
    if past_pivot:
        return (
            f"{changed}, and the money is on its way back: only what was planned. Give back what else is owed, or undo the "
            "change, then resolve the step with a reference."
        )
    stays = (
        " What was added stays in the order then, and the shipping charge goes back all the same."
        if change.added
        else ""
    )
    if change.money:
        stays += " Only what was planned goes back then; once it is rolled back, what holds now can be cancelled."
    return (
        f"{changed}. No money has moved: undo that and retry the step, roll back, or resolve the step with a reference when "
        f"it is this cancellation's.{stays}"
    )


def changed_at_close(order_id: str, others: Mapping[str, int], expected: Iterable[str] = ()) -> str:
    """What a person has to put right when the money is on its way back. The `expected` parcels leave the order when they
    arrive."""
    changed = _changed(order_id, OrderChangeSeen(taken=others))
    stays = ", ".join(f"parcel {parcel}" for parcel in sorted(expected))
    return (
        f"Somebody else has {changed}, and the money is on its way back. Take out of the order what is "
        "still missing of this cancellation, then resolve the step with a reference."
        f"{f' What is on its way back leaves it later: {stays}.' if stays else ''}"
    )


def lost_in(order_id: str, parcels: Iterable[str]) -> str:
    """What a person has to put right where a shop would put on sale what it takes out."""
    return (
        f"Of order {order_id}, what was in {' and '.join(f'parcel {parcel}' for parcel in sorted(parcels))} is lost or "
        "written off, and is still in the order. Take it out there without putting it on sale, then resolve the step with "
        "a reference."
    )


def _changed(order_id: str, change: OrderChangeSeen) -> str:
    taken = ", ".join(f"{units} of line {line_id}" for line_id, units in sorted(change.taken.items()) if units > 0)
    back = ", ".join(f"{-units} of line {line_id}" for line_id, units in sorted(change.taken.items()) if units < 0)
    more = ", ".join(f"{units} of line {line_id}" for line_id, units in sorted(change.added.items()))
    done = (
        f"taken {taken} out of" if taken else "",
        f"put {back} back into" if back else "",
        f"added {more} to" if more else "",
    )
    units = " and ".join(filter(None, done))
    changes = f"{units} order {order_id}" if units else ""
    if change.money:
        changes += f"{' and ' if units else ''}changed the money of order {order_id} ({', '.join(change.money)})"
    return f"{changes} since its cancellation was decided"


def gone_of(order: Order) -> Mapping[str, int]:
    """By line, the units that have left the order."""
    return {line.line_id: line.cancelled for line in order.lines}
