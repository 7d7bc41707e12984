"""The TypeScript example of the contract, on Node.js. `make test-integrations` installs what it needs."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from sandbox.serving import ROOT
from tests.e2e.running import read_addresses, read_until, start_demo


@pytest.mark.timeout(180)
async def test_the_typescript_example_cancels_an_order(tmp_path: Path) -> None:
    """P12: with nothing but Temporal's SDK and the contract."""
    demo = await start_demo(tmp_path / "demo", "--stay")
    said = await read_until(demo, "Ctrl-C stops everything")
    example = await asyncio.create_subprocess_exec(
        *("npx", "--no-install", "tsx", "cancel.ts", "2007", "C-2007"),
        cwd=ROOT / "docs" / "contract" / "examples",
        env={**os.environ, "TEMPORAL_ADDRESS": read_addresses(said)["Temporal"]},
        stdout=PIPE,
        stderr=STDOUT,
    )
    out, _ = await example.communicate()
    demo.send_signal(signal.SIGINT)
    await demo.communicate()
    assert example.returncode == 0, out.decode()
    assert "Order 2007: refund 64.00 USD" in out.decode()
    assert 'cancelled {"amount":6400,"currency":"USD"} CN-' in out.decode()
