"""Bring a database's tables up to date: `python -m providers.order_book.migrate [--url URL]`."""

import argparse
import asyncio
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from providers.order_book.engine import open_engine, writing

_ALEMBIC_INI = Path(__file__).resolve().parents[2] / "alembic.ini"
_ONE_AT_A_TIME = 7_265_001  # the lock's number means nothing; it only has to be the same everywhere


def database_url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///.run/order_book.sqlite")


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Bring the order book's tables up to date.")
    parser.add_argument("--url", default=database_url(), help="the database (default: DATABASE_URL)")
    asyncio.run(migrate(parser.parse_args().url))
