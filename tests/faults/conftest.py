"""The sound world that the tests of the checks break."""

import pytest

from tests.faults.broken import cancelled
from tests.faults.model import World
from tests.fixtures.databases import Databases
from tests.fixtures.system import Parts, on_database
from tests.fixtures.temporal import start_time_skipping


@pytest.fixture(scope="session")
async def sound(databases: Databases, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once: a world is never changed, and each test makes a broken one of it."""
    url = await databases.sqlite(tmp_path_factory.mktemp("sound") / "books.db")
    async with await start_time_skipping() as server, on_database(server, url, parts) as system, system.worker():
        return await cancelled(system)
