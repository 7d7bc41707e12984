"""What the books and the built-in systems say when their database does not answer."""

import asyncio
import socket
from collections.abc import Awaitable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from domain.money import money
from domain.order import TenderKind
from domain.step import StepName
from providers.books.books import SqlBooks
from providers.books.inbox import SqlInbox
from providers.database.engine import open_engine, writing
from providers.orders.built_in.orders import BuiltInOrders
from sandbox import books, built_in
from tests.fixtures.databases import Databases
from tests.providers.merchant import CARD, LATER, RUN, Merchant, cancellation, order

EMAIL = "customer@example.test"
ONE = cancellation(order())
KEY = ONE.key(StepName.VERIFY_ORDER)


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_database_that_is_not_there_is_unavailable(kind: str, tmp_path: Path) -> None:
    url = {
        "sqlite": f"sqlite:///{tmp_path}/no-such-folder/books.db",
        "postgresql": f"postgresql://nobody@127.0.0.1:{_closed_port()}/books",
    }[kind]
    engine = open_engine(url)
    merchant = Merchant.at(engine)
    asked: list[Awaitable[object]] = [
        merchant.orders.read("O-1"),
        merchant.orders.freeze(order(), key=KEY),
        merchant.stored_value.read("O-1", CARD.model_copy(update={"kind": TenderKind.GIFT_CARD})),
        merchant.stored_value.restore("O-1", CARD, money("1.00 USD"), customer_id="C-1", key=KEY),
        merchant.books.of_order("O-1"),
        merchant.books.note_hold(ONE.requested, KEY, RUN, until=LATER),
        merchant.books.skip_credit("USD", key=KEY, run=RUN),
        merchant.books.due_notices(LATER, 1),
        SqlInbox(engine).check_ready(),
    ]

    for statement in asked:
        with pytest.raises(Unavailable):
            await statement

    await engine.dispose()


async def test_a_locked_sqlite_file_is_unavailable_and_nothing_is_written(sqlite_url: str) -> None:
    engine = open_engine(f"{sqlite_url}?timeout=0.05")
    merchant = Merchant.at(engine)
    await built_in.add_order(engine, order(), email=EMAIL)

    async with writing(engine).begin():
        with pytest.raises(Unavailable):
            await merchant.hold(ONE)
        with pytest.raises(Unavailable):
            await merchant.orders.freeze(await merchant.orders.read("O-1"), key=KEY)

    assert (await books.order(engine, "O-1")).held_by is None
    assert (await merchant.case(ONE)).entries == ()
    await merchant.hold(ONE)
    assert (await books.order(engine, "O-1")).held_by == ONE.cancellation_id
    await engine.dispose()


async def test_what_one_of_them_has_done_before_the_database_was_lost_is_found_by_the_next_attempt(
    sqlite_url: str,
) -> None:
    """The order is frozen, and the decision could not be kept: the note says so, and the order stays frozen."""
    engine = open_engine(f"{sqlite_url}?timeout=0.05")
    merchant = Merchant.at(engine)
    placed = order()
    await built_in.add_order(engine, placed, email=EMAIL)
    await merchant.books.note_hold(ONE.requested, KEY, RUN, until=LATER)
    await merchant.orders.freeze(await merchant.orders.read("O-1"), key=KEY)
    async with writing(engine).begin():
        with pytest.raises(Unavailable):
            await merchant.books.decide(placed, ONE.decided, [], key=KEY, run=RUN)

    await merchant.hold(ONE)

    assert (await merchant.case(ONE)).decided == ONE.decided
    assert (await books.order(engine, "O-1")).held_by == ONE.cancellation_id
    await engine.dispose()


async def test_writers_of_one_process_queue_for_a_sqlite_file(sqlite_url: str) -> None:
    """M31: under load nobody fails on the write lock, however short SQLite's own patience is, and whichever engine it is."""
    engines = [open_engine(f"{sqlite_url}?timeout=0.05") for _ in range(3)]
    orders = [order(f"O-{n}") for n in range(60)]
    for placed in orders:
        await built_in.add_order(engines[0], placed, email=EMAIL)
    seen = [await BuiltInOrders(engines[0]).read(placed.order_id) for placed in orders]

    async def take(n: int) -> None:
        one = cancellation(orders[n])
        key = one.key(StepName.VERIFY_ORDER)
        if n % 2:
            await BuiltInOrders(engines[n % 3]).freeze(seen[n], key=key)
        else:
            await SqlBooks(engines[n % 3]).note_hold(one.requested, key, RUN, until=LATER)
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
    merchant = Merchant.at(engine)
    await built_in.add_order(engine, order(), email=EMAIL)

    async with other.connect() as blocking:
        await blocking.execute(text("SELECT 1 FROM orders FOR UPDATE"))
        waiting = asyncio.create_task(merchant.hold(ONE))
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

    await merchant.hold(ONE)
    assert (await books.order(engine, "O-1")).held_by == ONE.cancellation_id
    assert (await merchant.case(ONE)).keys_noted(StepName.VERIFY_ORDER, target="O-1") == (KEY,)
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
        await SqlBooks(database).notice_sent("can-1/received", order().placed_at)
