"""What a shop that keeps parcels has to do (docs/providers.md), besides the suite in orders_contract.py: they are seen, and
closing an order knows them."""

import pytest

from domain.closing import Closing
from domain.keys import EffectKey
from domain.order import Order
from domain.shipment import Shipment, ShipmentLine
from tests.providers.closing_contract import units_gone
from tests.providers.shop_under_test import ShopUnderTest, closing, key, leaving


class ParcelsContract:
    """Beside OrdersContract: `class TestMyShop(ParcelsContract, OrdersContract)`."""

    counts_what_left_beside = False
    """A mistake of the shop: where it takes units out of a line, it counts as many others that have left as on hand."""

    @pytest.fixture
    async def packed(self, shop: ShopUnderTest, placed: Order) -> Order:
        """With two of its three chairs in a parcel."""
        chairs = ShipmentLine(line_id=placed.lines[0].line_id, quantity=2)
        await shop.ship(
            placed.order_id,
            Shipment(shipment_id="S1", lines=(chairs,), carrier="UPS", label_reference="shp_1", tracking_number="1Z1"),
        )
        return await shop.orders.read(placed.order_id)

    async def test_a_parcel_that_has_left_is_seen(self, shop: ShopUnderTest, placed: Order) -> None:
        part = ShipmentLine(line_id=placed.lines[0].line_id, quantity=2)
        parcel = Shipment(
            shipment_id="S1", lines=(part,), carrier="UPS", label_reference="shp_1", tracking_number="1Z1"
        )
        await shop.ship(placed.order_id, parcel)
        shipments = (await shop.orders.read(placed.order_id)).shipments
        assert len(shipments) == 1, "no parcel is seen after `ship`: leave ParcelsContract out where the shop has none"
        [seen] = shipments
        assert (seen.lines, seen.label_reference, seen.tracking_number) == ((part,), "shp_1", "1Z1")

    @pytest.mark.parametrize("became", ["coming_back", "lost", "moving"])
    async def test_goods_that_have_left_the_warehouse_are_not_for_sale(
        self, shop: ShopUnderTest, packed: Order, became: str
    ) -> None:
        """Those in no parcel are. Where all are for sale at once, the others stay in the order until they have arrived."""
        chairs = packed.lines[0]
        [parcel] = {shipment.shipment_id for shipment in packed.shipments}
        before = await shop.for_sale(packed.order_id, chairs.line_id)
        close = Closing(lines=(leaving(chairs, 1), leaving(chairs, 2, parcel)), **what_became_of(parcel, became))
        first = as_sent(shop, close)
        for _ in range(2):
            await shop.orders.close(packed.order_id, first, None, key=key(packed.order_id))
        too_many = 1 if self.counts_what_left_beside else 0
        gone_loose = await shop.for_sale(packed.order_id, chairs.line_id)
        assert gone_loose == before + 1 + too_many, "the chair that was in no parcel"
        if not shop.orders.restocks_at_once:
            assert await units_gone(shop, packed) == [3, 0]
            return
        assert await units_gone(shop, packed) == [1, 0]
        for _ in range(2):
            await shop.orders.close(packed.order_id, close, first, key=key_of_next_close(packed))
        assert await units_gone(shop, packed) == [3, 0]
        assert await shop.for_sale(packed.order_id, chairs.line_id) == before + 3 + too_many

    async def test_goods_of_a_parcel_that_was_stopped_in_the_warehouse_are_for_sale(
        self, shop: ShopUnderTest, packed: Order
    ) -> None:
        """And nobody sends it any more: it is read as stopped, or not any more, or without its lines."""
        chairs = packed.lines[0]
        [parcel] = {shipment.shipment_id for shipment in packed.shipments}
        before = await shop.for_sale(packed.order_id, chairs.line_id)
        close = Closing(lines=(leaving(chairs, 2, parcel),), stopped=frozenset({parcel}))
        for _ in range(2):
            await shop.orders.close(packed.order_id, close, None, key=key(packed.order_id))
        order = await shop.orders.read(packed.order_id)
        assert [line.cancelled for line in order.lines] == [2, 0]
        assert not [shipment for shipment in order.shipments if shipment.lines and not shipment.stopped]
        assert await shop.for_sale(packed.order_id, chairs.line_id) == before + 2

    async def test_what_stays_of_a_stopped_parcel_stays_in_the_order_and_promised(
        self, shop: ShopUnderTest, packed: Order
    ) -> None:
        chairs = packed.lines[0]
        [parcel] = {shipment.shipment_id for shipment in packed.shipments}
        before = await shop.for_sale(packed.order_id, chairs.line_id)
        close = Closing(lines=(leaving(chairs, 1, parcel),), stopped=frozenset({parcel}))
        await shop.orders.close(packed.order_id, close, None, key=key(packed.order_id))
        assert await units_gone(shop, packed) == [1, 0]
        assert await shop.for_sale(packed.order_id, chairs.line_id) == before + 1
        left = await shop.orders.read(packed.order_id)
        second = key(packed.order_id, request_id="R-2")
        await shop.orders.close(packed.order_id, closing(left, 2, 0), None, key=second)
        assert await units_gone(shop, packed) == [3, 0]
        assert await shop.for_sale(packed.order_id, chairs.line_id) == before + 3, "they were in no parcel any more"

    @pytest.mark.parametrize("became", ["coming_back", "lost", "moving"])
    async def test_closed_again_because_a_parcel_had_left_after_all_its_goods_are_not_for_sale_any_more(
        self, shop: ShopUnderTest, packed: Order, became: str
    ) -> None:
        """What is for sale at once cannot be called back."""
        chairs = packed.lines[0]
        [parcel] = {shipment.shipment_id for shipment in packed.shipments}
        before = await shop.for_sale(packed.order_id, chairs.line_id)
        lines = (leaving(chairs, 1), leaving(chairs, 2, parcel))
        first = Closing(lines=lines, stopped=frozenset({parcel}))
        await shop.orders.close(packed.order_id, first, None, key=key(packed.order_id))
        assert await shop.for_sale(packed.order_id, chairs.line_id) == before + 3
        close = as_sent(shop, Closing(lines=lines, **what_became_of(parcel, became)))
        for _ in range(2):
            await shop.orders.close(packed.order_id, close, first, key=key_of_next_close(packed))
        assert await units_gone(shop, packed) == [3, 0]
        still = 3 if shop.orders.restocks_at_once else 1
        assert await shop.for_sale(packed.order_id, chairs.line_id) == before + still

    @pytest.mark.parametrize("became", [("coming_back", "lost"), ("moving", "coming_back")])
    async def test_closed_again_because_a_parcel_does_not_come_back_or_does_nothing_else_changes(
        self, shop: ShopUnderTest, packed: Order, became: tuple[str, str]
    ) -> None:
        """Also where others have taken something out of the order since."""
        chairs, tables = packed.lines
        [parcel] = {shipment.shipment_id for shipment in packed.shipments}
        first, second = (
            as_sent(shop, Closing(lines=(leaving(chairs, 2, parcel),), **what_became_of(parcel, each)))
            for each in became
        )
        await shop.orders.close(packed.order_id, first, None, key=key(packed.order_id))
        left = await shop.orders.read(packed.order_id)
        others = Closing(lines=(leaving(left.lines[0], 1), leaving(tables, 1)))
        await shop.orders.close(packed.order_id, others, None, key=key(packed.order_id, request_id="R-2"))
        read = await shop.orders.read(packed.order_id)
        before = [await shop.for_sale(packed.order_id, line.line_id) for line in packed.lines]
        for _ in range(2):
            await shop.orders.close(packed.order_id, second, first, key=key_of_next_close(packed))
        assert await units_gone(shop, packed) == [line.cancelled for line in read.lines]
        assert [await shop.for_sale(packed.order_id, line.line_id) for line in packed.lines] == before


def key_of_next_close(order: Order) -> EffectKey:
    """The key of a close that follows another one of the same cancellation."""
    return key(order.order_id).part_of("again1")


def what_became_of(parcel: str, became: str) -> dict[str, frozenset[str]]:
    """As the process says it of a parcel that has left the warehouse."""
    this, none = frozenset({parcel}), frozenset[str]()
    return {
        "gone": this,
        "stopped": none if became == "moving" else this,
        "coming_back": this if became == "coming_back" else none,
    }


def as_sent(shop: ShopUnderTest, closing: Closing) -> Closing:
    """What the process sends: without lines of parcels that have left where all that leaves an order is for sale at once."""
    return closing.without_expected(closing.gone, {}) if shop.orders.restocks_at_once else closing
