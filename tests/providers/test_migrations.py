"""The migrations make exactly the tables that the code expects, on both databases."""

import asyncio
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from domain.errors import Unavailable
from providers.order_book.engine import open_engine
from providers.order_book.migrate import WrongTables, check_tables, migrate
from providers.order_book.tables import Base

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


async def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    argv = ("-m", "providers.order_book.migrate", "--url", empty_database_url)
    started = [await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=ROOT) for _ in range(3)]
    assert [await process.wait() for process in started] == [0, 0, 0]

    engine = open_engine(empty_database_url)
    async with engine.connect() as connection:
        revisions = (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all()
        counters = (await connection.scalars(text("SELECT last FROM document_counters"))).all()
    await engine.dispose()
    assert revisions == ["0003"]
    assert counters == [0, 0]


async def test_tables_are_missing_then_right_then_older_then_newer(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)

    async def recorded_as(revision: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    try:
        with pytest.raises(WrongTables, match=r"missing or older .* run python -m providers\.order_book\.migrate"):
            await check_tables(engine)
        await migrate(empty_database_url)
        await check_tables(engine)
        await recorded_as("0001")
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
