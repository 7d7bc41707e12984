"""What the order book says when its database does not answer."""

import asyncio
import socket
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from domain.step import StepName
from providers.database.engine import open_engine, writing
from providers.order_book.book import SqlOrderBook
from providers.order_book.columns import EffectKind
from sandbox import books
from tests.fixtures.databases import Databases
from tests.providers.order_book_samples import RUN, cancellation, hold, order

EMAIL = "customer@example.test"


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_database_that_is_not_there_is_unavailable(kind: str, tmp_path: Path) -> None:
    url = {
        "sqlite": f"sqlite:///{tmp_path}/no-such-folder/order_book.db",
        "postgresql": f"postgresql://nobody@127.0.0.1:{_closed_port()}/order_book",
    }[kind]
    engine = open_engine(url)

    with pytest.raises(Unavailable):
        await SqlOrderBook(engine).read_order("O-1")
    with pytest.raises(Unavailable):
        await hold(SqlOrderBook(engine), cancellation(order()))

    await engine.dispose()


async def test_a_locked_sqlite_file_is_unavailable_and_nothing_is_written(sqlite_url: str) -> None:
    engine = open_engine(f"{sqlite_url}?timeout=0.05")
    book = SqlOrderBook(engine)
    await books.add_order(engine, order(), email=EMAIL)

    async with writing(engine).begin():
        with pytest.raises(Unavailable):
            await hold(book, cancellation(order()))

    assert (await book.read_order("O-1")).held_by is None
    await hold(book, cancellation(order()))
    assert (await book.read_order("O-1")).held_by == cancellation(order()).cancellation_id
    await engine.dispose()


async def test_writers_of_one_process_queue_for_a_sqlite_file(sqlite_url: str) -> None:
    """M31: under load nobody fails on the write lock, however short SQLite's own patience is, and whichever engine it is."""
    engines = [open_engine(f"{sqlite_url}?timeout=0.05") for _ in range(3)]
    orders = [order(f"O-{n}") for n in range(60)]
    for placed in orders:
        await books.add_order(engines[0], placed, email=EMAIL)

    async def take(n: int) -> None:
        one = cancellation(orders[n])
        book, key = SqlOrderBook(engines[n % 3]), one.key(StepName.VERIFY_ORDER)
        await book.hold_order(orders[n], one.requested, one.decided, [], key=key, run=RUN)
        finished.append(n)

    finished: list[int] = []
    await asyncio.gather(*(take(n) for n in range(60)))

    assert finished == [*range(60)], "first come, first served"
    for engine in engines:
        await engine.dispose()


async def test_connections_that_postgresql_closed_are_opened_again(databases: Databases) -> None:
    """A call that was cut off is Unavailable; the next one connects anew."""
    url = await databases.postgresql()
    engine = open_engine(url.render_as_string(hide_password=False))
    other = open_engine(url.render_as_string(hide_password=False))
    book = SqlOrderBook(engine)
    await books.add_order(engine, order(), email=EMAIL)

    async with other.connect() as blocking:
        await blocking.execute(text("SELECT 1 FROM orders FOR UPDATE"))
        waiting = asyncio.create_task(hold(book, cancellation(order())))
        waiters = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(20):
            while not (await blocking.scalars(waiters)).all():
                await blocking.execute(text("SELECT pg_stat_clear_snapshot()"))
                await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await waiting

    await hold(book, cancellation(order()))
    assert [effect.kind for effect in await books.effects(engine)] == [EffectKind.HOLD_ORDER]
    await engine.dispose()
    await other.dispose()
    await databases.drop(url)


async def test_a_mistake_of_ours_is_no_outage_and_tells_no_data(database: AsyncEngine) -> None:
    """I8: statement parameters, which hold customers' data, stay out of the error."""
    with pytest.raises(DBAPIError) as error:
        async with database.begin() as connection:
            await connection.execute(text("SELECT :email FROM no_such_table"), {"email": EMAIL})
    assert EMAIL not in str(error.value)

    async with database.begin() as connection:
        await connection.execute(text("DROP TABLE notices"))
    with pytest.raises(DBAPIError):
        await SqlOrderBook(database).notice_sent("can-1/received", order().placed_at)
