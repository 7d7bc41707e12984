"""The adapter of docs/providers.md, as it is printed there, over a shop of one SQLite file."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from domain.money import Money
from domain.order import Order
from domain.shipment import Shipment
from providers.orders.port import Orders
from tests.providers.orders_contract import OrdersContract, ShopUnderTest

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
_TABLES = """
CREATE TABLE orders (number TEXT PRIMARY KEY, customer TEXT, email TEXT, placed_at TEXT, currency TEXT, shipping INT,
                     paid INT, payment TEXT);
CREATE TABLE lines (id INTEGER PRIMARY KEY, number TEXT, sku TEXT, title TEXT, quantity INT, total INT, tax INT,
                    cancelled INT DEFAULT 0);
CREATE TABLE stock (sku TEXT PRIMARY KEY, for_sale INT);
"""


def printed() -> Callable[[str], Orders]:
    """The class that the page defines."""
    [code] = re.findall(r"```python\n(.*?class MyShop.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "my_shop"}
    exec(compile(code, "docs/providers.md", "exec"), names)
    shop: Callable[[str], Orders] = names["MyShop"]
    return shop


class MyShopUnderTest:
    """It has no parcels."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with closing(sqlite3.connect(file)) as shop, shop:
            shop.executescript(_TABLES)
        self._adapter = printed()
        self.orders = self.restarted()

    def restarted(self) -> Orders:
        return self._adapter(str(self._file))

    async def set_reachable(self, reachable: bool) -> None:
        away = self._file.with_suffix(".away")
        (away if reachable else self._file).rename(self._file if reachable else away)

    async def place_order(self, order: Order) -> str:
        [tender] = order.tenders
        assert order.contact is not None
        with closing(sqlite3.connect(self._file)) as shop, shop:
            shop.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    order.order_id,
                    order.customer_id,
                    order.contact.email,
                    order.placed_at.isoformat(),
                    order.currency,
                    order.shipping.amount,
                    tender.amount.amount,
                    tender.reference,
                ),
            )
            for line in order.lines:
                shop.execute(
                    "INSERT INTO lines (number, sku, title, quantity, total, tax) VALUES (?, ?, ?, ?, ?, ?)",
                    (order.order_id, line.sku, line.title, line.quantity, line.total.amount, line.tax.amount),
                )
                shop.execute("INSERT OR IGNORE INTO stock VALUES (?, 10)", (line.sku,))
        return order.order_id

    async def take_out(self, order_id: str, line_id: str, units: int) -> None:
        with closing(sqlite3.connect(self._file)) as shop, shop:
            shop.execute("UPDATE lines SET cancelled = cancelled + ? WHERE id = ?", (units, line_id))

    async def ship(self, order_id: str, parcel: Shipment) -> None:
        raise NotImplementedError

    async def for_sale(self, order_id: str, line_id: str) -> int:
        with closing(sqlite3.connect(self._file)) as shop, shop:
            found = shop.execute("SELECT for_sale FROM stock JOIN lines USING (sku) WHERE id = ?", (line_id,))
            return int(found.fetchone()[0])

    async def given_back(self, order_id: str) -> list[tuple[str, Money]]:
        return []


class TestMyShop(OrdersContract):
    @pytest.fixture
    def shop(self, tmp_path: Path) -> ShopUnderTest:
        return MyShopUnderTest(tmp_path / "shop.sqlite")
