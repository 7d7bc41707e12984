"""The port `orders` by its two implementations: the built-in one, and django-oscar as a shop that knows nothing of us, once
also as one that has for sale at once whatever leaves an order."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from domain.money import Money
from domain.order import Order
from domain.shipment import Shipment
from providers.database.engine import writing
from providers.orders.built_in.orders import BuiltInOrders
from providers.orders.built_in.tables import GivenBackRow, OrderLineRow, OrderRow
from sandbox import built_in
from tests.providers.orders_contract import OrdersContract, ShopUnderTest
from tests.providers.parcels_contract import ParcelsContract


class BuiltInShop:
    def __init__(self, engine: AsyncEngine) -> None:
        self.orders = BuiltInOrders(engine)
        self._engine = engine
        self._reachable = True
        event.listen(engine.sync_engine, "checkout", self._check_out)
        event.listen(engine.sync_engine, "do_connect", self._connect)

    def restarted(self) -> BuiltInOrders:
        return BuiltInOrders(self._engine)

    async def set_reachable(self, reachable: bool) -> None:
        self._reachable = reachable

    def _check_out(self, *_: object) -> None:
        if not self._reachable:
            raise DisconnectionError  # it connects anew

    def _connect(self, dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> None:
        """The database is where nothing is: a file, or a server's socket."""
        if not self._reachable and args:
            args[0] = "/no-such-folder/shop.sqlite"
        elif not self._reachable:
            options["host"] = "/no-such-folder"

    async def place_order(self, order: Order) -> str:
        assert order.contact is not None
        await built_in.add_order(self._engine, order, email=order.contact.email)
        return order.order_id

    async def take_out(self, order_id: str, line_id: str, units: int) -> None:
        line = (OrderLineRow.order_id == order_id, OrderLineRow.line_id == line_id)
        less = {"cancelled": OrderLineRow.cancelled + units, "reserved": OrderLineRow.reserved - units}
        async with async_sessionmaker(writing(self._engine)).begin() as session:
            await session.get(OrderRow, order_id, with_for_update=True)
            await session.execute(update(OrderLineRow).where(*line).values(less))

    async def ship(self, order_id: str, parcel: Shipment) -> None:
        await built_in.add_shipment(self._engine, order_id, parcel)

    async def for_sale(self, order_id: str, line_id: str) -> int:
        line = (await self.orders.read(order_id)).line(line_id)
        assert line is not None
        stock = await built_in.stock(self._engine, line.sku)
        return stock.on_hand - stock.reserved

    async def given_back(self, order_id: str) -> list[tuple[str, Money]]:
        currency = (await self.orders.read(order_id)).currency
        async with async_sessionmaker(self._engine)() as session:
            rows = await session.scalars(select(GivenBackRow).where(GivenBackRow.order_id == order_id))
            return [(row.reference, Money(amount=row.amount, currency=currency)) for row in rows]


class TestBuiltIn(ParcelsContract, OrdersContract):
    """On SQLite and on PostgreSQL."""

    can_freeze = has_picks = shows_refunds = True

    @pytest.fixture
    def shop(self, database: AsyncEngine) -> ShopUnderTest:
        return BuiltInShop(database)


class TestOscar(ParcelsContract, OrdersContract):
    shows_refunds = True

    @pytest.fixture
    def shop(self, oscar: Path) -> ShopUnderTest:
        from tests.providers.oscar.shop import OscarShop

        return OscarShop()


class TestOscarThatRestocksAtOnce(ParcelsContract, OrdersContract):
    shows_refunds = True

    @pytest.fixture
    def shop(self, oscar: Path) -> ShopUnderTest:
        from tests.providers.oscar.restocking import RestockingOscarOrders
        from tests.providers.oscar.shop import OscarShop

        return OscarShop(RestockingOscarOrders)
