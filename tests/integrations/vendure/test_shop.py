"""The Vendure shop that the other tests work over keeps what is placed in it, and does what staff and warehouse ask for."""

import asyncio
from uuid import uuid4

import httpx2
import pytest

from domain.money import Money, money
from domain.order import Order, OrderFlag, SaleCondition, Tender, TenderKind
from domain.shipment import Shipment, ShipmentLine
from sandbox.vendure.graphql import ShopRefused
from sandbox.vendure.money import money_of
from sandbox.vendure.placing import UNITS_IN_STOCK
from sandbox.vendure.process import VendureProcess
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import SandboxVendure
from tests.integrations.vendure.over import with_plugin, without_plugin
from tests.providers.shop_under_test import an_order


async def test_an_order_is_kept_with_its_exact_amounts(vendure: SandboxVendure) -> None:
    asked = an_order()
    order = await vendure.read(await vendure.place_order(asked))
    assert [(line.variant.sku, line.placed, line.quantity, line.total, line.tax) for line in order.lines] == [
        (line.sku, line.quantity, line.quantity, line.total.amount, line.tax.amount) for line in asked.lines
    ]
    assert (order.state, order.currency, order.total, order.shipping) == ("PaymentSettled", "EUR", 29490, 490)
    assert order.placed_at == asked.placed_at
    assert [(payment.method, payment.amount, payment.state, payment.reference) for payment in order.payments] == [
        ("card", 29490, "Settled", asked.tenders[0].reference)
    ]
    assert order.customer.email == "anna@customer.example"


@pytest.mark.parametrize(
    ("quantity", "total", "tax"),
    [
        (3, "100.00 EUR", "15.97 EUR"),  # 33.33 each, and one cent
        (7, "10.00 USD", "0.00 USD"),
        (2, "49.99 GBP", "8.33 GBP"),
        (1, "20.00 EUR", "1.05 EUR"),  # at no rate that anybody knows
        (3, "9901 JPY", "900 JPY"),
    ],
)
async def test_any_amount_can_be_a_lines(vendure: SandboxVendure, quantity: int, total: str, tax: str) -> None:
    value = money(total)
    line = an_order().lines[0].model_copy(update={"quantity": quantity, "total": value, "tax": money(tax)})
    free = Money.zero(value.currency)
    asked = paid_by_card(an_order().model_copy(update={"currency": value.currency, "lines": (line,), "shipping": free}))
    order = await vendure.read(await vendure.place_order(asked))
    [kept] = order.lines
    assert (kept.placed, money_of(kept.total, order.currency)) == (quantity, value)
    assert money_of(kept.tax, order.currency) == money(tax)


async def test_lines_of_one_product_stay_apart(vendure: SandboxVendure) -> None:
    order = an_order()
    chairs, table = order.lines
    asked = order.model_copy(update={"lines": (chairs, table.model_copy(update={"sku": chairs.sku}))})
    placed = await vendure.read(await vendure.place_order(asked))
    assert [(line.placed, line.total) for line in placed.lines] == [(3, 9000), (1, 20000)]
    assert await vendure.for_sale(placed.code, placed.lines[0].id) == UNITS_IN_STOCK - 4


async def test_a_discount_on_the_order_and_the_tax_of_its_shipping_are_kept(vendure: SandboxVendure) -> None:
    asked = paid_by_card(
        an_order().model_copy(update={"discount": money("10.00 EUR"), "shipping_tax": money("0.78 EUR")})
    )
    order = await vendure.read(await vendure.place_order(asked))
    assert [surcharge.price for surcharge in order.surcharges] == [-1000]
    assert (order.total, order.shipping, order.shipping_tax) == (28490, 490, 78)


async def test_several_tenders_pay_an_order_and_are_captured_later(vendure: SandboxVendure) -> None:
    parts = [(TenderKind.GIFT_CARD, "50.00 EUR"), (TenderKind.CARD, "100.00 EUR"), (TenderKind.CARD, "144.90 EUR")]
    tenders = tuple(
        Tender(tender_id=f"T{number}", kind=kind, amount=money(amount), reference=f"ref-{number}-{uuid4().hex[:8]}")
        for number, (kind, amount) in enumerate(parts)
    )
    code = await vendure.place_order(an_order().model_copy(update={"tenders": tenders}), captured=False)
    assert (await vendure.read(code)).state == "PaymentAuthorized"
    await vendure.capture(code)
    order = await vendure.read(code)
    assert order.state == "PaymentSettled"
    assert [(payment.method, payment.amount, payment.state, payment.reference) for payment in order.payments] == [
        ("gift-card", 5000, "Settled", tenders[0].reference),
        ("card", 10000, "Settled", tenders[1].reference),
        ("card", 14490, "Settled", tenders[2].reference),
    ]


async def test_an_order_that_its_tenders_do_not_pay_is_not_placed(vendure: SandboxVendure) -> None:
    asked = an_order()
    short = asked.tenders[0].model_copy(update={"amount": money("1.00 EUR")})
    with pytest.raises(ShopRefused, match="not paid"):
        await vendure.place_order(asked.model_copy(update={"tenders": (short,)}))


async def test_a_parcel_is_packed_shipped_and_delivered_and_stock_counts(vendure: SandboxVendure) -> None:
    order = await vendure.read(await vendure.place_order(an_order()))
    chairs, table = order.lines
    parcel = Shipment(
        shipment_id="S1",
        lines=(ShipmentLine(line_id=chairs.id, quantity=2),),
        carrier="UPS",
        label_reference="shp_1",
        tracking_number="1Z1",
    )
    assert await stock_of(vendure, order.code, chairs.id) == (UNITS_IN_STOCK, 3)
    packed = await vendure.pack(order.code, parcel)
    assert await stock_of(vendure, order.code, chairs.id) == (UNITS_IN_STOCK - 2, 1)
    rest = ShipmentLine(line_id=chairs.id, quantity=1), ShipmentLine(line_id=table.id, quantity=1)
    second = await vendure.pack(order.code, Shipment(shipment_id="S2", lines=rest))
    states = []
    for move in (vendure.ship, vendure.deliver):
        for parcel_id in (packed, second):
            await move(parcel_id)
            shown = await vendure.read(order.code)
            states.append((shown.state, *(each.state for each in shown.fulfillments)))
    assert states == [
        ("PartiallyShipped", "Shipped", "Pending"),
        ("Shipped", "Shipped", "Shipped"),
        ("PartiallyDelivered", "Delivered", "Shipped"),
        ("Delivered", "Delivered", "Delivered"),
    ]
    [first, _] = (await vendure.read(order.code)).fulfillments
    assert (first.method, first.tracking_code, first.lines[0].quantity) == ("UPS shp_1", "1Z1", 2)
    with pytest.raises(ShopRefused, match=r"Delivered.*Shipped"):
        await vendure.ship(packed)


async def test_staff_takes_a_unit_out_and_then_cancels_what_is_left(vendure: SandboxVendure) -> None:
    order = await vendure.read(await vendure.place_order(an_order()))
    chairs = order.lines[0]
    before = await vendure.for_sale(order.code, chairs.id)
    await vendure.take_out(order.code, chairs.id, 1)
    left = await vendure.read(order.code)
    assert [(line.placed, line.quantity) for line in left.lines] == [(3, 2), (1, 1)]
    assert await vendure.for_sale(order.code, chairs.id) == before + 1
    await vendure.cancel_order(order.code)
    gone = await vendure.read(order.code)
    assert (gone.state, [line.quantity for line in gone.lines], gone.shipping) == ("Cancelled", [0, 0], 0)
    assert await vendure.for_sale(order.code, chairs.id) == before + 3


@without_plugin
async def test_a_plain_shop_refunds_at_once_when_staff_says_so(vendure: SandboxVendure) -> None:
    code = await vendure.place_order(an_order())
    refund = await vendure.refund(code, money("30.00 EUR"))
    assert (refund.state, refund.total) == ("Settled", 3000)
    assert await vendure.given_back(code) == [(refund.reference, money("30.00 EUR"))]


@with_plugin
async def test_with_the_plugin_staff_refunds_nothing(vendure: SandboxVendure) -> None:
    code = await vendure.place_order(an_order())
    assert (await vendure.refund(code, money("30.00 EUR"))).state == "Failed"
    assert await vendure.given_back(code) == []


@with_plugin
async def test_with_the_plugin_labels_flags_and_conditions_are_kept(vendure: SandboxVendure) -> None:
    asked = an_order()
    final = asked.lines[0].model_copy(update={"condition": SaleCondition.FINAL_SALE})
    order = asked.model_copy(update={"flags": frozenset({OrderFlag.EU_CONSUMER}), "lines": (final, asked.lines[1])})
    placed = await vendure.read(await vendure.place_order(order))
    line = ShipmentLine(line_id=placed.lines[0].id, quantity=1)
    await vendure.pack(
        placed.code,
        Shipment(shipment_id="S1", lines=(line,), carrier="UPS", label_reference="shp_1", tracking_number="1Z1"),
    )
    fields = await vendure.read_custom_fields(placed.code)
    assert (fields.custom_fields.fraud_review, fields.custom_fields.eu_consumer) == (False, True)
    assert [line.variant.custom_fields.sale_condition for line in fields.lines] == ["final_sale", "regular"]
    assert [(parcel.custom_fields.carrier, parcel.custom_fields.label_reference) for parcel in fields.fulfillments] == [
        ("UPS", "shp_1")
    ]


async def test_what_was_answered_survives_a_kill(tmp_path_factory: pytest.TempPathFactory) -> None:
    process = VendureProcess(tmp_path_factory.mktemp("vendure"), plugin=False).start()
    try:
        async with SandboxVendure(process.url, plugin=False) as shop:
            code = await shop.place_order(an_order())
            line = (await shop.read(code)).lines[0]
            await shop.take_out(code, line.id, 1)
        process.kill()
        process.start()
        async with SandboxVendure(process.url, plugin=False) as shop:
            assert [left.quantity for left in (await shop.read(code)).lines] == [2, 1]
            await shop.take_out(code, line.id, 1)
    finally:
        process.stop()


async def test_requests_that_arrive_at_once_do_not_undo_one_another(vendure: SandboxVendure) -> None:
    """Each second one fails, in the middle of its transaction: there is no fourth chair."""
    placed = [await vendure.read(await vendure.place_order(an_order())) for _ in range(4)]
    answers = await asyncio.gather(
        *(vendure.take_out(order.code, order.lines[0].id, units) for order in placed for units in (3, 4)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), ShopRefused] * 4
    left = [await vendure.read(order.code) for order in placed]
    assert [order.lines[0].quantity for order in left] == [0] * 4


async def test_a_session_ends_when_everybody_is_logged_out(vendure: SandboxVendure) -> None:
    code = await vendure.place_order(an_order())
    async with SandboxVendure(vendure.url, plugin=vendure.plugin) as other:
        await vendure.end_sessions()
        with pytest.raises(ShopRefused, match="not currently authorized"):
            await other.read(code)
        assert (await vendure.read(code)).code == code


async def test_the_network_is_cut_and_an_answer_lost(vendure: SandboxVendure, network: CuttableProxy) -> None:
    code = await vendure.place_order(an_order())
    line = (await vendure.read(code)).lines[0]
    async with SandboxVendure(network.url, plugin=vendure.plugin) as remote:
        network.lose_answer("cancelOrder")
        with pytest.raises(httpx2.TransportError):
            await remote.take_out(code, line.id, 1)
        assert network.requests_lost == ["cancelOrder"]
        assert (await remote.read(code)).lines[0].quantity == 2, "it was carried out"
        network.set_reachable(reachable=False)
        with pytest.raises(httpx2.TransportError):
            await remote.read(code)
        network.set_reachable(reachable=True)
        assert (await remote.read(code)).code == code


async def stock_of(vendure: SandboxVendure, code: str, line_id: str) -> tuple[int, int]:
    level = await vendure.read_stock(code, line_id)
    return level.on_hand, level.allocated


def paid_by_card(order: Order) -> Order:
    total = order.price - (order.discount or Money.zero(order.currency))
    card = order.tenders[0].model_copy(update={"amount": total})
    return order.model_copy(update={"tenders": (card,)})
