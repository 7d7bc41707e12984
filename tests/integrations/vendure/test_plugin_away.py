"""Vendure runs without the plugin for a while, with an order that is held."""

from pathlib import Path

import pytest

from domain.errors import Unavailable
from domain.step import StepName
from providers.orders.vendure.api import VendureApi
from providers.orders.vendure.orders import VendureOrders
from providers.orders.vendure.shop_file import ShopFile
from sandbox.vendure.process import VendureProcess
from sandbox.vendure.shop import PASSWORD, USERNAME, SandboxVendure
from tests.providers.shop_under_test import an_order, closing, key

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.mark.parametrize("ends_with", ["thaw", "close"])
async def test_what_releases_an_order_waits_for_the_plugin_that_holds_it(tmp_path: Path, ends_with: str) -> None:
    """Otherwise it would stay held by a cancellation that is over."""
    running = VendureProcess(tmp_path / "shop", plugin=True).start()
    address = running.url
    orders = VendureOrders(VendureApi(f"{address}/admin-api", USERNAME, PASSWORD), ShopFile())

    def restart(*, plugin: bool) -> VendureProcess:
        running.stop()
        process = VendureProcess(tmp_path / "shop", plugin=plugin)
        process.url = address
        return process.start()

    async def release() -> None:
        if ends_with == "thaw":
            await orders.thaw(order.order_id, key=key(order.order_id, StepName.RELEASE_ORDER))
        else:
            await orders.close(order.order_id, closing(order, 1, 0), None, key=key(order.order_id))

    try:
        async with SandboxVendure(address, plugin=True) as shop:
            order = await orders.read(await shop.place_order(an_order()))
            assert await orders.freeze(order, key=key(order.order_id, StepName.VERIFY_ORDER))
        running = restart(plugin=False)
        for _ in range(3):
            with pytest.raises(Unavailable, match="does not have this product's plugin any more"):
                await release()
        running = restart(plugin=True)
        await release()
        async with SandboxVendure(address, plugin=True) as shop:
            assert await shop.read_holder(order.order_id) is None
            await shop.take_out(order.order_id, order.lines[0].line_id, 1)
    finally:
        running.stop()
        await orders.aclose()
