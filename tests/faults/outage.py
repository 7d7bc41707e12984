"""The gateway is away under load: who asks it meanwhile, who waits, and how all of them go on when it is back.

python -m tests.faults.outage --runs 2000 --minutes 60 --results DIR

starts every part of the stack as a process of its own, with the product's own settings and policy.toml. It says on standard
error how far it is, and writes its figures as one line of JSON, also to DIR/outage.jsonl; what is there, measured on
the same code, is not measured again. It ends with 1 when a run did not end as it should.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from temporalio.client import Client

from client.diagnosis import waiting_for
from client.submitting import attributes_at_start
from domain.examination import Counterpart
from domain.order import Order
from domain.outcome import Outcome
from domain.request import workflow_id
from providers.database.engine import open_engine
from runtime.plugin import TASK_QUEUE
from sandbox import books
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from sandbox.shop import SampleOrder, Shop, card, line, request
from sandbox.stack import new_stack
from sandbox.vendure.proxy import CuttableProxy
from tests.faults.results import OnCommit, Results, reports_since_now
from workflows.cancellation import CancellationWorkflow

_SAYS_EVERY = 15.0


class Front(CuttableProxy):
    """What stands before the gateway. `tried` has a time for each connection that was tried while it is cut."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.tried: list[float] = []

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if not self._reachable:
            self.tried.append(time.monotonic())
        await super()._serve(reader, writer)


class Figures(OnCommit):
    """`undisturbed_calls` is what a run of before the outage has cost the gateway, `attempts` how often the runs have tried
    a step in all, `calls_away` how many of these came to the gateway while it was away. `most_…` are of one second.
    `problems` are what is not as it should be in the end."""

    case: str = ""
    runs: int
    seconds_away: float
    undisturbed_calls: float
    attempts: int
    calls_away: int
    most_calls_away: int
    most_waiting: int
    calls_after: int
    most_calls_after: int
    seconds_until_all_had_ended: float
    most_events: int
    refunds: int
    problems: tuple[str, ...]


@dataclass
class Outage:
    """A worker asks the gateway through `front`. `say` hears how far it is."""

    client: Client
    shop: Shop
    front: Front
    task_queue: str = TASK_QUEUE
    say: Callable[[str], None] = lambda _: None
    away_at: float = 0.0
    _samples: list[int] = field(default_factory=list)
    _most_waiting: int = 0

    async def measure(self, runs: int, lasts: Callable[["Outage"], Awaitable[None]], seconds: float) -> Figures:
        """A tenth of the runs begins and ends before the gateway goes, the others begin within `seconds`. It is away until
        `lasts` is over."""
        orders = await self._place_orders(runs)
        before, others = orders[: max(runs // 10, 1)], orders[max(runs // 10, 1) :]
        calls = await self._calls()
        await self._start(before, seconds=0)
        await self.wait_until_over()
        undisturbed = (await self._calls() - calls) / len(before)
        self.front.set_reachable(reachable=False)
        self.away_at = time.monotonic()
        self.say("The gateway is away.")
        await self._start(others, seconds)
        await lasts(self)
        calls, back = await self._calls(), time.monotonic()
        self.front.set_reachable(reachable=True)
        self.say(f"The gateway is back; {await self.count_waiting()} runs wait for it.")
        sampling = asyncio.create_task(self._sample_calls())
        await self.wait_until_over()
        ended = time.monotonic()
        sampling.cancel()
        attempts, events = await self._read_histories(orders)
        return Figures(
            runs=runs,
            seconds_away=round(back - self.away_at, 1),
            undisturbed_calls=undisturbed,
            attempts=attempts,
            calls_away=len(self.front.tried),
            most_calls_away=max(Counter(int(at) for at in self.front.tried).values(), default=0),
            most_waiting=self._most_waiting,
            calls_after=await self._calls() - calls,
            most_calls_after=max((later - earlier for earlier, later in pairwise(self._samples)), default=0),
            seconds_until_all_had_ended=round(ended - back, 1),
            most_events=max(events),
            refunds=len(await self.shop.gateway.effects(kind=EffectKind.REFUND_CREATED)),
            problems=tuple(await self._problems(orders)),
        )

    async def _place_orders(self, runs: int) -> list[Order]:
        """Paid by card and captured, each for another amount."""
        orders = []
        for number in range(runs):  # one writer at a time: it is SQLite
            total = f"{10 + number // 100}.{number % 100:02} USD"
            sample = SampleOrder(order_id=f"O-{number}", lines=(line("L1", 1, total),), tenders=(card(total),))
            orders.append(await self.shop.place_order(sample))
        return orders

    async def _start(self, orders: Sequence[Order], seconds: float) -> None:
        """One after the other, spread over `seconds`."""
        began = time.monotonic()
        for number, order in enumerate(orders):
            await asyncio.sleep(max(began + seconds * number / len(orders) - time.monotonic(), 0))
            asked = request(SampleOrder(order_id=order.order_id, lines=(), tenders=()))
            await self.client.start_workflow(
                CancellationWorkflow.run,
                asked,
                id=workflow_id(order.order_id),
                task_queue=self.task_queue,
                search_attributes=attributes_at_start(asked),
            )
            if number % 200 == 199:
                self.say(f"{number + 1} of {len(orders)} have begun; {await self.count_waiting()} wait.")

    async def count_waiting(self) -> int:
        """What the filter says of those that wait for the gateway."""
        waiting = (await self.client.count_workflows(f"{waiting_for(Counterpart.GATEWAY)} AND {self._ours}")).count
        self._most_waiting = max(self._most_waiting, waiting)
        return waiting

    async def wait_until_over(self) -> None:
        """Until no run goes on any more."""
        said = time.monotonic()
        while left := (await self.client.count_workflows(f"ExecutionStatus = 'Running' AND {self._ours}")).count:
            if time.monotonic() > said + _SAYS_EVERY:
                said = time.monotonic()
                self.say(f"{left} runs go on; {await self.count_waiting()} of them wait for the gateway.")
            await asyncio.sleep(0.5)

    @property
    def _ours(self) -> str:
        return f"TaskQueue = '{self.task_queue}'"

    async def _calls(self) -> int:
        return sum((await self.shop.gateway.calls()).values())

    async def _sample_calls(self) -> None:
        while True:
            self._samples.append(await self._calls())
            await asyncio.sleep(1)

    async def _read_histories(self, orders: Sequence[Order]) -> tuple[int, list[int]]:
        """How many attempts all runs have made, and how many events each of them has."""
        attempts, events = 0, list[int]()
        for order in orders:
            history = await self.client.get_workflow_handle(workflow_id(order.order_id)).fetch_history()
            events.append(len(history.events))
            attempts += sum(event.HasField("marker_recorded_event_attributes") for event in history.events)
            attempts += sum(event.activity_task_started_event_attributes.attempt for event in history.events)
        return attempts, events

    async def _problems(self, orders: Sequence[Order]) -> list[str]:
        """Of each order: cancelled once, and refunded once."""
        refunds = await self.shop.gateway.effects(kind=EffectKind.REFUND_CREATED)
        paid = Counter((refund.payment_id, refund.amount) for refund in refunds)
        owed = Counter((order.tenders[0].reference, order.tenders[0].amount.amount) for order in orders)
        ended = Counter((found.order_id, found.outcome) for found in await books.cancellations(self.shop.engine))
        wanted = Counter[tuple[str, Outcome | None]]((order.order_id, Outcome.CANCELLED) for order in orders)
        return [
            *(f"paid, and not owed: {found}" for found in paid - owed),
            *(f"owed, and not paid: {found}" for found in owed - paid),
            *(f"ended otherwise: {found}" for found in ended - wanted),
            *(f"not ended: {found}" for found in wanted - ended),
        ]


async def _measure_on_processes(runs: int, minutes: float, folder: Path) -> Figures:
    async def last(outage: Outage) -> None:
        while (left := outage.away_at + minutes * 60 - time.monotonic()) > 0:
            waiting, calls = await outage.count_waiting(), len(outage.front.tried)
            outage.say(f"{waiting} runs wait; {calls} calls have come; {left:.0f} s left.")
            await asyncio.sleep(min(left, _SAYS_EVERY))

    async with new_stack(folder, measured=True) as stack:
        client = await stack.start()
        engine = open_engine(stack.database_url)
        async with (
            GatewayAdmin(stack.gateway.url) as gateway,
            CarrierAdmin(stack.carrier.url) as carrier,
            Front(stack.gateway.url) as front,
        ):
            stack.gateway.url = front.url  # where the worker finds it
            await stack.start_worker()
            outage = Outage(client, Shop(gateway, carrier, engine), front, say=reports_since_now())
            try:
                return await outage.measure(runs, last, seconds=minutes * 30)
            finally:
                stack.worker.stop()  # its connections go through the front


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.outage")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the gateway is away")
    parser.add_argument("--results", type=Path, metavar="DIR")
    asked = parser.parse_args()
    results, case = Results(Figures, asked.results, "outage"), f"{asked.runs} runs, {asked.minutes:g} minutes"
    figures = results.found.get(case)
    if figures is None:
        with tempfile.TemporaryDirectory(prefix="outage-") as folder:
            figures = asyncio.run(_measure_on_processes(asked.runs, asked.minutes, Path(folder) / "stack"))
        figures = figures.model_copy(update={"case": case})
        results.add(figures)
    print(figures.model_dump_json())
    return 1 if figures.problems else 0


if __name__ == "__main__":
    sys.exit(main())
