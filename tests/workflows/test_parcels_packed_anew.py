"""A parcel that held more than was cancelled is packed anew with the rest, and keeps its number."""

from domain.money import money
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.shipment import Shipment
from sandbox import built_in
from sandbox.carrier.model import EffectKind, Script, TrackerStatus
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import System
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, in_network
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar

__all__ = ["over_oscar"]

L1, L2 = (LineScope(line_id=name, quantity=1) for name in ("L1", "L2"))


def of_two_lines(script: Script | None = Script.LABEL_ONLY, by: str = TestCard.VISA) -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "44.00 USD")),
        tenders=(card("64.00 USD", card=by),),
        parcels=(parcel(script, L1=1, L2=1),),
    )


async def pack_anew(system: System, sample: SampleOrder) -> str:
    """The warehouse sends L2 in the parcel, with the label that is returned."""
    label = await system.shop.carrier.parcel(Script.LABEL_ONLY, reference=f"{sample.order_id}-anew")
    await built_in.remove_shipment(system.engine, sample.order_id, "S1")
    anew = Shipment(
        shipment_id="S1",
        lines=parcel(None, L2=1).lines,
        carrier="UPS",
        label_reference=label.shipment_id,
        tracking_number=label.tracking_number,
    )
    await built_in.add_shipment(system.engine, sample.order_id, anew)
    return label.shipment_id


async def test_what_is_packed_anew_under_the_same_number_is_stopped_by_the_next_cancellation(system: System) -> None:
    """I2: the number was stopped, with another label and other goods."""
    sample = of_two_lines()
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, L1))
    assert (first.outcome, first.refunded) == (Outcome.CANCELLED, money("20.00 USD"))
    label = await pack_anew(system, sample)
    rest = await system.cancel(request(sample, request_id="the-rest"))
    assert (rest.outcome, rest.refunded) == (Outcome.CANCELLED, money("44.00 USD"))
    kinds = [effect.kind for effect in await system.shop.carrier.effects(label)]
    assert kinds == [EffectKind.LABEL_BOUGHT, EffectKind.VOID_SUBMITTED]
    assert (await system.read_order(sample.order_id)).shipments[0].stopped


async def test_a_pick_that_is_given_out_anew_under_the_same_number_is_withdrawn_by_the_next_cancellation(
    system: System,
) -> None:
    """I2: there is no label by which the two could be told apart; the shop shows that the parcel is not stopped any more."""
    sample = of_two_lines(None)
    await system.shop.place_order(sample)
    await system.cancel(request(sample, L1))
    await built_in.remove_shipment(system.engine, sample.order_id, "S1")
    anew = Shipment(shipment_id="S1", lines=parcel(None, L2=1).lines)
    await built_in.add_shipment(system.engine, sample.order_id, anew)
    rest = await system.cancel(request(sample, request_id="the-rest"))
    assert (rest.outcome, rest.refunded) == (Outcome.CANCELLED, money("44.00 USD"))
    withdrawn = [effect.key for effect in await built_in.effects(system.engine) if effect.kind == "withdraw_pick"]
    assert len(withdrawn) == 2


async def test_what_is_packed_anew_with_the_rest_is_nobodys_to_fetch(system: System) -> None:
    """E25: the rest of the order ships while the refund settles, and nothing that was cancelled is in its parcel."""
    sample = of_two_lines(by=PENDING)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, L1))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.carrier.scan(await pack_anew(system, sample), TrackerStatus.IN_TRANSIT)
    await system.wake_by_carrier(handle)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    assert (
        await system.wait_for_wait(handle, lambda wait: wait.state is State.NEEDS_ATTENTION, "anybody is asked") is None
    )
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED


async def test_the_rest_that_is_packed_anew_opens_no_cancellation_again(system: System) -> None:
    """It ends as it had ended, whatever has started the run."""
    sample = of_two_lines()
    await system.shop.place_order(sample)
    await system.cancel(request(sample, L1))
    await system.shop.carrier.scan(await pack_anew(system, sample), TrackerStatus.IN_TRANSIT)
    handle = await system.notify_of_parcel(sample.order_id)
    assert (
        await system.wait_for_wait(handle, lambda wait: wait.state is State.NEEDS_ATTENTION, "anybody is asked") is None
    )
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]


async def test_a_parcel_that_is_packed_anew_as_it_was_is_stopped_by_its_new_label(over_oscar: Oscar) -> None:
    """I2: its first label was voided, and the warehouse buys another one while the run waits for another parcel."""
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD")), tenders=(card("60.00 USD"),)
    )
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LABEL_ONLY, 0)
    other = await over_oscar.send(order, Script.INTERCEPT_SILENT, 1)
    stopped = (await over_oscar.read(sample.order_id)).shipments[0]
    [anew] = (await system.shop.place_order(in_network(Script.LABEL_ONLY))).shipments
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await over_oscar.shop.relabel(sample.order_id, stopped, anew)
        await system.shop.carrier.scan(other.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("60.00 USD"))
    for label in (stopped.label_reference, anew.label_reference):
        kinds = [effect.kind for effect in await system.shop.carrier.effects(label)]
        assert kinds == [EffectKind.LABEL_BOUGHT, EffectKind.VOID_SUBMITTED]
