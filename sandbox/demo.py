"""The demo: cancel the sample orders on real parts, show what happens, prove that the books balance.

`python -m sandbox.demo` ends by itself: 0 when every order ended as expected and the books balance, 1 when not, 130 when
it was stopped. `--stay` keeps everything running until Ctrl-C. `--kill-worker` kills the worker in the middle, twice.
"""

import argparse
import asyncio
import logging
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text
from temporalio.runtime import Runtime, TelemetryConfig

from client.cancellations import Cancellations
from client.errors import StarterError
from client.views import new_console
from domain.base import Value
from domain.messages import Approve, Reject, Resolution, ResolveStep, Withdraw
from domain.outcome import CancellationResult
from domain.request import Actor, ActorKind
from domain.step import StepName
from runtime.shutdown import exit_now
from sandbox import books
from sandbox.board import Board, closing_table, proof_view
from sandbox.gateway.messages import EffectKind
from sandbox.over_vendure import stay_over_vendure
from sandbox.proof import Proof, examine
from sandbox.samples import SAMPLES, SLOW_REFUND, TO_TRY, WAITING, Ending, Person, Sample
from sandbox.serving import ROOT
from sandbox.shop import Shop, request
from sandbox.stack import Stack, StackError, new_stack
from sandbox.staying import cancel_on_signals, open_shop, run_until_stopped

SUPERVISOR = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="supervisor-2")
RISK = Actor(kind=ActorKind.RISK, id="analyst-5")

_APART = 0.05  # seconds between two requests
_LOOK = timedelta(seconds=0.5)
_THINKING = 1.5  # seconds a person takes, so that a spectator sees the wait
_TOO_LONG = 90  # seconds for all orders
_MAIL_TOO_LONG = 90  # a notice that a killed worker had claimed is due again after 60
_KILLS = 2
_KILL_AGAIN_AFTER = 4  # finished steps since the worker was started again


class OrderReport(Value):
    order_id: str
    expected: Ending
    seen: Ending | None
    credit_note: str | None


class Report(Value):
    """What `--report` writes. `problems` empty: all is well."""

    problems: tuple[str, ...]
    orders: tuple[OrderReport, ...]
    proof: Proof
    kills: int
    seconds: float


class Demo:
    def __init__(self, stack: Stack, shop: Shop, cancellations: Cancellations, board: Board) -> None:
        self._stack = stack
        self._shop = shop
        self._cancellations = cancellations
        self._board = board
        self._results: dict[str, CancellationResult] = {}
        self._problems: list[str] = []
        self._kills = 0

    async def run(self, samples: Sequence[Sample], *, kill_worker: bool) -> Report:
        began = time.monotonic()
        await self._stack.start_worker()
        orders = await asyncio.gather(*(self._shop.place_order(sample.order) for sample in samples))
        with self._board.live():
            await self._cancel_all(samples, kill_worker=kill_worker)
            await self._wait_for_mails()
        proof = await examine(self._shop, self._stack.mails, orders)
        reports = tuple(self._report(sample) for sample in samples)
        if kill_worker and self._kills < _KILLS:
            self._problems.append(f"The worker was killed {self._kills} times only: the orders ended too early.")
        console = self._board.console
        console.print()
        console.print(closing_table(samples, self._results, proof, console.width))
        console.print(proof_view(proof))
        return Report(
            problems=(*self._problems, *proof.problems),
            orders=reports,
            proof=proof,
            kills=self._kills,
            seconds=round(time.monotonic() - began, 1),
        )

    async def _cancel_all(self, samples: Sequence[Sample], *, kill_worker: bool) -> None:
        """Until all have ended, or for as long as it may take. Raises StackError when the worker is gone."""
        cancelling = asyncio.gather(*(self._cancel(sample, after=n * _APART) for n, sample in enumerate(samples)))
        watching = asyncio.create_task(self._watch_worker(kill=kill_worker))
        both: tuple[asyncio.Future[Any], ...] = (cancelling, watching)
        try:
            await asyncio.wait(both, timeout=_TOO_LONG, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                if task.done():
                    task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _watch_worker(self, *, kill: bool) -> NoReturn:
        """Kill the worker in the middle where that is wanted. Raises StackError when it ends by itself."""
        if kill:
            # While a refund is under way: the gateway commits it, and nobody receives its answer.
            await self._board.wait_until(lambda: self._board.step(SLOW_REFUND, StepName.REVERSE_PAYMENT) is not None)
            await self._kill_worker()
            so_far = self._board.steps_done
            await self._board.wait_until(lambda: self._board.steps_done >= so_far + _KILL_AGAIN_AFTER)
            await self._kill_worker()
        while True:
            await asyncio.sleep(0.5)
            if not self._stack.worker.running:
                raise StackError(f"The worker has ended; {self._stack.worker.log} says why.")

    async def _kill_worker(self) -> None:
        pid = self._stack.worker.pid
        self._stack.worker.kill()
        self._kills += 1
        self._board.add_remark(f"the worker (process {pid}) is killed with SIGKILL, and another one started")
        await self._stack.start_worker()

    async def _cancel(self, sample: Sample, *, after: float) -> None:
        """Ask for the cancellation, act for the person of the sample, see the end."""
        waited = False
        await asyncio.sleep(after)
        try:
            await self._cancellations.start(request(sample.order), wait=timedelta(seconds=_TOO_LONG))
            async for news in self._cancellations.watch(sample.order_id, every=_LOOK):
                self._board.show(sample, news)
                if isinstance(news, CancellationResult):
                    self._results[sample.order_id] = news
                elif sample.person and news.state is sample.person.when and not waited:
                    waited = True
                    await asyncio.sleep(_THINKING)
                    await self._act_for_person(sample, sample.person)
        except StarterError as error:
            self._problems.append(f"Order {sample.order_id}: {error.sentence}")

    async def _act_for_person(self, sample: Sample, person: Person) -> None:
        order_id, desk = sample.order_id, self._cancellations
        customer = Actor(kind=ActorKind.CUSTOMER, id=sample.order.customer_id)
        match person:
            case Person.APPROVES:
                self._board.add_remark(f"{SUPERVISOR} approves order {order_id}")
                await desk.approve(order_id, Approve(actor=SUPERVISOR))
            case Person.REFUSES:
                self._board.add_remark(f"{RISK} refuses order {order_id}")
                await desk.reject(order_id, Reject(actor=RISK, note="the review is not over"))
            case Person.WITHDRAWS:
                self._board.add_remark(f"{customer} withdraws order {order_id}")
                await desk.withdraw(order_id, Withdraw(actor=customer))
            case Person.SETTLES_DISPUTE:
                (payment,) = self._shop.payments[order_id]
                (dispute,) = await self._shop.gateway.effects(payment, EffectKind.DISPUTE_CREATED)
                await self._shop.gateway.dispute(payment, "lost")
                self._board.add_remark(
                    f"{SUPERVISOR} resolves order {order_id}: the bank has paid, {dispute.object_id}"
                )
                message = ResolveStep(
                    actor=SUPERVISOR,
                    step=StepName.REVERSE_PAYMENT,
                    target="T1",
                    resolution=Resolution.DONE_BY_HAND,
                    reference=dispute.object_id,
                    note="the bank has decided the dispute for the customer",
                )
                await desk.resolve_step(order_id, message)
            case Person.PAYS_THE_BUYER:
                assert self._shop.marketplace is not None
                self._board.add_remark(f"the marketplace pays the buyer of order {order_id}")
                await self._shop.marketplace.settle(f"M-{order_id}")

    async def _wait_for_mails(self) -> None:
        began = time.monotonic()
        explained = not self._kills
        while time.monotonic() < began + _MAIL_TOO_LONG:
            unsent = sum(notice.sent_at is None for notice in await books.notices(self._shop.engine))
            if not unsent:
                return
            if not explained and time.monotonic() > began + 3:
                explained = True
                self._board.add_remark(
                    f"mails still to come: {unsent}, taken by a killed worker and due again within a minute"
                )
            await asyncio.sleep(0.1)

    def _report(self, sample: Sample) -> OrderReport:
        result = self._results.get(sample.order_id)
        seen = Ending.of(result, sample.order.currency) if result else None
        if seen is None:
            self._problems.append(f"Order {sample.order_id} has not ended; {self._stack.worker.log} may say why.")
        elif seen != sample.expected:
            self._problems.append(f"Order {sample.order_id} ended otherwise than expected.")
        return OrderReport(
            order_id=sample.order_id,
            expected=sample.expected,
            seen=seen,
            credit_note=result.credit_note if result else None,
        )


async def _demo(console: Console, folder: Path, report_file: Path | None, *, stay: bool, kill_worker: bool) -> int:
    cancel_on_signals()
    parts = "the worker and the API" if stay else "and the worker"
    console.print(
        Text(f"Starting Temporal, the gateway, carrier, marketplace and mail stand-ins, {parts} …", style="dim")
    )
    async with new_stack(folder, stay=stay) as stack:
        client = await stack.start()
        async with open_shop(stack) as shop:
            board = Board(SAMPLES, console)
            report = await Demo(stack, shop, Cancellations(client), board).run(SAMPLES, kill_worker=kill_worker)
            if stay:
                await _leave_for_people(shop, Cancellations(client))
        if report_file:
            await asyncio.to_thread(report_file.write_text, report.model_dump_json(indent=2), encoding="utf-8")
        for problem in report.problems:
            console.print(Text(f"✗  {problem}", style="bold red"), soft_wrap=True)
        if not report.problems:
            console.print(
                Text(f"✓  {len(report.orders)} orders ended as expected, in {report.seconds:.0f} s", "bold green")
            )
        if stay:
            await run_until_stopped(stack, console, _TO_TRY, "status 3001")
        else:
            console.print("\n`make up` does the same and keeps everything running, with the Temporal UI.")
    return 1 if report.problems else 0


_TO_TRY = (
    ("To try", f"orders {', '.join(order.order_id for order in TO_TRY)}"),
    *(("Waiting" if not at else "", f"{order.order_id} for {whom}") for at, (whom, order) in enumerate(WAITING)),
)


async def _leave_for_people(shop: Shop, cancellations: Cancellations) -> None:
    """Orders to try, and cancellations that wait."""
    for order in TO_TRY:
        await shop.place_order(order)
    for _, order in WAITING:
        await shop.place_order(order)
        await cancellations.start(request(order))


def only_this_machine() -> None:
    """Keep out what the environment says of another Temporal and of proxies, and off the screen what libraries say."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    os.environ.update(TEMPORAL_CONFIG_FILE=os.devnull, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    logging.captureWarnings(True)
    logging.basicConfig(handlers=[logging.NullHandler()])


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.demo", description="Cancel the sample orders on real parts.")
    parser.add_argument("--stay", action="store_true", help="keep everything running until Ctrl-C")
    parser.add_argument("--oms", choices=("built_in", "vendure"), default="built_in", help="where the orders are")
    parser.add_argument("--kill-worker", action="store_true", help="kill the worker in the middle, twice")
    parser.add_argument("--report", type=Path, help="write the outcomes and the counts here, as JSON")
    parser.add_argument("--folder", type=Path, default=ROOT / ".run" / "demo", help="data and logs; emptied first")
    given = parser.parse_args()
    console = new_console(width=120)
    only_this_machine()
    try:
        if given.oms == "vendure":
            return asyncio.run(stay_over_vendure(console, given.folder.resolve()))
        return asyncio.run(
            _demo(console, given.folder.resolve(), given.report, stay=given.stay, kill_worker=given.kill_worker)
        )
    except asyncio.CancelledError:
        console.print("Stopped; nothing is running any more.")
        return 130
    except (StackError, StarterError) as error:
        console.print(Text(str(error), style="bold red"), soft_wrap=True)
        return 1


if __name__ == "__main__":
    exit_now(main())
