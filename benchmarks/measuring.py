"""A round of measurements: each on processes of its own, started afresh, because a dev server slows down as runs add up."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from benchmarks.figures import Crowd, Replayed, Round, Sizes, Subject, Subjects, Times
from benchmarks.load import Floor, Load, Orders
from benchmarks.processes import usage_of
from providers.database.engine import open_engine
from runtime import logs
from runtime.plugin import plugin
from sandbox import books
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway_admin import GatewayAdmin
from sandbox.serving import ROOT, Process
from sandbox.shop import Shop
from sandbox.stack import Stack, StackError, new_stack
from workflows.cancellation import CancellationWorkflow
from workflows.examination import ExaminationWorkflow
from workflows.quote import QuoteWorkflow

HISTORIES = ROOT / "tests" / "histories"
STAGES = 2 * len(Subject) + 1
"""Of a round: how often `Measurement.round` says what comes."""

_WARM_UP_AT_ONCE = 4
_MAILS_TOO_LATE = 60
_MIB, _KIB = 1024 * 1024, 1024


@dataclass(frozen=True)
class System:
    """A running system with its workers, and the load for it."""

    stack: Stack
    workers: Sequence[Process]
    shop: Shop
    load: Load

    def cpu(self) -> dict[str, float]:
        """Seconds that each process has worked so far; the caller's includes the load and the clock of this program."""
        parts = {
            "Temporal": [self.stack.temporal],
            "worker": self.workers,
            "gateway": [self.stack.gateway],
            "carrier": [self.stack.carrier],
            "mail": [self.stack.mailbox],
        }
        spent = {name: sum(usage_of(process.pid).cpu for process in of) for name, of in parts.items()}
        return {**spent, "caller": usage_of(os.getpid()).cpu}

    def failed_attempts(self) -> int:
        return sum(process.log.read_text(encoding="utf-8").count('"step_attempt_failed"') for process in self.workers)

    async def mails_sent(self) -> None:
        """Wait until every notice is sent: a run's mails belong to its cost, and the last are sent after its end. Raises
        StackError when that takes too long."""
        deadline = time.monotonic() + _MAILS_TOO_LATE
        while time.monotonic() < deadline:
            if all(notice.sent_at for notice in await books.notices(self.shop.engine)):
                return
            await asyncio.sleep(0.2)
        raise StackError(f"Mails are still unsent {_MAILS_TOO_LATE} seconds after the last run's end.")


class Measurement:
    """`on_stage` is called with the name of each part as it begins."""

    def __init__(self, sizes: Sizes, on_stage: Callable[[str], None]) -> None:
        self._sizes = sizes
        self._on_stage = on_stage
        self.temporal_server = ""

    async def round(self) -> Round:
        subjects = {}
        for subject in Subject:
            self._on_stage(f"{subject}, one worker process")
            async with self._system(subject, workers=1) as system:
                alone = Times.of(await system.load.run_all(await system.load.prepare(self._sizes.alone), 1))
                one_worker = await self._crowd(system)
            self._on_stage(f"{subject}, two worker processes")
            async with self._system(subject, workers=2) as system:
                subjects[subject] = Subjects(alone=alone, one_worker=one_worker, two_workers=await self._crowd(system))
        self._on_stage("runs that wait")
        return Round(subjects=subjects, waiting_memory=await self._waiting_memory())

    async def _crowd(self, system: System) -> Crowd:
        names = await system.load.prepare(self._sizes.crowd)
        failed, before = system.failed_attempts(), system.cpu()
        began = time.perf_counter()
        timings = await system.load.run_all(names, self._sizes.concurrency)
        seconds = time.perf_counter() - began
        await system.mails_sent()
        after = system.cpu()
        return Crowd(
            runs_per_second=len(names) / seconds,
            times=Times.of(timings),
            cpu={name: 1000 * (after[name] - before[name]) / len(names) for name in after},
            peak=max(usage_of(process.pid).peak for process in system.workers) / _MIB,
            failed_attempts=system.failed_attempts() - failed,
            counts=await system.load.counts(names),
        )

    async def _waiting_memory(self) -> float:
        """KiB that a worker grows by for each cancellation that waits for an approval; its cache holds a thousand."""
        async with self._system(Subject.CAPTURED, workers=1) as system:
            assert isinstance(system.load, Orders)
            (worker,) = system.workers
            before = usage_of(worker.pid).memory
            await system.load.wait_for_approval(self._sizes.waiting)
            return (usage_of(worker.pid).memory - before) / self._sizes.waiting / _KIB

    @asynccontextmanager
    async def _system(self, subject: Subject, *, workers: int) -> AsyncIterator[System]:
        """With workers that have run some already."""
        with tempfile.TemporaryDirectory(prefix="floor-") as folder:
            async with new_stack(Path(folder), measured=True) as stack:
                client = await stack.start()
                info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
                self.temporal_server = info.server_version
                engine = open_engine(stack.database_url)
                async with GatewayAdmin(stack.gateway.url) as gateway, CarrierAdmin(stack.carrier.url) as carrier:
                    shop = Shop(gateway, carrier, engine)
                    started: list[Process] = []
                    try:
                        for number in range(workers):
                            started.append(_worker(subject, Path(folder), number))
                            await stack.start_as_worker(started[-1])
                        system = System(stack, started, shop, _load(subject, client, shop))
                        names = await system.load.prepare(self._sizes.warm_up)
                        await system.load.run_all(names, _WARM_UP_AT_ONCE)
                        await system.mails_sent()
                        yield system
                    finally:
                        for process in started:
                            process.stop()
                        await engine.dispose()


def _worker(subject: Subject, folder: Path, number: int) -> Process:
    argv = ["-m", "benchmarks.empty_worker"] if subject is Subject.FLOOR else ["worker.py", "run"]
    return Process("worker", argv, folder / f"worker-{number}.log", announces=False)


def _load(subject: Subject, client: Client, shop: Shop) -> Load:
    return Floor(client) if subject is Subject.FLOOR else Orders(client, shop, label=subject is Subject.LABEL)


async def replay(limit: int | None) -> Replayed:
    """All recorded histories, or the first `limit`, by one replayer, as `worker.py replay` does it. Reading the files
    counts."""
    files = sorted(HISTORIES.glob("*.json"))[:limit]
    logs.configure(logs.LogFormat.CONSOLE, logs.LogLevel.ERROR)
    workflows = (CancellationWorkflow, QuoteWorkflow, ExaminationWorkflow)
    replayer = Replayer(workflows=workflows, plugins=[plugin()], interceptors=[logs.LogContext()])
    events = 0

    async def histories() -> AsyncIterator[WorkflowHistory]:
        nonlocal events
        for file in files:
            history = WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))
            events += len(history.events)
            yield history

    cpu, began = usage_of(os.getpid()).cpu, time.perf_counter()
    async with replayer.workflow_replay_iterator(histories()) as results:
        async for result in results:
            if result.replay_failure is not None:
                raise result.replay_failure
    seconds = time.perf_counter() - began
    return Replayed(
        histories=len(files),
        events=events,
        histories_per_second=len(files) / seconds,
        cpu=usage_of(os.getpid()).cpu - cpu,
    )
