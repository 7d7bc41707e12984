"""The TypeScript example of the contract, on Node.js. `make test-integrations` installs what it needs."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from temporalio.client import Client

from sandbox.serving import ROOT
from tests.e2e.running import read_addresses, read_until, start_demo
from tests.test_lists import attributes_of


@pytest.mark.timeout(180)
async def test_the_typescript_example_cancels_an_order(tmp_path: Path) -> None:
    """P12: with nothing but Temporal's SDK and the contract."""
    demo = await start_demo(tmp_path / "demo", "--stay")
    temporal = read_addresses(await read_until(demo, "Ctrl-C stops everything"))["Temporal"]
    example = await asyncio.create_subprocess_exec(
        *("npx", "--no-install", "tsx", "cancel.ts", "2007", "C-2007"),
        cwd=ROOT / "docs" / "contract" / "examples",
        env={**os.environ, "TEMPORAL_ADDRESS": temporal},
        stdout=PIPE,
        stderr=STDOUT,
    )
    out, _ = await example.communicate()
    client = await Client.connect(temporal)
    shown = await attributes_of(client.get_workflow_handle("cancel-order-2007"), tasks=0)
    demo.send_signal(signal.SIGINT)
    await demo.communicate()
    assert example.returncode == 0, out.decode()
    assert "Order 2007: refund 64.00 USD" in out.decode()
    assert 'cancelled {"amount":6400,"currency":"USD"} CN-' in out.decode()
    assert shown == {"OrderId": "2007", "CancellationState": "running", "CancellationReason": "no_longer_needed"}
