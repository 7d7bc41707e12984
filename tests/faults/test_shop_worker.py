"""The order management system of the swarm's workers."""

from pathlib import Path

import pytest

from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.step import StepName
from tests.faults.broken import two_lines
from tests.faults.shop_worker import ARCHIVE, CANNOT_FREEZE, ShopOrders
from tests.system import System


async def test_an_order_that_is_archived_is_not_found(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = await system.shop.place_order(two_lines())
    order = await system.orders.read(placed.order_id)
    archive = tmp_path / "archived.txt"
    archive.write_text("another\n", encoding="utf-8")
    monkeypatch.setenv(ARCHIVE, str(archive))
    orders, key = ShopOrders(system.engine), EffectKey("can-1", StepName.VERIFY_ORDER, order.order_id)
    assert await orders.read(order.order_id) == order
    assert await orders.freeze(order, key=key)
    archive.write_text(f"another\n{order.order_id}\n", encoding="utf-8")
    for look in (
        orders.read(order.order_id),
        orders.freeze(order, key=key),
        orders.note_given_back(order.order_id, (), key=key),
    ):
        with pytest.raises(Refused) as refused:
            await look
        assert refused.value.code is ErrorCode.ORDER_NOT_FOUND


async def test_a_shop_that_cannot_freeze_leaves_the_order_as_it_is(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = await system.shop.place_order(two_lines())
    order = await system.orders.read(placed.order_id)
    (tmp_path / "archived.txt").touch()
    monkeypatch.setenv(ARCHIVE, str(tmp_path / "archived.txt"))
    monkeypatch.setenv(CANNOT_FREEZE, "yes")
    key = EffectKey("can-1", StepName.VERIFY_ORDER, order.order_id)
    assert not await ShopOrders(system.engine).freeze(order, key=key)
    assert (await system.read_order(order.order_id)).held_by is None
