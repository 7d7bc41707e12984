"""A real Vendure as the conformance suite sees it: the adapter behind a network that can be cut."""

from collections.abc import Sequence
from uuid import uuid4

from domain.money import Money
from domain.order import Order, TenderKind
from domain.shipment import Shipment
from providers.orders.vendure.api import VendureApi
from providers.orders.vendure.orders import VendureOrders
from providers.orders.vendure.shop_file import ShopFile
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import PASSWORD, USERNAME, SandboxVendure

TENDERS = {"gift-card": TenderKind.GIFT_CARD, "store-credit": TenderKind.STORE_CREDIT}
# With the plugin labels are in its fields, and nothing is read out of what the warehouse has written.
FILES = {
    True: ShopFile(payment_methods=TENDERS),
    False: ShopFile(payment_methods=TENDERS, fulfillment_method=r"^(?P<carrier>\w+) (?P<label>shp_\w+)$"),
}


class VendureUnderTest:
    def __init__(self, shop: SandboxVendure, network: CuttableProxy) -> None:
        self.shop = shop
        self.network = network
        self._adapters: list[VendureOrders] = []
        self.orders = self.restarted()

    async def aclose(self) -> None:
        for adapter in self._adapters:
            await adapter.aclose()

    async def adapter_of(self, permissions: Sequence[str]) -> VendureOrders:
        """One that may do just this."""
        name = f"{uuid4().hex}@shop.example"
        await self.shop.add_administrator(name, PASSWORD, permissions)
        return self._connect(name)

    def restarted(self) -> VendureOrders:
        return self._connect(USERNAME)

    def _connect(self, username: str) -> VendureOrders:
        api = VendureApi(f"{self.network.url}/admin-api", username, PASSWORD)
        adapter = VendureOrders(api, FILES[self.shop.plugin])
        self._adapters.append(adapter)
        return adapter

    async def set_reachable(self, reachable: bool) -> None:
        self.network.set_reachable(reachable=reachable)

    async def place_order(self, order: Order) -> str:
        return await self.shop.place_order(order)

    async def take_out(self, order_id: str, line_id: str, units: int) -> None:
        await self.shop.take_out(order_id, line_id, units)

    async def ship(self, order_id: str, parcel: Shipment) -> None:
        """With a label it has left."""
        fulfillment = await self.shop.pack(order_id, parcel)
        if parcel.label_reference:
            await self.shop.ship(fulfillment)

    async def for_sale(self, order_id: str, line_id: str) -> int:
        return await self.shop.for_sale(order_id, line_id)

    async def given_back(self, order_id: str) -> list[tuple[str, Money]]:
        return await self.shop.given_back(order_id)
