"""Thousands of runs that wait: what they cost a worker, and whether another one resumes all of them.

python -m tests.faults.waiting --runs 2000 --results DIR

starts every part of the stack as a process of its own, with the product's own settings and policy.toml. The runs wait for
somebody's approval. The worker is killed, the next one is stopped properly, and in the end all are approved. It says on
standard error how far it is, and writes its figures as one line of JSON, also to DIR/waiting.jsonl; what is there,
measured on the same code, is not measured again. It ends with 1 when a run did not end as it should.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from temporalio.client import Client

from client.cancellations import Cancellations
from domain.messages import Approve
from domain.order import Order
from domain.outcome import Outcome, State
from domain.request import workflow_id
from providers.database.engine import open_engine
from sandbox import books
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from sandbox.serving import Process
from sandbox.shop import SampleOrder, Shop, card, line, request
from sandbox.stack import Stack, new_stack
from tests.faults.results import OnCommit, Results, reports_since_now
from tests.system import SUPERVISOR

Given = TypeVar("Given")
Made = TypeVar("Made")

_AT_ONCE = 8
_STAGES = 4
_TOTAL = "600.00 USD"
"""More than a customer's order may give back without somebody's approval."""
_RUNNING = "ExecutionStatus = 'Running'"
_WAITING = f"{_RUNNING} AND CancellationState = '{State.WAITING_FOR_APPROVAL}'"


class Figures(OnCommit):
    """`mebibytes` is the worker's memory before the first run and after each of some equal parts of them;
    `mebibytes_resumed` that of the last worker, when it has ended what was left."""

    case: str = ""
    runs: int
    mebibytes: tuple[int, ...]
    mebibytes_resumed: int
    most_events_waiting: int
    most_events: int
    seconds_to_end_all: float
    refunds: int
    problems: tuple[str, ...]


def memory_of(process: Process) -> int:
    """What is resident, in MiB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


async def _for_each(given: Iterable[Given], job: Callable[[Given], Awaitable[Made]]) -> list[Made]:
    some_at_once = asyncio.Semaphore(_AT_ONCE)

    async def carry_out(value: Given) -> Made:
        async with some_at_once:
            return await job(value)

    return await asyncio.gather(*(carry_out(value) for value in given))


@dataclass
class Waiting:
    """On a stack whose worker does not run yet."""

    stack: Stack
    client: Client
    shop: Shop
    say: Callable[[str], None] = lambda _: None

    async def measure(self, runs: int) -> Figures:
        orders = [await self._place_order(number) for number in range(runs)]  # one writer at a time: it is SQLite
        self.say(f"{runs} orders are placed.")
        await self.stack.start_worker()
        memory = [memory_of(self.stack.worker)]
        for stage in range(_STAGES):
            begun, until = runs * stage // _STAGES, runs * (stage + 1) // _STAGES
            await _for_each(orders[begun:until], self._start)
            await self._wait_for(_WAITING, until)
            memory.append(memory_of(self.stack.worker))
            self.say(f"{until} runs wait; the worker has {memory[-1]} MiB.")
        waiting = max(await _for_each(orders, self._count_events))
        quarter = runs // _STAGES
        self.stack.worker.kill()
        await self.stack.start_worker()
        await _for_each(orders[:quarter], self._approve)
        self.say(f"The worker was killed, and another one has resumed {quarter} of them.")
        self.stack.worker.stop()
        await self.stack.start_worker()
        began = time.monotonic()
        await _for_each(orders[quarter:], self._approve)
        await self._wait_for(_RUNNING, 0)
        return Figures(
            runs=runs,
            mebibytes=tuple(memory),
            mebibytes_resumed=memory_of(self.stack.worker),
            most_events_waiting=waiting,
            most_events=max(await _for_each(orders, self._count_events)),
            seconds_to_end_all=round(time.monotonic() - began, 1),
            refunds=len(await self.shop.gateway.effects(kind=EffectKind.REFUND_CREATED)),
            problems=tuple(await self._problems(orders)),
        )

    async def _place_order(self, number: int) -> Order:
        sample = SampleOrder(order_id=f"W-{number}", lines=(line("L1", 1, _TOTAL),), tenders=(card(_TOTAL),))
        return await self.shop.place_order(sample)

    async def _start(self, order: Order) -> None:
        asked = request(SampleOrder(order_id=order.order_id, lines=(), tenders=()))
        await Cancellations(self.client).start(asked)

    async def _approve(self, order: Order) -> None:
        await Cancellations(self.client).approve(order.order_id, Approve(actor=SUPERVISOR))

    async def _count_events(self, order: Order) -> int:
        return len((await self.client.get_workflow_handle(workflow_id(order.order_id)).fetch_history()).events)

    async def _wait_for(self, query: str, wanted: int) -> None:
        while (found := (await self.client.count_workflows(query)).count) != wanted:
            self.say(f"{found} of {wanted}: {query}")
            await asyncio.sleep(5)

    async def _problems(self, orders: Iterable[Order]) -> list[str]:
        """Of each order: cancelled once, and refunded once."""
        refunds = await self.shop.gateway.effects(kind=EffectKind.REFUND_CREATED)
        ended = Counter((found.order_id, found.outcome) for found in await books.cancellations(self.shop.engine))
        paid = Counter(refund.payment_id for refund in refunds)
        return [
            f"{order.order_id} was refunded {paid[order.tenders[0].reference]} times, and has not ended once as cancelled"
            for order in orders
            if (paid[order.tenders[0].reference], ended[order.order_id, Outcome.CANCELLED]) != (1, 1)
        ]


async def measure_on_processes(runs: int, folder: Path, say: Callable[[str], None]) -> Figures:
    async with new_stack(folder, measured=True) as stack:
        client = await stack.start()
        engine = open_engine(stack.database_url)
        async with GatewayAdmin(stack.gateway.url) as gateway, CarrierAdmin(stack.carrier.url) as carrier:
            try:
                return await Waiting(stack, client, Shop(gateway, carrier, engine), say).measure(runs)
            finally:
                await engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.waiting")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--results", type=Path, metavar="DIR")
    asked = parser.parse_args()
    results, case = Results(Figures, asked.results, "waiting"), f"{asked.runs} runs"
    figures = results.found.get(case)
    if figures is None:
        with tempfile.TemporaryDirectory(prefix="waiting-") as folder:
            figures = asyncio.run(measure_on_processes(asked.runs, Path(folder) / "stack", reports_since_now()))
        figures = figures.model_copy(update={"case": case})
        results.add(figures)
    print(figures.model_dump_json())
    return 1 if figures.problems else 0


if __name__ == "__main__":
    sys.exit(main())
