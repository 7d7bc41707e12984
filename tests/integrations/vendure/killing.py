"""Cancellations over a real Vendure whose worker, or whose shop, is killed at one of their calls."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from domain.keys import id_of
from domain.order import Order
from domain.outcome import CancellationResult
from sandbox.serving import Process
from sandbox.vendure.process import VendureProcess
from tests.fixtures.workers import Workers
from tests.integrations.vendure.aftermath import Aftermath, see_aftermath
from tests.integrations.vendure.calls import NOBODY, Call, Point, StoppingProxy
from tests.integrations.vendure.over import OverVendure
from tests.integrations.vendure.stories import Story, place_order, request_of, run_story


class Victim(StrEnum):
    WORKER = "worker"
    VENDURE = "vendure"


class Fault(NamedTuple):
    story: Story
    call: Call
    point: Point


class Finished(NamedTuple):
    order: Order
    result: CancellationResult


class Undisturbed(NamedTuple):
    aftermath: Aftermath
    calls: tuple[Call, ...]


@dataclass
class Killing:
    """`worker` reaches the shop by way of `calls`; the test does not."""

    over: OverVendure
    process: VendureProcess
    calls: StoppingProxy
    workers: Workers
    worker: Process

    async def try_out(self, *stories: Story) -> dict[Story, Undisturbed]:
        """What becomes of an order of each when nothing happens."""
        orders = [await self._place_order(story) for story in stories]
        results = await asyncio.gather(
            *(run_story(self.over, order, story) for order, story in zip(orders, stories, strict=True))
        )
        return {
            story: Undisturbed(await self.see(Finished(order, result)), self.calls.list_calls(order.order_id))
            for story, order, result in zip(stories, orders, results, strict=True)
        }

    async def kill_at(self, victim: Victim, faults: Sequence[Fault]) -> list[Finished]:
        """An order for each of the faults. Once all are stopped at theirs, the victim is killed and started again."""
        orders = [await self._place_order(fault.story) for fault in faults]
        for order, fault in zip(orders, faults, strict=True):
            self.calls.stop_at(order.order_id, fault.call, fault.point)
        runs = asyncio.gather(
            *(run_story(self.over, order, fault.story) for order, fault in zip(orders, faults, strict=True))
        )
        await self._kill_when_stopped(victim, [order.order_id for order in orders], runs)
        return [Finished(order, result) for order, result in zip(orders, await runs, strict=True)]

    async def kill_new_worker_at(self, operation: str, point: Point, victim: Victim, story: Story) -> Finished:
        """At a call that a worker makes for no order, at its start."""
        self.worker.kill()
        self.calls.stop_at(NOBODY, self.calls.find_next(operation), point)
        order = await self._place_order(story)
        self.worker = self.workers.start()
        run = asyncio.ensure_future(run_story(self.over, order, story))
        await self._kill_when_stopped(victim, [NOBODY], run)
        return Finished(order, await run)

    async def see(self, finished: Finished) -> Aftermath:
        return await see_aftermath(self.over, *finished)

    async def _place_order(self, story: Story) -> Order:
        order = await place_order(self.over, story)
        self.calls.watch(order.order_id, id_of(request_of(order, story)))
        return order

    async def _kill_when_stopped(self, victim: Victim, order_ids: Sequence[str], runs: asyncio.Future[Any]) -> None:
        stopped = asyncio.ensure_future(self.calls.wait_until_stopped(order_ids))
        await asyncio.wait([runs, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            stopped.cancel()
            await runs  # raises what has failed
            raise AssertionError("the runs have ended, and not all of their calls were stopped")
        await stopped
        await self._kill(victim)

    async def _kill(self, victim: Victim) -> None:
        match victim:
            case Victim.WORKER:
                self.worker.kill()
                self.calls.drop_stopped()
                self.worker = self.workers.start()
            case Victim.VENDURE:
                self.process.kill()
                self.calls.cut()
                await asyncio.to_thread(self.process.start)
                await self.calls.listen()
