"""Whether a cancellation's order is closed in the order management system, and what of it is still to come. Pure, from the
facts."""

from collections.abc import Sequence

from domain.facts import Entry, NothingDue, OrderClosed, ParcelReceived, SettledByHand, StopSeen
from domain.step import StepName


def is_closed(entries: Sequence[Entry]) -> bool:
    """It was closed, and since then nothing has changed that it has to be closed for once more."""
    closed = _last_close(entries)
    news = (entry.fact for entry in entries[closed + 1 :])
    return closed >= 0 and not any(
        isinstance(fact, StopSeen | ParcelReceived) or is_settled_by_person(fact, StepName.STOP_SHIPMENT)
        for fact in news
    )


def is_closed_by_hand(entries: Sequence[Entry]) -> bool:
    """A person has taken the lines out of the order, or says that nothing is to be taken out, since it was closed last."""
    return any(is_settled_by_person(entry.fact, StepName.CLOSE_ORDER) for entry in entries[_last_close(entries) + 1 :])


def expected_back(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Parcels whose lines are still in the order, because they are on their way back."""
    expected: tuple[str, ...] = ()
    received: set[str] = set()
    for entry in entries:
        match entry.fact:
            case OrderClosed(expected_back=parcels):
                expected = parcels
            case ParcelReceived(shipment_id=shipment_id):
                received.add(shipment_id)
            case _:
                pass
    return tuple(shipment_id for shipment_id in expected if shipment_id not in received)


def _last_close(entries: Sequence[Entry]) -> int:
    """Where it stands; -1: there is none."""
    return max((at for at, entry in enumerate(entries) if isinstance(entry.fact, OrderClosed)), default=-1)


def is_settled_by_person(fact: object, step: StepName) -> bool:
    """Whether the fact says that a person has settled the step."""
    return isinstance(fact, SettledByHand | NothingDue) and fact.step is step
