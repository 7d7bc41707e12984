"""The migrations make exactly the tables that the code expects, on both databases."""

import asyncio
import re
import sys
from pathlib import Path
from typing import TypeGuard

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, inspect, text

from domain.errors import Unavailable
from providers.books import tables  # noqa: F401 (the metadata is complete once all tables are read)
from providers.database.columns import Base
from providers.database.engine import open_engine
from providers.database.migrate import WrongTables, check_tables, migrate
from providers.orders.built_in import tables as order_tables
from providers.stored_value import tables as account_tables  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


async def test_the_migrated_tables_are_the_ones_in_the_code(empty_database_url: str) -> None:
    await migrate(empty_database_url)

    engine = open_engine(empty_database_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert differences == []


def _constraints(connection: Connection) -> set[str]:
    """The checks by their names. SQLite knows them as text only."""
    if connection.dialect.name == "sqlite":
        found = connection.execute(text("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL"))
        return {name for (sql,) in found for name in re.findall(r"CONSTRAINT (ck_\w+)", sql)}
    return {*connection.scalars(text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'ck%'"))}


async def test_the_migrated_checks_are_the_ones_in_the_code(empty_database_url: str) -> None:
    """Alembic does not compare them."""
    await migrate(empty_database_url)

    engine = open_engine(empty_database_url)
    async with engine.begin() as connection:
        migrated = await connection.run_sync(_constraints)
    await engine.dispose()
    conventional = {
        constraint.name
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert migrated == conventional


async def test_our_books_and_the_stored_value_know_orders_without_a_foreign_key(empty_database_url: str) -> None:
    """Orders are the merchant's, and may be kept elsewhere; so may their gift cards be."""
    await migrate(empty_database_url)

    def refers_to(connection: Connection) -> dict[str, set[str]]:
        found = inspect(connection)
        return {
            table: {key["referred_table"] for key in found.get_foreign_keys(table)} for table in found.get_table_names()
        }

    engine = open_engine(empty_database_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(refers_to)
    await engine.dispose()
    of_orders = {table.__tablename__ for table in vars(order_tables).values() if _is_table(table)}
    known_outside = {table: names & of_orders for table, names in found.items() if table not in of_orders}
    assert len(known_outside) > 10
    assert not any(known_outside.values())
    assert all(found[table] <= of_orders for table in of_orders)
    assert found["stored_value_entries"] == {"stored_value_accounts", "stored_value_entries"}
    assert found["facts"] == {"cancellations"}


def _is_table(found: object) -> TypeGuard[type[Base]]:
    return isinstance(found, type) and issubclass(found, Base) and found is not Base


async def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    argv = ("-m", "providers.database.migrate", "--url", empty_database_url)
    started = [await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=ROOT) for _ in range(3)]
    assert [await process.wait() for process in started] == [0, 0, 0]

    engine = open_engine(empty_database_url)
    async with engine.connect() as connection:
        revisions = (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all()
        counters = (await connection.scalars(text("SELECT last FROM document_counters"))).all()
    await engine.dispose()
    assert revisions == ["0001"]
    assert counters == [0, 0]


async def test_tables_are_missing_then_right_then_older_then_newer(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)

    async def recorded_as(*revisions: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM alembic_version"))
            for revision in revisions:
                await connection.execute(
                    text("INSERT INTO alembic_version (version_num) VALUES (:revision)"), {"revision": revision}
                )

    try:
        with pytest.raises(WrongTables, match=r"missing or older .* run python -m providers\.database\.migrate"):
            await check_tables(engine)
        await migrate(empty_database_url)
        await check_tables(engine)
        await recorded_as()  # there is one revision only, so what is older has none
        with pytest.raises(WrongTables, match="missing or older"):
            await check_tables(engine)
        await recorded_as("9999")
        with pytest.raises(WrongTables, match=r"newer than this version \(revision 9999\)"):
            await check_tables(engine)
    finally:
        await engine.dispose()


async def test_the_check_of_a_file_that_is_not_there_does_not_make_it(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(WrongTables, match="missing"):
        await check_tables(engine)
    await engine.dispose()
    assert not (await asyncio.to_thread(lambda: [*tmp_path.iterdir()]))


async def test_of_a_database_that_is_not_reached_nobody_knows_the_tables() -> None:
    engine = open_engine("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Unavailable):
        await check_tables(engine)
    await engine.dispose()
