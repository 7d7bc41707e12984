"""The port `orders` on a real Vendure, with this product's plugin and without it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.vendure.process import VendureProcess
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import VendureShop
from tests.integrations.vendure.shops import VendureUnderTest
from tests.providers.orders_contract import OrdersContract
from tests.providers.parcels_contract import ParcelsContract


class OnVendure(ParcelsContract, OrdersContract):
    has_plugin: bool
    has_picks = True

    @pytest.fixture(scope="class")
    def process(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[VendureProcess]:
        process = VendureProcess(tmp_path_factory.mktemp("vendure"), plugin=request.cls.has_plugin).start()
        yield process
        process.stop()

    @pytest.fixture
    async def shop(self, process: VendureProcess) -> AsyncIterator[VendureUnderTest]:
        async with VendureShop(process.url, plugin=self.has_plugin) as vendure, CuttableProxy(process.url) as network:
            under_test = VendureUnderTest(vendure, network)
            yield under_test
            await under_test.aclose()


class TestWithPlugin(OnVendure):
    has_plugin = can_freeze = shows_refunds = True


class TestWithoutPlugin(OnVendure):
    has_plugin = False
    counts_what_left_beside = True
