"""The migrations make exactly the tables that the code expects, on both databases."""

import asyncio
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from providers.order_book.engine import open_engine
from providers.order_book.migrate import migrate
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
