"""The cancellations of journeys.py once more, where the worker is a process of its own that may be killed: each step waits
for what the books and the providers say, so it does not matter who is killed meanwhile."""

from collections.abc import Callable
from enum import StrEnum

from domain.facts import EffectEnded, EffectOutcome, Fact, StopSeen
from domain.money import money
from domain.order import Order
from domain.outcome import CancellationResult
from domain.request import CancellationRequest
from domain.shipment import StopStatus
from domain.step import StepName
from sandbox import books
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, SampleTender, card, line
from tests.integrations.vendure.over import OverVendure, customer_of, request, units
from tests.observing import eventually
from tests.system import Handle, resolve
from tests.workflows.samples import an_id

PATIENCE = 100


class Story(StrEnum):
    PARTLY_CANCELLED = "partly_cancelled"
    """With a pick that is withdrawn."""
    WITHDRAWN = "withdrawn"
    """While the carrier is asked to stop one parcel: the pick of the other is resumed."""
    RECEIVED = "received"
    """The parcel comes back, and leaves the order when it has arrived."""
    ROLLED_BACK = "rolled_back"
    """A label is void and a reservation released: there are new ones, which are recorded in Vendure."""

    @property
    def needs_plugin(self) -> bool:
        """Without it a person records them."""
        return self is Story.ROLLED_BACK


async def place_order(over: OverVendure, story: Story) -> Order:
    """With its parcels."""
    order = await over.place_order(_sample(story))
    match story:
        case Story.PARTLY_CANCELLED:
            await over.pack(order, 1)
        case Story.WITHDRAWN:
            await over.pack(order, 1)
            await over.send(order, Script.INTERCEPT_SILENT, 0)
        case Story.RECEIVED:
            await over.send(order, Script.INTERCEPT_SILENT, 0, units=2)
        case Story.ROLLED_BACK:
            await over.label(order, Script.LABEL_ONLY, 0)
    return order


def _sample(story: Story) -> SampleOrder:
    tenders: tuple[SampleTender, ...] = (card("54.90 EUR"),)
    if story is Story.ROLLED_BACK:
        refused = card("20.00 EUR", fault="refund.create:refuse")
        tenders = (card("34.90 EUR", "0.00 EUR", mandate=True), refused)
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "30.00 EUR"), line("L2", 1, "20.00 EUR")),
        tenders=tenders,
        shipping=money("4.90 EUR"),
    )


def request_of(order: Order, story: Story) -> CancellationRequest:
    if story is Story.PARTLY_CANCELLED:
        return request(order, units(order, 0, 1), units(order, 1, 1))
    return request(order)


async def run_story(over: OverVendure, order: Order, story: Story) -> CancellationResult:
    """From the request to the end."""
    system = over.system
    handle = await system.start(request_of(order, story))
    match story:
        case Story.PARTLY_CANCELLED:
            return await system.finish(handle, within=PATIENCE)
        case Story.WITHDRAWN:
            await _wait_for_fact(over, order, _is_stop(StopStatus.STOPPED))
            await _wait_for_fact(over, order, _is_stop(StopStatus.REQUESTED))
            await system.withdraw(handle, customer_of(order))
            return await system.finish(handle, within=PATIENCE)
        case Story.RECEIVED:
            return await _receive(over, order, handle)
        case Story.ROLLED_BACK:
            return await _roll_back(over, order, handle)


async def _receive(over: OverVendure, order: Order, handle: Handle) -> CancellationResult:
    system, [label] = over.system, over.system.shop.labels[order.order_id]
    await _wait_for_fact(over, order, _is_stop(StopStatus.REQUESTED))
    await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    await system.wake_by_carrier(handle)
    await system.finish(handle, within=PATIENCE)
    await system.shop.carrier.scan(label, TrackerStatus.DELIVERED)
    return await system.finish(await system.notify_of_parcel(order.order_id), within=PATIENCE)


async def _roll_back(over: OverVendure, order: Order, handle: Handle) -> CancellationResult:
    _, refused = order.tenders
    await _wait_for_fact(over, order, _is_refused_refund)
    ordered = resolve(StepName.REVERSE_PAYMENT, refused.tender_id, "roll_back")

    async def is_ordered() -> bool:
        """Refused until the run waits for it."""
        return await over.system.refusal(over.system.resolve(handle, ordered)) is None

    await eventually(is_ordered, "a person orders the roll-back", within=PATIENCE)
    return await over.system.finish(handle, within=PATIENCE)


def _is_stop(status: StopStatus) -> Callable[[Fact], bool]:
    return lambda fact: isinstance(fact, StopSeen) and fact.stop.status is status


def _is_refused_refund(fact: Fact) -> bool:
    return (
        isinstance(fact, EffectEnded)
        and fact.key.step is StepName.REVERSE_PAYMENT
        and fact.outcome is EffectOutcome.REFUSED
    )


async def _wait_for_fact(over: OverVendure, order: Order, is_wanted: Callable[[Fact], bool]) -> None:
    """The books say it, also while no worker answers."""

    async def is_there() -> bool:
        return any(is_wanted(entry.fact) for entry in await books.facts(over.system.engine, order.order_id))

    await eventually(is_there, "the books have it", within=PATIENCE)
