"""Vendure ends the adapter's login, or goes away, in the middle of a cancellation."""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sandbox.vendure.process import VendureProcess
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import SandboxVendure
from tests.integrations.vendure import journeys
from tests.integrations.vendure.journeys import Journey
from tests.integrations.vendure.over import OverVendure
from tests.integrations.vendure.shops import VendureUnderTest
from tests.observing import eventually
from tests.system import System

pytestmark = pytest.mark.long

JOURNEYS = [journeys.carry_out, journeys.receive, journeys.withdraw, journeys.roll_back]


@pytest.mark.parametrize("journey", JOURNEYS)
async def test_a_login_that_has_ended_is_renewed(over: OverVendure, journey: Journey) -> None:
    await journey(over, over.shop.end_sessions)


@pytest.fixture(params=[True, False], ids=["with_plugin", "without_plugin"])
def own_process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VendureProcess]:
    process = VendureProcess(tmp_path / "vendure", plugin=request.param).start()
    yield process
    process.stop()


@pytest.mark.parametrize("journey", [journeys.carry_out, journeys.withdraw])
async def test_a_shop_that_is_away_for_a_while_changes_no_outcome(
    own_process: VendureProcess, bare_system: System, journey: Journey
) -> None:
    """It is killed, and started again when the cancellation has met nobody."""
    async with AsyncExitStack() as opened:
        shop = await opened.enter_async_context(SandboxVendure(own_process.url, plugin=own_process.plugin))
        network = await opened.enter_async_context(CuttableProxy(own_process.url))
        under_test = VendureUnderTest(shop, network)
        opened.push_async_callback(under_test.aclose)
        over = OverVendure(dataclasses.replace(bare_system, orders=under_test.orders), shop, network)

        async def nobody_is_met() -> bool:
            return network.connections_refused > 0

        async def come_back() -> None:
            await eventually(nobody_is_met, "the adapter meets nobody")
            await asyncio.to_thread(own_process.start)
            over.shop = await opened.enter_async_context(SandboxVendure(own_process.url, plugin=own_process.plugin))
            network.upstream = own_process.url

        back: list[asyncio.Task[None]] = []

        async def go_away() -> None:
            own_process.kill()
            back.append(asyncio.create_task(come_back()))

        await journey(over, go_away)
        await asyncio.gather(*back)
