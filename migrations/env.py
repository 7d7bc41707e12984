"""Alembic's entry: uses the connection it is given, or opens DATABASE_URL when the `alembic` command runs it."""

import asyncio
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.types import TypeDecorator

from providers.books import tables  # noqa: F401 (the metadata is complete once they are read)
from providers.database.columns import Base
from providers.database.engine import open_engine, writing
from providers.database.migrate import database_url
from providers.orders.built_in import tables as orders  # noqa: F401
from providers.stored_value import tables as stored_value  # noqa: F401


def _render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """A migration must not change with the code: write the database's own types into it, not ours."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=_render,
        render_as_batch=True,  # SQLite changes a column by copying the table
        transactional_ddl=True,  # also on SQLite: a migration that fails leaves nothing behind
    )
    with context.begin_transaction():
        context.run_migrations()


async def _from_command_line() -> None:
    engine = open_engine(database_url())
    async with writing(engine).begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(_from_command_line())
else:
    run(given)
