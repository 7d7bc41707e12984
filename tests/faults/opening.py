"""The system under test outside of pytest, for what takes longer than a test may."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from tests.faults.stage import Database, new_database
from tests.faults.stand_ins import start_stand_ins
from tests.fixtures.databases import Databases
from tests.fixtures.system import on_database
from tests.fixtures.temporal import start_dev_server
from tests.system import System

_STARTS = 5
_LIST_EVERY = 2.0
"""Seconds in which what was read of a marketplace's list counts; a minute elsewhere."""


@asynccontextmanager
async def open_system(folder: Path, database: Database = Database.SQLITE) -> AsyncIterator[System]:
    """On a dev server of its own, with counterparts and an empty database; without a worker. Files are in `folder`."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        parts, _ = await start_stand_ins(folder, stack, orders_every=_LIST_EVERY)
        server = await stack.enter_async_context(await _start_server())
        databases = Databases(folder)
        stack.push_async_callback(databases.stop)
        url = await stack.enter_async_context(new_database(databases, database, folder))
        yield await stack.enter_async_context(on_database(server, url, parts))


async def _start_server() -> WorkflowEnvironment:
    """Begun again where a busy machine takes longer than the few seconds that the SDK allows."""
    for _ in range(_STARTS - 1):
        with contextlib.suppress(RuntimeError):
            return await start_dev_server()
    return await start_dev_server()
