"""Where a plan is run: a Temporal server, the stand-ins and the workers as processes of their own, and a database."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import event, text

from runtime.plugin import TASK_QUEUE
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.serving import ROOT, Process
from tests.faults.plan import Plan, PlannedPolicy
from tests.faults.shop_worker import ARCHIVE, CANNOT_FREEZE
from tests.faults.stage import Database, lock_file, new_database
from tests.faults.stand_ins import start_stand_ins
from tests.fixtures.databases import Databases
from tests.fixtures.system import on_database
from tests.fixtures.temporal import start_dev_server
from tests.fixtures.workers import Workers, environment, has_worked
from tests.system import System, eventually

_OURS = "faults"
"""The name under which the harness is connected to PostgreSQL: its own connections stay."""


@dataclass
class Site:
    """`at_work` are the worker processes of now; `archive` has the ids of the orders that they do not find any more."""

    system: System
    workers: Workers
    database: Database
    at_work: list[Process]
    archive: Path

    async def start_worker(self) -> Process:
        process = await asyncio.to_thread(self.workers.start)

        async def works() -> bool:
            if not process.running:
                raise RuntimeError(f"a worker did not start: {process.log.read_text()[-2000:]}")
            return '"worker_started"' in process.log.read_text()

        await eventually(works, "a worker works", within=60)
        return process

    async def replace_worker(self, number: int, by: signal.Signals) -> bool:
        """End one and start another in its place. Whether the first had done anything."""
        ended = self.at_work[number % len(self.at_work)]
        had_worked = has_worked(ended)
        await asyncio.to_thread(ended.kill if by is signal.SIGKILL else ended.stop)
        self.at_work[self.at_work.index(ended)] = await self.start_worker()
        return had_worked

    async def pause_worker(self, number: int, seconds: float) -> bool:
        """It does nothing for a while, and then goes on as if nothing had been. Whether it had done anything."""
        paused = self.at_work[number % len(self.at_work)]
        had_worked = has_worked(paused)
        os.kill(paused.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(paused.pid, signal.SIGCONT)
        return had_worked

    async def lock_database(self, seconds: float) -> bool:
        if self.database is Database.SQLITE:
            await lock_file(self.system.engine.url, seconds, asyncio.Event())
            return True
        async with self.system.engine.connect() as connection:
            ended = await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name <> :ours"
                ),
                {"ours": _OURS},
            )
            return bool(ended.all())


@asynccontextmanager
async def standing(folder: Path, plan: Plan, databases: Databases, database: Database) -> AsyncIterator[Site]:
    """Everything is started for this plan alone, and stopped in the end."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    archive = folder / "archived.txt"
    await asyncio.to_thread(archive.touch)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(new_database(databases, database, folder))
        server = await stack.enter_async_context(await start_dev_server())
        parts, mailbox = await start_stand_ins(folder, stack)
        system = await stack.enter_async_context(on_database(server, url, parts))
        system.task_queue = TASK_QUEUE
        if database is Database.POSTGRESQL:
            event.listen(system.engine.sync_engine, "connect", _name_ourselves)
        env = {
            **environment(system, mailbox),
            "POLICY_FILE": str(_policy_file(folder, plan.policy)),
            "GRACEFUL_SHUTDOWN": "PT5S",
            "MARKETPLACE_BASE_URL": parts.marketplace_sandbox.url,
            "MARKETPLACE_API_KEY": MARKETPLACE_KEY,
            "MARKETPLACE_ORDERS_EVERY": "0",
            ARCHIVE: str(archive),
            **({} if plan.freezes else {CANNOT_FREEZE: "yes"}),
        }
        workers = Workers(env, folder, [], ("-m", "tests.faults.shop_worker", "run"))
        site = Site(system, workers, database, [], archive)
        stack.callback(_kill_all, site.workers)
        site.at_work = list(await asyncio.gather(*(site.start_worker() for _ in range(plan.workers))))
        yield site


def _kill_all(workers: Workers) -> None:
    for process in workers.started:
        process.kill()


def _name_ourselves(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"SET application_name = '{_OURS}'")
    cursor.close()


def _policy_file(folder: Path, policy: PlannedPolicy) -> Path:
    """The merchant's rules, with clocks of seconds where a run waits for nobody."""
    rules = (ROOT / "policy.toml").read_text(encoding="utf-8")
    fallbacks = ", ".join(f'"{method}"' for method in policy.fallbacks)
    for name, value in (
        ("version", '"swarm"'),
        ("carrier_poll", '"PT5S"'),
        ("settlement_poll", '"PT5S"'),
        ("next_round", '"PT5S"'),
        ("refund_intercepted", f'"{policy.refund_intercepted}"'),
        ("fallbacks", f"[{fallbacks}]"),
    ):
        rules, found = re.subn(rf"^{name} = .*$", f"{name} = {value}", rules, flags=re.MULTILINE)
        assert found == 1, f"policy.toml has {name} {found} times"
    file = folder / "policy.toml"
    file.write_text(rules, encoding="utf-8")
    return file
