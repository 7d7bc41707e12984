"""Everything that a disturbed cancellation needs, as processes that can be killed one by one."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from select import poll

from sqlalchemy import URL
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from runtime import search_attributes
from runtime.plugin import plugin
from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_ID, UPS_CLIENT_SECRET
from sandbox.gateway_admin import SANDBOX_KEY
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.serving import ROOT, Process
from tests.faults.stand_ins import start_stand_ins
from tests.faults.worker import WorkerOrder
from tests.fixtures.databases import Databases
from tests.fixtures.system import Parts


class WorkerForks:
    """The process that forks workers."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, env: Mapping[str, str]) -> "WorkerForks":
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.faults.worker"),
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        forks = cls(child)
        await forks._read()
        return forks

    async def fork(self, order: WorkerOrder) -> int:
        """A worker; returns its process id."""
        async with self._turn:
            assert self._child.stdin is not None
            self._child.stdin.write(f"{order.model_dump_json()}\n".encode())
            return int(await self._read())

    async def _read(self) -> str:
        assert self._child.stdout is not None
        line = await self._child.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks workers has died")
        return line.decode().strip()

    async def stop(self) -> None:
        """With all workers."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        await self._child.wait()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def kill(pid: int) -> None:
    """Returns when the process is no more; does nothing where it is not."""
    if not is_alive(pid):
        return
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended = poll()
        ended.register(descriptor)
        ended.poll()
    finally:
        os.close(descriptor)


class TemporalServer:
    """A dev server. On a database file it can be killed, and goes on where it was; in memory it does with half the work."""

    def __init__(self, folder: Path, *, on_file: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        attributes = [
            word
            for key in search_attributes.ALL
            for word in ("--search-attribute", f"{key.name}={search_attributes.type_name(key)}")
        ]
        self._process = Process(
            "temporal",
            [
                *(
                    "server",
                    "start-dev",
                    "--headless",
                    "--ip",
                    "127.0.0.1",
                    "--port",
                    str(port),
                    "--log-level",
                    "error",
                ),
                *(_keep_in(folder / "temporal.sqlite") if on_file else ()),
                *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000"),
                *attributes,
            ],
            folder / "temporal.log",
            announces=False,
            program=str(Path(sys.executable).with_name("temporal")),
        )
        self._turn = asyncio.Lock()
        self.kills = 0

    async def start(self) -> Client:
        self._process.start()
        for _ in range(300):
            try:
                return await Client.connect(self.address, plugins=[plugin()])
            except (RPCError, RuntimeError):
                await asyncio.sleep(0.1)
        raise RuntimeError(f"Temporal did not start; see {self._process.log}")

    async def restart(self, killed: asyncio.Event) -> None:
        """SIGKILL. `killed` is set once it is dead, before it is started again."""
        async with self._turn:
            self._process.kill()
            self.kills += 1
            killed.set()
            await self.start()

    def stop(self) -> None:
        self._process.kill()


def _keep_in(file: Path) -> tuple[str, ...]:
    """Without waiting for the disk: the file has to survive a crash of the process, not of the machine."""
    return ("--db-filename", str(file), "--sqlite-pragma", "synchronous=OFF")


class Database(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@asynccontextmanager
async def new_database(databases: Databases, database: Database, folder: Path) -> AsyncIterator[str]:
    """An empty one. On SQLite it is a file in `folder`; on PostgreSQL it is dropped in the end."""
    if database is Database.SQLITE:
        yield await databases.sqlite(folder / "books.db")
        return
    url = await databases.postgresql()
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        await databases.drop(url)


async def lock_file(database: URL, seconds: float, locked: asyncio.Event) -> None:
    """Another program writes to the SQLite file, and takes its time. `locked` is set once it does."""
    other = await asyncio.to_thread(_begin_writing, str(database.database))
    with closing(other):
        locked.set()
        await asyncio.sleep(seconds)
        other.rollback()


def _begin_writing(file: str) -> sqlite3.Connection:
    other = sqlite3.connect(file, check_same_thread=False, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    return other


@dataclass
class Stage:
    folder: Path
    database: Database
    temporal: TemporalServer
    environment: WorkflowEnvironment
    parts: Parts
    forks: WorkerForks
    databases: Databases
    used: int = field(default=0)

    @asynccontextmanager
    async def new_database(self, folder: Path) -> AsyncIterator[str]:
        async with new_database(self.databases, self.database, folder) as url:
            yield url

    def new_folder(self) -> Path:
        self.used += 1
        folder = self.folder / str(self.used)
        folder.mkdir()
        return folder


@asynccontextmanager
async def open_stage(
    folder: Path, database: Database = Database.SQLITE, *, temporal_on_file: bool = False
) -> AsyncIterator[Stage]:
    """Stand-ins, engine and worker forks of its own, stopped in the end."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        parts, _ = await start_stand_ins(folder, stack)
        temporal = TemporalServer(folder, on_file=temporal_on_file)
        stack.callback(temporal.stop)
        client = await temporal.start()
        databases = Databases(folder)
        stack.push_async_callback(databases.stop)
        # What is copied for the others.
        await (databases.sqlite(folder / "first.db") if database is Database.SQLITE else databases.postgresql())
        forks = await WorkerForks.start(_settings(parts))
        stack.push_async_callback(forks.stop)
        yield Stage(folder, database, temporal, WorkflowEnvironment.from_client(client), parts, forks, databases)


def _settings(parts: Parts) -> dict[str, str]:
    return {
        "STRIPE_API_KEY": SANDBOX_KEY,
        "STRIPE_BASE_URL": parts.gateway_sandbox.process.url,
        "EASYPOST_API_KEY": EASYPOST_KEY,
        "EASYPOST_BASE_URL": parts.carrier.easypost_url,
        "UPS_CLIENT_ID": UPS_CLIENT_ID,
        "UPS_CLIENT_SECRET": UPS_CLIENT_SECRET,
        "UPS_BASE_URL": parts.carrier.ups_url,
        "UPS_TOKEN_URL": f"{parts.carrier.ups_url}/security/v1/oauth/token",
        "MARKETPLACE_BASE_URL": parts.marketplace_sandbox.url,
        "MARKETPLACE_API_KEY": MARKETPLACE_KEY,
        "MARKETPLACE_ORDERS_EVERY": "0",
    }
