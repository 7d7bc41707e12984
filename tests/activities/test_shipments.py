"""Goods that are stopped without a carrier: picks in the warehouse, and gift cards that were bought."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.shipments import ShipmentActivities
from domain.errors import ErrorCode, OutcomeUnknown, Refused
from domain.facts import EffectEnded, EffectNoted, EffectOutcome, Ended, RollBackOrdered
from domain.holder import NotTheHolder
from domain.keys import EffectKey
from domain.money import money
from domain.outcome import Outcome
from domain.shipment import Shipment, ShipmentLine, StopStatus
from domain.step import StepName
from providers.books.inbox import SqlInbox
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts
from providers.inbox.port import EventStatus, Provider, ProviderEvent
from providers.orders.built_in.orders import BuiltInOrders
from sandbox import built_in
from sandbox.carrier.model import EventKind, Script
from sandbox.carrier_admin import CarrierAdmin
from tests.activities.samples import Begun, attempt, begin, planned
from tests.providers.merchant import OTHER_RUN, RUN, Merchant, parcel

PICK = parcel("S1", 3)
GIFT = Shipment(shipment_id="S1", lines=(ShipmentLine(line_id="L1", quantity=3),), gift_card="GC-9")
ROLL_BACK = RollBackOrdered(sentence="Rolled back.")


@pytest.fixture
def shipments(database: AsyncEngine, labels: EasyPostLabels, intercepts: UpsIntercepts) -> ShipmentActivities:
    merchant = Merchant.at(database)
    return ShipmentActivities(
        register=merchant.books,
        outbox=merchant.books,
        orders=merchant.orders,
        stored_value=merchant.stored_value,
        labels=labels,
        intercepts=intercepts,
    )


async def begun_with(database: AsyncEngine, shipment: Shipment) -> Begun:
    balances = {"GC-9": money("50.00 USD")} if shipment.gift_card else None
    return await begin(database, planned("pi_1", refund="30.00 USD"), shipment, balances=balances)


async def stop(shipments: ShipmentActivities, begun: Begun) -> None:
    await attempt(shipments.stop_shipment, await begun.step(StepName.STOP_SHIPMENT, "S1"))


async def resume(shipments: ShipmentActivities, begun: Begun) -> None:
    await attempt(shipments.resume_shipment, await begun.step(StepName.RESUME_SHIPMENT, "S1"))


async def is_stopped(begun: Begun) -> bool:
    return (await begun.merchant.orders.read(begun.cancellation.order_id)).shipments[0].stopped


async def test_a_pick_is_withdrawn_and_given_back(shipments: ShipmentActivities, database: AsyncEngine) -> None:
    """C1: each noted before, and ended after, in the books."""
    begun = await begun_with(database, PICK)
    for _ in range(2):
        await stop(shipments, begun)
    case = await begun.case()
    assert await is_stopped(begun)
    assert [stop.status for stop in case.stops] == [StopStatus.STOPPED]
    assert case.is_done(StepName.STOP_SHIPMENT, "S1")
    assert [key.part for key in case.all_keys_noted(StepName.STOP_SHIPMENT, target="S1")] == ["pick"]

    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    for _ in range(2):
        await resume(shipments, begun)

    assert not await is_stopped(begun)
    assert (await begun.case()).is_done(StepName.RESUME_SHIPMENT, "S1")
    assert [effect.kind for effect in await built_in.effects(database)] == ["withdraw_pick", "resume_pick"]


class _MakesPicksAnew(BuiltInOrders):
    """A pick that is resumed is another shipment, and the first answer to that is lost."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._engine = engine

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        seen = await self.read(order_id)
        await super().resume_pick(order_id, shipment_id, key=key)
        if seen.shipments:
            await built_in.remove_shipment(self._engine, order_id, shipment_id)
            raise OutcomeUnknown("The order management system did not answer.")


async def test_a_pick_that_is_another_shipment_after_a_lost_answer_is_known_to_go_on(
    shipments: ShipmentActivities, database: AsyncEngine, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    """I9: the register does not keep it as unknown for ever."""
    begun = await begun_with(database, PICK)
    await stop(shipments, begun)
    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    merchant = begun.merchant
    anew = ShipmentActivities(
        register=merchant.books,
        outbox=merchant.books,
        orders=_MakesPicksAnew(database),
        stored_value=merchant.stored_value,
        labels=labels,
        intercepts=intercepts,
    )
    with pytest.raises(OutcomeUnknown):
        await resume(anew, begun)
    await resume(anew, begun)

    case = await begun.case()
    [pick] = case.all_keys_noted(StepName.RESUME_SHIPMENT, target="S1")
    assert pick.part == "pick"
    ended = case.outcome_of(pick)
    assert ended is not None
    assert ended.outcome is EffectOutcome.DONE
    assert case.is_done(StepName.RESUME_SHIPMENT, "S1")


async def test_no_pick_is_withdrawn_once_the_roll_back_is_ordered(
    shipments: ShipmentActivities, database: AsyncEngine
) -> None:
    """I9: an attempt that was held up neither stops the parcel again nor notes that it does."""
    begun = await begun_with(database, PICK)
    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    before = (await begun.case()).entries

    with pytest.raises(Refused) as undone:
        await stop(shipments, begun)

    assert undone.value.code is ErrorCode.ROLLED_BACK
    assert not await is_stopped(begun)
    assert (await begun.case()).entries == before
    await resume(shipments, begun)
    assert await built_in.effects(database) == [], "what never happened is not undone"


async def test_a_paused_attempt_stops_no_parcel_of_an_order_that_was_taken_over_or_released(
    shipments: ShipmentActivities, database: AsyncEngine
) -> None:
    """M25, E19."""
    begun = await begun_with(database, PICK)
    step = await begun.step(StepName.STOP_SHIPMENT, "S1")
    await begun.books.take_up(begun.cancellation_id, OTHER_RUN)
    with pytest.raises(NotTheHolder) as superseded:
        await attempt(shipments.stop_shipment, step)
    await begun.books.take_up(begun.cancellation_id, RUN)
    await begun.merchant.release(begun.cancellation)
    with pytest.raises(Refused) as ended:
        await attempt(shipments.stop_shipment, step)
    with pytest.raises(NotTheHolder):
        await attempt(shipments.stop_shipment, step, OTHER_RUN)

    assert (superseded.value.holder, ended.value.code) == (OTHER_RUN, ErrorCode.HAS_ENDED)
    assert not await is_stopped(begun)
    assert (await begun.case()).all_keys_noted(StepName.STOP_SHIPMENT, target="S1") == ()


async def test_a_parcel_that_left_the_warehouse_meanwhile_is_refused_and_said_so_again(
    shipments: ShipmentActivities, database: AsyncEngine
) -> None:
    begun = await begun_with(database, PICK)
    await built_in.remove_shipment(database, begun.cancellation.order_id, "S1")
    with pytest.raises(Refused) as gone:
        await stop(shipments, begun)
    assert gone.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE


async def test_an_unused_gift_card_is_deactivated_and_works_again_after_the_undo(
    shipments: ShipmentActivities, database: AsyncEngine
) -> None:
    """B15: in the facts, under keys of its own."""
    begun = await begun_with(database, GIFT)
    for _ in range(2):
        await stop(shipments, begun)
    assert await built_in.balance(database, "GC-9") == money("0.00 USD")
    case = await begun.case()
    assert case.is_done(StepName.STOP_SHIPMENT, "S1")
    assert [(stop.status, stop.reference) for stop in case.stops] == [(StopStatus.STOPPED, "GC-9")]

    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    for _ in range(2):
        await resume(shipments, begun)

    assert await built_in.balance(database, "GC-9") == money("50.00 USD")
    assert (await begun.case()).is_done(StepName.RESUME_SHIPMENT, "S1")


async def test_a_used_gift_card_is_an_answer_and_is_left_alone(
    shipments: ShipmentActivities, database: AsyncEngine
) -> None:
    """B15"""
    begun = await begun_with(database, GIFT)
    await built_in.spend_balance(database, "GC-9", money("0.01 USD"), key="spent")

    await stop(shipments, begun)
    assert [stop.status for stop in (await begun.case()).stops] == [StopStatus.DECLINED]
    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    await resume(shipments, begun)

    assert await built_in.balance(database, "GC-9") == money("49.99 USD")


async def test_a_gift_card_that_was_deactivated_at_the_second_try_works_again_after_the_undo(
    shipments: ShipmentActivities, database: AsyncEngine
) -> None:
    """B15: the first try did nothing, so there is nothing of it to undo."""
    begun = await begun_with(database, GIFT)
    first = (await begun.step(StepName.STOP_SHIPMENT, "S1")).key.part_of("gift_card")
    refused = EffectEnded(key=first, outcome=EffectOutcome.REFUSED, detail="used since it was bought")
    await begun.merchant.write(begun.cancellation, EffectNoted(key=first), refused)
    await stop(shipments, begun)
    assert await built_in.balance(database, "GC-9") == money("0.00 USD")

    await begun.merchant.write(begun.cancellation, ROLL_BACK)
    await resume(shipments, begun)

    assert await built_in.balance(database, "GC-9") == money("50.00 USD")


async def test_after_the_end_nothing_is_stopped(shipments: ShipmentActivities, database: AsyncEngine) -> None:
    begun = await begun_with(database, GIFT)
    await begun.merchant.write(begun.cancellation, Ended(outcome=Outcome.CANCELLED, sentence="It is over."))
    with pytest.raises(Refused):
        await stop(shipments, begun)
    assert await built_in.balance(database, "GC-9") == money("50.00 USD")


async def test_events_about_a_label_that_a_parcel_has_got_since_it_was_decided_are_about_its_order(
    shipments: ShipmentActivities, carrier_sandbox: CarrierAdmin, database: AsyncEngine
) -> None:
    """The warehouse packed on: the plan knows no label, and the carrier's events name the new one."""
    begun, inbox = await begun_with(database, PICK), SqlInbox(database)
    packed = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    labelled = "UPDATE shipments SET carrier = 'UPS', label_reference = :label, tracking_number = :number"
    async with database.begin() as connection:
        named = {"label": packed.shipment_id, "number": packed.tracking_number}
        await connection.execute(text(labelled), named)

    async def arrived(event_id: str) -> EventStatus:
        number = packed.tracking_number
        event = ProviderEvent(
            provider=Provider.EASYPOST, event_id=event_id, kind=EventKind.TRACKER_UPDATED, tracking_number=number
        )
        return await inbox.receive(event)

    assert await arrived("evt_1") is EventStatus.UNMATCHED
    await stop(shipments, begun)
    assert await arrived("evt_2") is EventStatus.ACCEPTED
    assert [stop.status for stop in (await begun.case()).stops] == [StopStatus.STOPPED]
