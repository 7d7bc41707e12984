"""How the database is opened, and what its failures mean.

A transaction about one order, or one cancellation, locks its row first. On PostgreSQL that makes READ COMMITTED enough: of
two of them the second waits, and then sees all that the first wrote. What they share (stock, accounts, document counters)
is locked afterwards and always in one sequence, so no two transactions wait for each other. On SQLite a writing transaction
takes the one write lock as it begins: a lock taken later, when another writer came between, fails at once with "database is
locked" instead of waiting. SQLite itself lets writers wait by trying again and again, so that under load the unlucky one
fails; the writers of one process therefore queue before they try, and its own lock is left for other processes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Executable, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from domain.errors import OutcomeUnknown, Unavailable
from providers.database import sqlite as sqlite_in_loop
from providers.database.columns import table_of

_DRIVERS = {"sqlite": sqlite_in_loop.DRIVER, "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_BEGIN = "begin_with"

# SQLSTATE classes and codes after which nothing was written and the same call may succeed: connection lost (08), out of
# resources (53), server shutting down or starting (57P0x), serialisation failure, deadlock, lock timeout.
_POSTGRES_TRANSIENT = ("08", "53", "57P0", "40001", "40P01", "55P03")
_SQLITE_TRANSIENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL")


_writers: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]]" = WeakKeyDictionary()


def open_engine(url: str) -> AsyncEngine:
    """Open `sqlite:///file.db` or `postgresql://…`. Statement parameters stay out of error texts: they hold customers'
    data. Seconds to wait for a lock on SQLite: `?timeout=`, 10 unless given."""
    parsed = make_url(url)
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.get_backend_name(), parsed.drivername))
    if parsed.get_backend_name() == "sqlite":
        if "timeout" not in parsed.query:
            parsed = parsed.update_query_dict({"timeout": "10"})
        engine = create_async_engine(
            parsed,
            hide_parameters=True,
            json_serializer=_as_it_is,
            json_deserializer=_as_it_is,
            pool_size=20,
            max_overflow=0,
            pool_timeout=10,
            connect_args={"factory": sqlite_in_loop.Connection},
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        parsed,
        hide_parameters=True,
        json_serializer=_as_it_is,
        json_deserializer=_as_it_is,
        pool_size=10,
        max_overflow=10,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={
            "timeout": 5,
            "command_timeout": 20,
            "server_settings": {"lock_timeout": "10s", "application_name": "order-cancellation"},
        },
    )


def _as_it_is(text: str) -> str:
    """The types of the columns (columns.py) write and read JSON themselves."""
    return text


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions: `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        connection.exec_driver_sql(begin)


def writing(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for transactions that write."""
    return engine.execution_options(**{_BEGIN: sqlite_in_loop.TAKE_WRITE_LOCK})


def looking(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for a single statement that reads, which sees one moment by itself."""
    return engine.execution_options(**{_BEGIN: None})


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for transactions that read more than one table and must see one moment of them all."""
    return engine.execution_options(isolation_level="REPEATABLE READ") if engine.name == "postgresql" else engine


@asynccontextmanager
async def transaction(
    sessions: async_sessionmaker[AsyncSession], *, lost: type[Unavailable | OutcomeUnknown] = Unavailable
) -> AsyncIterator[AsyncSession]:
    """One transaction. Raises Unavailable when the database cannot be reached or did not finish in time.

    When the connection breaks while PostgreSQL commits, what was written may be there. In our own books the caller need not
    know, because the same call with the same key then returns what was committed. Where the caller has to know, `lost` is
    raised instead.
    """
    failure: type[Unavailable | OutcomeUnknown] = Unavailable
    try:
        async with _turn_to_write(sessions):
            session = sessions()
            try:
                yield session
                failure = lost
                await session.commit()
            finally:
                await asyncio.shield(session.close())  # also where whoever asked is cancelled
    except DBAPIError as error:
        if _transient(error):
            raise failure("The database is not reachable at the moment.") from error
        raise
    except (OSError, NoConnectionFree) as error:
        raise failure("The database is not reachable at the moment.") from error


def _turn_to_write(sessions: async_sessionmaker[AsyncSession]) -> AbstractAsyncContextManager[None]:
    """The place in the queue of a file's writers, first come, first served. Whoever reads, or writes to PostgreSQL, needs
    none."""
    engine: AsyncEngine = sessions.kw["bind"]
    if engine.name != "sqlite" or not engine.sync_engine.get_execution_options().get(_BEGIN):
        return nullcontext()
    queues = _writers.setdefault(asyncio.get_running_loop(), {})
    return queues.setdefault(engine.url.database or "", asyncio.Lock())


def insert_once(session: AsyncSession, table: type[DeclarativeBase]) -> Executable:
    """An insert that does nothing where the row is there already, in the words of the session's database."""
    return _insert_once(session.get_bind().dialect.name, table_of(table))


def upsert(session: AsyncSession, table: type[DeclarativeBase]) -> Executable:
    """An insert that writes over the row that is there already."""
    return _upsert(session.get_bind().dialect.name, table_of(table))


@cache
def _insert_once(dialect: str, table: Table) -> Executable:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _upsert(dialect: str, table: Table) -> Executable:
    new = _insert(dialect, table)
    kept = {column.name: new.excluded[column.name] for column in table.columns if not column.primary_key}
    return new.on_conflict_do_update(index_elements=list(table.primary_key), set_=kept)


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _transient(error: DBAPIError) -> bool:
    if error.connection_invalidated or isinstance(error.orig, OSError):
        return True
    on_postgresql = str(getattr(error.orig, "sqlstate", None) or "")
    on_sqlite = str(getattr(error.orig, "sqlite_errorname", None) or "")
    return on_postgresql.startswith(_POSTGRES_TRANSIENT) or on_sqlite.startswith(_SQLITE_TRANSIENT)
