"""Two shops, with our plugin and without, for all tests of this folder. `make vendure` installs what they run on.

A test that asks for `vendure` runs on both; `with_plugin` and `without_plugin` (over.py) take one of them. A
test places orders of its own: what others have left in the shop is there."""

import dataclasses
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from sandbox.vendure.process import VendureProcess
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import SandboxVendure
from tests.integrations.vendure.over import OverVendure
from tests.integrations.vendure.shops import VendureUnderTest
from tests.system import System


@pytest.fixture(scope="session", params=[True, False], ids=["with_plugin", "without_plugin"])
def vendure_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VendureProcess]:
    process = VendureProcess(tmp_path_factory.mktemp("vendure"), plugin=request.param).start()
    yield process
    process.stop()


@pytest_asyncio.fixture(scope="session")
async def vendure(vendure_process: VendureProcess) -> AsyncIterator[SandboxVendure]:
    async with SandboxVendure(vendure_process.url, plugin=vendure_process.plugin) as shop:
        yield shop


@pytest_asyncio.fixture
async def network(vendure_process: VendureProcess) -> AsyncIterator[CuttableProxy]:
    """Between an adapter and the shop: `network.url` is the shop's address there."""
    async with CuttableProxy(vendure_process.url) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def connected(vendure: SandboxVendure, network: CuttableProxy) -> AsyncIterator[VendureUnderTest]:
    """The shop with the adapter, behind that network."""
    under_test = VendureUnderTest(vendure, network)
    yield under_test
    await under_test.aclose()


@pytest.fixture
def over(bare_system: System, connected: VendureUnderTest) -> OverVendure:
    """The whole process over the shop, without a worker yet."""
    return OverVendure(dataclasses.replace(bare_system, orders=connected.orders), connected.shop, connected.network)
