"""Bring a database's tables up to date: `python -m providers.database.migrate [--url URL]`. And whether they are."""

import argparse
import asyncio
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from providers.database.engine import open_engine, transaction, writing

_ALEMBIC_INI = Path(__file__).resolve().parents[2] / "alembic.ini"
_ONE_AT_A_TIME = 7_265_001  # the lock's number means nothing; it only has to be the same everywhere


def database_url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite:///.run/cancellations.sqlite")


def _upgrade(connection: Connection) -> None:
    config = Config(_ALEMBIC_INI)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def migrate(url: str) -> None:
    """Upgrade to the newest revision, all or nothing. Several processes may do it at once: one does, the others wait and
    find nothing left to do."""
    engine = open_engine(url)
    if engine.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        async with writing(engine).begin() as connection:
            if engine.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


class WrongTables(Exception):
    """The database's tables are not those that this version works on. The text says so, and what to do."""


# Rule: A process starts only on tables of its own version
async def check_tables(engine: AsyncEngine) -> None:
    """Raises WrongTables when tables are missing, older or newer than this version, and Unavailable when the database cannot
    be reached: nobody knows then."""
    scripts = ScriptDirectory.from_config(Config(_ALEMBIC_INI))
    found: set[str] = set()
    if not _missing_file(engine):
        async with transaction(async_sessionmaker(engine)) as session:
            found = set(await (await session.connection()).run_sync(_revisions))
    if found == set(scripts.get_heads()):
        return
    if found <= {script.revision for script in scripts.walk_revisions()}:
        raise WrongTables("The tables are missing or older than this version; run python -m providers.database.migrate")
    raise WrongTables(
        f"The tables are newer than this version (revision {', '.join(sorted(found))}); start the version that "
        "made them, or a newer one."
    )


def _missing_file(engine: AsyncEngine) -> bool:
    """SQLite would make it."""
    return engine.name == "sqlite" and not Path(engine.url.database or "").is_file()


def _revisions(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Bring the tables up to date.")
    parser.add_argument("--url", default=database_url(), help="the database (default: DATABASE_URL)")
    asyncio.run(migrate(parser.parse_args().url))
