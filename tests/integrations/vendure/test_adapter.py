"""What the adapter of Vendure makes of a real shop, besides what every shop has to do (test_conformance.py)."""

import re

import pytest
from pydantic import Field

from domain.base import Value
from domain.closing import Closing
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.findings import Subject
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order, OrderFlag, OrderState, SaleCondition, Tender, TenderKind
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from providers.orders.port import GivenBack
from providers.orders.vendure.answers import Fulfillment
from providers.orders.vendure.api import VendureApi
from providers.orders.vendure.orders import VendureOrders
from sandbox.serving import ROOT
from sandbox.vendure.answers import Found
from sandbox.vendure.graphql import AnyAnswer, GraphqlClient, ShopRefused
from sandbox.vendure.shop import PASSWORD, USERNAME, SandboxVendure
from tests.integrations.vendure.over import with_plugin, without_plugin
from tests.integrations.vendure.shops import FILES, VendureUnderTest
from tests.providers.closing_contract import units_gone
from tests.providers.shop_under_test import an_order, closing, key, leaving


class HeldBy(Value):
    cancellation_id: str = Field(alias="heldByCancellation")


class HeldOrder(Value):
    id: str
    custom_fields: HeldBy = Field(alias="customFields")


@pytest.fixture
async def placed(connected: VendureUnderTest) -> Order:
    return await connected.orders.read(await connected.place_order(an_order()))


def hold_of(order: Order, request_id: str = "R-1") -> EffectKey:
    return key(order.order_id, StepName.VERIFY_ORDER, request_id=request_id)


async def pick_of(connected: VendureUnderTest, order: Order, units: int) -> str:
    """A parcel of so many chairs, without a label."""
    part = ShipmentLine(line_id=order.lines[0].line_id, quantity=units)
    return await connected.shop.pack(order.order_id, Shipment(shipment_id="new", lines=(part,)))


# Reading


async def test_what_was_paid_with_what_and_what_was_taken_off(connected: VendureUnderTest) -> None:
    tenders = tuple(
        Tender(tender_id=f"T{number}", kind=kind, amount=money(amount), reference=f"ref-{number}")
        for number, (kind, amount) in enumerate([(TenderKind.GIFT_CARD, "50.00 EUR"), (TenderKind.CARD, "234.90 EUR")])
    )
    asked = an_order().model_copy(
        update={"tenders": tenders, "discount": money("10.00 EUR"), "shipping_tax": money("0.78 EUR"), "country": "FR"}
    )
    order = await connected.orders.read(await connected.place_order(asked))
    assert [(tender.kind, tender.amount, tender.reference) for tender in order.tenders] == [
        (tender.kind, tender.amount, tender.reference) for tender in tenders
    ]
    assert (order.discount, order.shipping, order.shipping_tax) == (
        money("10.00 EUR"),
        money("4.90 EUR"),
        money("0.78 EUR"),
    )
    assert order.country == "FR"


@with_plugin
async def test_flags_and_conditions_of_sale_are_fields_of_the_plugin(connected: VendureUnderTest) -> None:
    sold = an_order()
    flags = frozenset({OrderFlag.FRAUD_REVIEW, OrderFlag.EU_CONSUMER})
    table = sold.lines[1].model_copy(update={"condition": SaleCondition.FINAL_SALE})
    asked = sold.model_copy(update={"flags": flags, "lines": (sold.lines[0], table)})
    order = await connected.orders.read(await connected.place_order(asked))
    assert order.flags == flags
    assert [line.condition for line in order.lines] == [SaleCondition.REGULAR, SaleCondition.FINAL_SALE]


async def test_what_staff_adds_to_an_order_was_sold_too(connected: VendureUnderTest, placed: Order) -> None:
    """And of it a close takes out as much as was asked for, however often it is repeated."""
    chairs = placed.lines[0].line_id
    await connected.take_out(placed.order_id, chairs, 1)
    await connected.shop.begin_change(placed.order_id)
    await connected.shop.add_units(placed.order_id, chairs, 2)
    order = await connected.orders.read(placed.order_id)
    assert (order.lines[0].quantity, order.lines[0].cancelled) == (5, 1)
    for _ in range(2):
        await connected.orders.close(order.order_id, closing(order, 3, 0), None, key=key(order.order_id))
    assert await units_gone(connected, order) == [4, 0]
    assert (await connected.shop.read(order.order_id)).lines[0].quantity == 1


# Freezing


@with_plugin
async def test_while_an_order_is_frozen_nobody_but_its_cancellation_changes_it(
    connected: VendureUnderTest, placed: Order
) -> None:
    pick = await pick_of(connected, placed, 1)
    seen = await connected.orders.read(placed.order_id)
    assert await connected.orders.freeze(seen, key=hold_of(placed))
    for change in (
        connected.take_out(placed.order_id, placed.lines[0].line_id, 1),
        connected.shop.ship(pick),
        connected.shop.cancel_order(placed.order_id),
    ):
        with pytest.raises(ShopRefused, match=f"Order {placed.order_id} is held by cancellation"):
            await change
    stop = key(placed.order_id, StepName.STOP_SHIPMENT, target=pick)
    await connected.orders.withdraw_pick(placed.order_id, pick, key=stop)
    await connected.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
    await connected.take_out(placed.order_id, placed.lines[0].line_id, 1)
    assert await units_gone(connected, placed) == [2, 0]


@with_plugin
async def test_an_order_that_had_changed_is_frozen_as_it_is_read_next(
    connected: VendureUnderTest, placed: Order
) -> None:
    await connected.take_out(placed.order_id, placed.lines[0].line_id, 1)
    with pytest.raises(Unavailable, match="has changed"):
        await connected.orders.freeze(placed, key=hold_of(placed))
    assert await connected.orders.freeze(await connected.orders.read(placed.order_id), key=hold_of(placed))


@with_plugin
async def test_who_holds_an_order_is_said_and_the_documented_mutations_release_it(
    connected: VendureUnderTest, placed: Order
) -> None:
    """Its run is gone, so nobody thaws it."""
    gone = hold_of(placed, "R-gone")
    assert await connected.orders.freeze(placed, key=gone)
    with pytest.raises(
        Unavailable, match=f"held in Vendure by cancellation {gone.cancellation_id}.*docs/operations.md"
    ):
        await connected.orders.freeze(placed, key=hold_of(placed))
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [section] = re.findall(r"## An order stays held\n(.*?)\n##", page, re.DOTALL)
    look, release = re.findall(r"```graphql\n(.*?)```", section, re.DOTALL)
    async with GraphqlClient(connected.shop.admin_api) as staff:
        await staff.log_in(USERNAME, PASSWORD)
        [held] = (
            await staff.send(
                Found[HeldOrder], look.replace("2004", placed.order_id).replace("orders(", "answer: orders(", 1)
            )
        ).items
        assert held.custom_fields.cancellation_id == gone.cancellation_id
        release = release.replace("17", held.id).replace("can-…", gone.cancellation_id)
        await staff.send(AnyAnswer, release.replace("releaseOrder(", "answer: releaseOrder(", 1))
    assert await connected.orders.freeze(placed, key=hold_of(placed))


# Parcels


async def test_what_was_shipped_before_it_was_cancelled_is_not_withdrawn_and_not_packed_again(
    connected: VendureUnderTest, placed: Order
) -> None:
    pick = await pick_of(connected, placed, 1)
    await connected.shop.ship(pick)
    stop = key(placed.order_id, StepName.STOP_SHIPMENT, target=pick)
    with pytest.raises(Refused, match="has left the warehouse") as refused:
        await connected.orders.withdraw_pick(placed.order_id, pick, key=stop)
    assert refused.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
    await connected.shop.move_parcel(pick, "Cancelled")
    with pytest.raises(Refused, match="cancelled in Vendure afterwards"):
        await connected.orders.withdraw_pick(placed.order_id, pick, key=stop)
    resume = key(placed.order_id, StepName.RESUME_SHIPMENT, target=pick)
    await connected.orders.resume_pick(placed.order_id, pick, key=resume)
    assert len((await connected.shop.read(placed.order_id)).fulfillments) == 1


@without_plugin
async def test_a_pick_that_leaves_in_the_moment_of_its_withdrawal_is_not_stopped(
    connected: VendureUnderTest, placed: Order
) -> None:
    """Vendure cancels it all the same."""

    class ShippedAtOnce(VendureOrders):
        async def _get_stoppable_pick(self, order_id: str, shipment_id: str) -> Fulfillment:
            pick = await super()._get_stoppable_pick(order_id, shipment_id)
            await connected.shop.ship(shipment_id)
            return pick

    pick = await pick_of(connected, placed, 1)
    orders = ShippedAtOnce(VendureApi(f"{connected.network.url}/admin-api", USERNAME, PASSWORD), FILES[False])
    with pytest.raises(Refused, match="it has left the warehouse, and was cancelled in Vendure afterwards"):
        await orders.withdraw_pick(placed.order_id, pick, key=key(placed.order_id, StepName.STOP_SHIPMENT, target=pick))
    await orders.aclose()


async def test_a_labelled_parcel_is_not_withdrawn(connected: VendureUnderTest, placed: Order) -> None:
    parcel = Shipment(
        shipment_id="new",
        lines=(ShipmentLine(line_id=placed.lines[0].line_id, quantity=1),),
        carrier="UPS",
        label_reference="shp_1",
        tracking_number="1Z1",
    )
    packed = await connected.shop.pack(placed.order_id, parcel)
    with pytest.raises(Refused, match="it has a label"):
        await connected.orders.withdraw_pick(
            placed.order_id, packed, key=key(placed.order_id, StepName.STOP_SHIPMENT, target=packed)
        )


async def test_a_new_label_and_a_new_payment_are_recorded_by_the_plugin_or_left_to_a_person(
    connected: VendureUnderTest, placed: Order
) -> None:
    parcel = Shipment(
        shipment_id="new",
        lines=(ShipmentLine(line_id=placed.lines[0].line_id, quantity=1),),
        carrier="UPS",
        label_reference="shp_1",
        tracking_number="1Z1",
    )
    packed = await connected.shop.pack(placed.order_id, parcel)
    relabel = key(placed.order_id, StepName.RESUME_SHIPMENT, target=packed)
    tender = placed.tenders[0].tender_id
    restore = key(placed.order_id, StepName.RESTORE_PAYMENT, target=tender)
    if not connected.shop.plugin:
        with pytest.raises(Refused, match="shp_2") as refused:
            await connected.orders.relabel(placed.order_id, packed, "shp_2", "1Z2", key=relabel)
        assert refused.value.code is ErrorCode.STOP_NOT_UNDOABLE
        with pytest.raises(Refused, match="pi_new") as refused:
            await connected.orders.replace_payment(placed.order_id, tender, "pi_new", key=restore)
        assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND
        return
    for _ in range(2):
        await connected.orders.relabel(placed.order_id, packed, "shp_2", "1Z2", key=relabel)
        await connected.orders.replace_payment(placed.order_id, tender, "pi_new", key=restore)
    order = await connected.orders.read(placed.order_id)
    [shipment] = order.shipments
    assert (shipment.carrier, shipment.label_reference, shipment.tracking_number) == ("UPS", "shp_2", "1Z2")
    assert [tender.reference for tender in order.tenders] == ["pi_new"]
    with pytest.raises(Refused, match="has no fulfillment 0") as refused:
        await connected.orders.relabel(placed.order_id, "0", "shp_2", "1Z2", key=relabel)
    assert refused.value.code is ErrorCode.STOP_NOT_UNDOABLE
    with pytest.raises(Refused, match="has no payment 0") as refused:
        await connected.orders.replace_payment(placed.order_id, "0", "pi_new", key=restore)
    assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND


# Closing


async def test_the_shipping_charge_is_taken_off_once(connected: VendureUnderTest, placed: Order) -> None:
    close = closing(placed, 3, 1).model_copy(update={"shipping_back": True})
    for _ in range(2):
        await connected.orders.close(placed.order_id, close, None, key=key(placed.order_id))
    order = await connected.shop.read(placed.order_id)
    assert (order.state, order.total, order.shipping) == ("Cancelled", 0, 0)


async def test_a_shipping_charge_that_goes_back_alone_is_taken_off_where_the_plugin_is(
    connected: VendureUnderTest, placed: Order
) -> None:
    close = Closing(lines=(), shipping_back=True)
    await connected.orders.close(placed.order_id, close, None, key=key(placed.order_id))
    order = await connected.shop.read(placed.order_id)
    assert (order.state, order.shipping) == ("PaymentSettled", 0 if connected.shop.plugin else 490)


async def test_an_order_that_staff_has_open_is_not_closed_as_a_whole(
    connected: VendureUnderTest, placed: Order
) -> None:
    await connected.shop.begin_change(placed.order_id)
    with pytest.raises(Refused, match="is Modifying") as refused:
        await connected.orders.close(placed.order_id, closing(placed, 3, 1), None, key=key(placed.order_id))
    assert refused.value.code is ErrorCode.ORDER_LOCKED
    assert (await connected.orders.read(placed.order_id)).state is OrderState.OPEN
    await connected.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
    assert await units_gone(connected, placed) == [1, 0]


@pytest.mark.parametrize(
    ("vendure_process", "lost"),
    [(True, "orders(options"), (True, "closeOrder"), (False, "transitionFulfillmentToState"), (False, "cancelOrder")],
    ids=["with_plugin-read", "with_plugin-close", "without_plugin-fulfillment", "without_plugin-lines"],
    indirect=["vendure_process"],
)
async def test_a_close_whose_answer_is_lost_is_found_by_the_next_attempt(
    connected: VendureUnderTest, placed: Order, lost: str
) -> None:
    pick, chairs = await pick_of(connected, placed, 2), placed.lines[0]
    before = await connected.for_sale(placed.order_id, chairs.line_id)
    close = Closing(lines=(leaving(chairs, 1), leaving(chairs, 2, pick)), stopped=frozenset({pick}))
    connected.network.lose_answer(to=lost)
    with pytest.raises(Unavailable if lost == "orders(options" else OutcomeUnknown):
        await connected.orders.close(placed.order_id, close, None, key=key(placed.order_id))
    for orders in (connected.restarted(), connected.orders):
        await orders.close(placed.order_id, close, None, key=key(placed.order_id))
    assert await units_gone(connected, placed) == [3, 0]
    assert await connected.for_sale(placed.order_id, chairs.line_id) == before + 3
    assert connected.network.requests_lost == [lost]


@pytest.mark.parametrize("lost", ["transitionFulfillmentToState", "addFulfillmentToOrder"])
async def test_a_pick_whose_answer_is_lost_is_withdrawn_and_resumed_once(
    connected: VendureUnderTest, placed: Order, lost: str
) -> None:
    pick = await pick_of(connected, placed, 2)
    withdraw = key(placed.order_id, StepName.STOP_SHIPMENT, target=pick)
    resume = key(placed.order_id, StepName.RESUME_SHIPMENT, target=pick)

    async def work(orders: VendureOrders) -> None:
        await orders.withdraw_pick(placed.order_id, pick, key=withdraw)
        await orders.resume_pick(placed.order_id, pick, key=resume)

    connected.network.lose_answer(to=lost)
    with pytest.raises(OutcomeUnknown):
        await work(connected.orders)
    await work(connected.restarted())
    states = [fulfillment.state for fulfillment in (await connected.shop.read(placed.order_id)).fulfillments]
    assert states == ["Cancelled", "Pending"]


@with_plugin
@pytest.mark.parametrize("lost", ["holdOrder", "noteRefunds", "releaseOrder"])
async def test_what_the_plugin_has_done_although_its_answer_was_lost_is_not_done_twice(
    connected: VendureUnderTest, placed: Order, lost: str
) -> None:
    given = [GivenBack(tender_id=placed.tenders[0].tender_id, reference="re_1", amount=money("30.00 EUR"))]

    async def work(orders: VendureOrders) -> bool:
        frozen = await orders.freeze(placed, key=hold_of(placed))
        await orders.note_given_back(placed.order_id, given, key=key(placed.order_id))
        await orders.thaw(placed.order_id, key=key(placed.order_id, StepName.RELEASE_ORDER))
        return frozen

    connected.network.lose_answer(to=lost)
    with pytest.raises(OutcomeUnknown):
        await work(connected.orders)
    assert await work(connected.restarted()) is (lost != "releaseOrder"), "it is released for good"
    assert await connected.given_back(placed.order_id) == [("re_1", money("30.00 EUR"))]
    await connected.take_out(placed.order_id, placed.lines[0].line_id, 1)


# The login, and what is known


async def test_a_login_that_has_ended_is_made_anew(
    connected: VendureUnderTest, vendure: SandboxVendure, placed: Order
) -> None:
    await vendure.end_sessions()
    assert await connected.orders.read(placed.order_id) == placed
    await vendure.end_sessions()
    await connected.orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
    assert await units_gone(connected, placed) == [1, 0]


async def test_the_permissions_that_are_documented_are_enough_and_fewer_are_refused(
    connected: VendureUnderTest, placed: Order
) -> None:
    pick = await pick_of(connected, placed, 1)
    order = await connected.orders.read(placed.order_id)
    orders = await connected.adapter_of(["ReadOrder", "UpdateOrder"])
    given = [GivenBack(tender_id=placed.tenders[0].tender_id, reference="re_1", amount=money("30.00 EUR"))]
    assert await orders.read(placed.order_id) == order
    assert await orders.freeze(order, key=hold_of(placed)) is connected.shop.plugin
    for move in (orders.withdraw_pick, orders.resume_pick):
        await move(placed.order_id, pick, key=key(placed.order_id, StepName.STOP_SHIPMENT, target=pick))
    await orders.close(placed.order_id, closing(placed, 1, 0), None, key=key(placed.order_id))
    await orders.note_given_back(placed.order_id, given, key=key(placed.order_id))
    assert len(await orders.list_findings()) == len(Subject)
    reader = await connected.adapter_of(["ReadOrder"])
    with pytest.raises(Refused, match="ReadOrder and UpdateOrder") as refused:
        await reader.close(placed.order_id, closing(placed, 2, 0), None, key=key(placed.order_id))
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS


async def test_what_is_not_known_of_the_shop_is_said_with_what_to_do(connected: VendureUnderTest) -> None:
    unknown = {
        finding.subject: finding.sentence for finding in await connected.orders.list_findings() if not finding.known
    }
    if connected.shop.plugin:
        assert {*unknown} == {Subject.GOODS_COMING_BACK}
    else:
        assert {*unknown} == {*Subject} - {Subject.PICKS, Subject.LABELS}
        by_plugin = {subject for subject, sentence in unknown.items() if "Add the plugin" in sentence}
        assert by_plugin == {*unknown} - {Subject.GOODS_COMING_BACK}
