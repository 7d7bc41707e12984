"""SQLite from an event loop, without a thread for each connection.

SQLite is a library, not a server: a statement takes it some ten microseconds, and handing the statement over to a thread
and its rows back takes ten times as long. So statements are made where they are asked for. What may wait for somebody else
is made in a thread: to take the write lock, which another process may hold, and to commit what was written, which waits for
the disk. Commits have a thread of their own: those who wait for the lock may take all others, and its holder must not wait
behind them.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from sqlalchemy import URL, Pool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_

DRIVER = "sqlite+in_loop"
TAKE_WRITE_LOCK = "BEGIN IMMEDIATE"

_PRIMARY = 0xFF
"""Of a result code; the bits above it say more."""

_commits = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-commit")


class Cursor(sqlite3.Cursor):
    async def _async_soft_close(self) -> None:
        """SQLAlchemy's async engine asks this of the cursors of its own adapters. Here nothing is left to wait for."""


class Connection(sqlite3.Connection):
    """`writes`: it has the write lock, until its transaction ends. `timeout`: how many seconds it waits for it."""

    writes = False

    def __init__(self, database: str, *, timeout: float, **more: Any) -> None:
        super().__init__(database, timeout=timeout, **more)
        self._timeout = timeout

    def take_write_lock(self, cursor: sqlite3.Cursor) -> None:
        """Try at once; only where another process holds it, wait in a thread."""
        if not self._take_at_once(cursor):
            await_(_in_thread(lambda: cursor.execute(TAKE_WRITE_LOCK)))
        self.writes = True

    def _take_at_once(self, cursor: sqlite3.Cursor) -> bool:
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            cursor.execute(TAKE_WRITE_LOCK)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY:
                raise
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {self._timeout * 1000:.0f}")
        return True

    def cursor(self, factory: Any = Cursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        super().commit()
        self.writes = False

    def rollback(self) -> None:
        super().rollback()
        self.writes = False


class SQLiteInLoop(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect of Python's own `sqlite3`, for an async engine and connections of the class above."""

    driver = "in_loop"
    is_async = True
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, _: URL) -> type[Pool]:
        return AsyncAdaptedQueuePool

    def get_driver_connection(self, connection: Any) -> Any:
        return connection

    def do_execute(self, cursor: Any, statement: str, parameters: Any, _: Any = None) -> None:
        await_(_no_wait())
        if statement == TAKE_WRITE_LOCK:
            cursor.connection.take_write_lock(cursor)
        else:
            cursor.execute(statement, parameters)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, _: Any = None) -> None:
        await_(_no_wait())
        cursor.executemany(statement, parameters)

    def do_commit(self, dbapi_connection: Any) -> None:
        if dbapi_connection.writes:
            await_(_in_thread(dbapi_connection.commit, _commits))
        else:
            dbapi_connection.commit()


async def _no_wait() -> None:
    """SQLAlchemy's async engine raises AwaitRequired where a first call never awaits."""


async def _in_thread(call: Callable[[], object], executor: Executor | None = None) -> None:
    """To its end, however often whoever waits for it is cancelled: nobody may use the connection before."""
    made = asyncio.get_running_loop().run_in_executor(executor, call)
    cancelled: asyncio.CancelledError | None = None
    while not made.done():
        try:
            await asyncio.wait({made})
        except asyncio.CancelledError as stop:
            cancelled = stop
    failed = made.exception()
    if error := cancelled or failed:
        raise error


registry.register("sqlite.in_loop", __name__, "SQLiteInLoop")
