"""The plugin's own tests, on a database whose transactions really overlap. `make test-integrations` runs them on SQLite."""

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT

import pytest

from sandbox.serving import ROOT
from tests.fixtures.databases import Databases


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_plugin_holds_and_closes_orders_on_postgresql(databases: Databases) -> None:
    url = await databases.postgresql(empty=True)
    plugin_tests = await asyncio.create_subprocess_exec(
        *("npm", "test", "--silent"),
        cwd=ROOT / "integrations" / "vendure",
        env={
            **os.environ,
            "TEST_DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
        },
        stdout=PIPE,
        stderr=STDOUT,
    )
    out, _ = await plugin_tests.communicate()
    await databases.drop(url)
    assert plugin_tests.returncode == 0, out.decode()
