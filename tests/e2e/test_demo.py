"""The demo as a stranger runs it: processes of its own, and nothing left of them afterwards."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from functools import partial
from pathlib import Path

import httpx2
import pytest

from domain.outcome import CancellationResult, MoneyStatus, Outcome, State
from sandbox.demo import Report
from sandbox.samples import MARKETPLACE_ORDER, SAMPLES, SETTLES_LATER, WAITING
from sandbox.serving import ROOT
from sandbox.temporal_ui import MORE_ROOM, SWITCHED_OFF
from tests.e2e.pasting import PAGES, Up, blocks, paste_all
from tests.e2e.running import alive, children_of, read_addresses, read_until, start_demo
from tests.e2e.terminal import find_broken
from tests.observing import eventually


async def run_demo(folder: Path, *options: str) -> Report:
    """Run it to its end, which has to be a good one."""
    file = folder.with_suffix(".json")
    demo = await start_demo(folder, "--report", str(file), *options)
    out, _ = await demo.communicate()
    assert demo.returncode == 0, out.decode()
    assert "Traceback" not in out.decode()
    return Report.model_validate_json(file.read_bytes())


@pytest.fixture(scope="module")
async def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return await run_demo(tmp_path_factory.mktemp("undisturbed") / "demo")


async def test_every_sample_ends_as_expected_and_the_books_balance(undisturbed: Report) -> None:
    """A12, A13, B1, B2, B3, B8, B12, B15, B18, B19, B22, B27, B30, C1, C3, C6, C9, C10, D1, D5"""
    assert [order.order_id for order in undisturbed.orders] == [sample.order_id for sample in SAMPLES]
    assert [order.seen for order in undisturbed.orders] == [sample.expected for sample in SAMPLES]
    assert {balance.currency for balance in undisturbed.proof.balances} == {"USD", "JPY", "KWD"}
    assert all(balance.holds and balance.credited for balance in undisturbed.proof.balances)
    assert undisturbed.proof.effects["gateway refund.created"] == sum(
        bool(order.credit_note)
        for order in undisturbed.orders
        if order.order_id != MARKETPLACE_ORDER and order.seen and order.seen.money is not MoneyStatus.BY_HAND
    )
    assert undisturbed.problems == ()


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_a_worker_killed_in_the_middle_changes_no_outcome_and_no_effect(
    undisturbed: Report, tmp_path: Path
) -> None:
    """D7: killed twice with SIGKILL while cancellations are under way."""
    killed = await run_demo(tmp_path / "demo", "--kill-worker")
    assert killed.kills == 2
    assert [order.seen for order in killed.orders] == [order.seen for order in undisturbed.orders]
    assert killed.proof.effects == undisturbed.proof.effects
    assert killed.proof.balances == undisturbed.proof.balances
    # A refund that the gateway settles while no worker is there is "refunded" at once: nobody is notified that it has begun.
    begun = {**undisturbed.proof.mails, SETTLES_LATER: undisturbed.proof.mails[SETTLES_LATER] - 1}
    assert killed.proof.mails in (undisturbed.proof.mails, begun)


WAITING_AS = (
    State.WAITING_FOR_APPROVAL,
    State.WAITING_FOR_CARRIER,
    State.WAITING_FOR_SETTLEMENT,
    State.NEEDS_ATTENTION,
    State.NEEDS_ATTENTION,
)


async def _is(http: httpx2.AsyncClient, order_id: str, state: State) -> bool:
    return bool((await http.get(f"/orders/{order_id}/cancellation")).json()["state"] == state)


@pytest.mark.timeout(240)
async def test_it_stays_for_people_until_it_is_stopped(tmp_path: Path) -> None:
    """P1, P4, P5: with what waits, pages to look at, and every command of the first pages pasted."""
    demo = await start_demo(tmp_path / "demo", "--stay")
    said = await read_until(demo, "Ctrl-C stops everything")
    processes = children_of(demo.pid)
    assert len(processes) == 9
    at = read_addresses(said)
    async with httpx2.AsyncClient(timeout=30) as http:
        settings = (await http.get(f"{at['Temporal UI']}/api/v1/settings")).json()
        page = await http.get(f"{at['Temporal UI']}/namespaces/default/workflows")
        mails = await http.get(at["Mails"])
        first = re.search(r'href="(/\d[^"]+)"', mails.text)
        assert first is not None
        mail = await http.get(at["Mails"] + first[1])
    assert {name for name, on in settings.items() if on is True} == {*SWITCHED_OFF, *MORE_ROOM}
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert "order 1001" in mails.text.lower()
    assert "@customer.example" in mail.text
    async with httpx2.AsyncClient(base_url=at["HTTP API"], headers={"Authorization": "Bearer sandbox"}) as http:
        for (_, order), state in zip(WAITING, WAITING_AS, strict=True):
            await eventually(partial(_is, http, order.order_id, state), f"{order.order_id} is {state}")
        ended = (await http.get("/orders/1001/cancellation")).raise_for_status().json()
        body = {"customer_id": "C-2016", "reason": "no_longer_needed", "channel": "web_shop"}
        fresh = await http.post("/orders/2016/cancellation", headers={"Idempotency-Key": "web-2f6c1d"}, json=body)
    assert ended["state"] == "cancelled"
    assert (fresh.status_code, fresh.json()["decision"]["rule"]) == (201, "above_limit"), "the README's example"
    lines = [json.loads(line) for line in (tmp_path / "demo" / "api.log").read_text().splitlines()]
    assert {line["provider"] for line in lines if line["event"] == "event_received"} == {"stripe", "easypost"}
    environment = {**os.environ, "TEMPORAL_ADDRESS": at["Temporal"]}
    argv = [str(ROOT / "starter.py"), "result", "1001", "--json"]
    starter = await asyncio.create_subprocess_exec(sys.executable, *argv, env=environment, stdout=PIPE)
    out, _ = await starter.communicate()
    assert CancellationResult.model_validate_json(out).outcome is Outcome.CANCELLED
    assert not await find_broken(at["Temporal"], columns=80)
    up = Up(temporal=environment["TEMPORAL_ADDRESS"], api=at["HTTP API"], folder=tmp_path / "demo")
    assert [len(blocks(page)) for page in PAGES] == [3, 3, 1, 5, 5]
    failed = await paste_all(up)
    assert not failed, "\n\n".join(failed)
    demo.send_signal(signal.SIGINT)
    await demo.communicate()
    assert demo.returncode == 0
    assert alive(processes) == set()


async def test_stopped_in_the_middle_it_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = await start_demo(tmp_path / "demo")
    await read_until(demo, "verify done")
    processes = children_of(demo.pid)
    assert len(processes) == 6
    demo.send_signal(signal.SIGINT)
    assert demo.stdout is not None
    rest = (await demo.stdout.read()).decode()
    assert await demo.wait() == 130
    assert "Traceback" not in rest
    assert alive(processes) == set()


async def test_it_empties_no_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    demo = await start_demo(tmp_path)
    out, _ = await demo.communicate()
    assert demo.returncode == 1
    assert "name an empty folder" in out.decode()
    assert (tmp_path / "letter.txt").read_text() == "dear"
