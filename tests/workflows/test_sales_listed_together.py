"""Many sales at a marketplace whose list of orders may be read once in a while."""

import asyncio
import time
from pathlib import Path

from domain.outcome import State
from providers.marketplace.mirakl import MiraklMarketplace
from sandbox.marketplace.model import MARKETPLACE_KEY, Operation
from sandbox.marketplace_admin import MarketplaceAdmin, marketplace_process
from sandbox.shop import request
from tests.system import System
from tests.workflows.test_sales_elsewhere import cancelled_there, sold_there


async def test_many_sales_are_cancelled_with_a_list_a_second(real_time_system: System, tmp_path: Path) -> None:
    """F27, E11: each is read before and after, and each unit is cancelled once."""
    system, samples = real_time_system, [sold_there() for _ in range(6)]
    process = marketplace_process(tmp_path, orders_every=1).start()
    mirakl = MiraklMarketplace(process.url, MARKETPLACE_KEY, orders_every=1)
    try:
        async with MarketplaceAdmin(process.url) as marketplace:
            system.marketplace, system.shop.marketplace = mirakl, marketplace
            for sample in samples:
                await system.shop.place_order(sample)
            began = time.monotonic()
            async with system.worker():
                handles = [handle for _, handle in await asyncio.gather(*(system.submit(request(s)) for s in samples))]
                for handle in handles:
                    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
                calls = await marketplace.calls()
                assert calls[Operation.ORDERS_READ] <= time.monotonic() - began + 1
                assert calls[Operation.ORDERS_REFUND] == len(samples)
                assert [await cancelled_there(system, sample) for sample in samples] == [[1]] * len(samples)
                for sample, handle in zip(samples, handles, strict=True):
                    await marketplace.settle(f"M-{sample.order_id}")
                    await system.wake(handle)
                for handle in handles:
                    await system.end(handle)
    finally:
        await mirakl.aclose()
        process.stop()
