"""Killing the worker, or Vendure, at any call of a cancellation changes nothing of what comes of it."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from providers.orders.vendure.api import VendureApi
from providers.orders.vendure.orders import VendureOrders
from sandbox.vendure.process import VendureProcess
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import PASSWORD, USERNAME, SandboxVendure
from tests.fixtures.mail import Mailbox
from tests.fixtures.workers import Workers, environment
from tests.integrations.vendure.calls import Point, StoppingProxy
from tests.integrations.vendure.killing import Fault, Killing, Undisturbed, Victim
from tests.integrations.vendure.over import OverVendure
from tests.integrations.vendure.shops import FILES
from tests.integrations.vendure.stories import Story
from tests.system import System

pytestmark = pytest.mark.timeout(300)  # dozens of cancellations each

_READ, _UNCONDITIONAL = "orders", "cancelOrder"

_WITH_ALL_READS = {Story.PARTLY_CANCELLED, Story.WITHDRAWN}
"""Those of the others are the same ones."""

_PATIENT_WORKER = """
import asyncio
from activities.notices import NoticeDispatcher
from providers.orders.vendure import api
import worker

async def send_nothing(dispatcher):
    await asyncio.Event().wait()

NoticeDispatcher.run = send_nothing
api._TIMEOUT = 25.0
api._CALLS_AT_ONCE = 1000
worker.main()
"""
# worker.py, whose calls wait long enough for those of all other orders, and are all made at once. It sends no mails: each
# reads its order, one after the other, so that the rest would wait for the first that is stopped.


@pytest.fixture(scope="module", params=[True, False], ids=["with_plugin", "without_plugin"])
def mortal_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VendureProcess]:
    process = VendureProcess(tmp_path_factory.mktemp("vendure"), plugin=request.param).start()
    yield process
    process.stop()


@pytest.fixture
async def killing(
    mortal_process: VendureProcess, process_system: System, mailbox: Mailbox, tmp_path: Path
) -> AsyncIterator[Killing]:
    plugin = mortal_process.plugin
    async with SandboxVendure(mortal_process.url, plugin=plugin) as shop, StoppingProxy(mortal_process.url) as calls:
        env = {
            **environment(process_system, mailbox),
            "VENDURE_URL": f"{calls.url}/admin-api",
            "VENDURE_USERNAME": USERNAME,
            "VENDURE_PASSWORD": PASSWORD,
        }
        if method := FILES[plugin].fulfillment_method:
            file = tmp_path / "vendure.toml"
            file.write_text(f"fulfillment_method = '{method}'\n")
            env["VENDURE_FILE"] = str(file)
        orders = VendureOrders(VendureApi(shop.admin_api, USERNAME, PASSWORD), FILES[plugin])
        # What the test itself does in the shop is not stopped, so its own network is never cut.
        over = OverVendure(dataclasses.replace(process_system, orders=orders), shop, CuttableProxy(mortal_process.url))
        workers = Workers(env, tmp_path, [], program=("-c", _PATIENT_WORKER, "run"))
        yield Killing(over, mortal_process, calls, workers, workers.start())
        for worker in workers.started:
            worker.kill()
        await orders.aclose()


@pytest.mark.parametrize(
    ("victim", "point"),
    [
        pytest.param(Victim.WORKER, Point.AFTER_IT_WAS_ANSWERED, id="worker-after_the_answer"),
        pytest.param(Victim.WORKER, Point.BEFORE_IT_IS_SENT, id="worker-before_the_call", marks=pytest.mark.long),
        pytest.param(
            Victim.VENDURE, Point.AFTER_IT_WAS_ANSWERED, id="vendure-after_the_answer", marks=pytest.mark.long
        ),
        pytest.param(Victim.VENDURE, Point.BEFORE_IT_IS_SENT, id="vendure-before_the_call", marks=pytest.mark.long),
    ],
)
async def test_killing_a_process_at_any_call_changes_no_outcome(killing: Killing, victim: Victim, point: Point) -> None:
    """E21, D7, I5: an order for each call, and all of them are stopped at theirs when the process dies. A read leaves
    nothing behind, so that it is the same whether it was answered."""
    undisturbed, faults = await _find_faults(killing, point)
    for fault, finished in zip(faults, await killing.kill_at(victim, faults), strict=True):
        assert (await killing.see(finished)).differences(undisturbed[fault.story].aftermath) == [], fault
    await killing.over.system.assert_books_balance()


@pytest.mark.long
async def test_what_a_killed_worker_has_sent_and_arrives_when_all_is_over_changes_nothing(killing: Killing) -> None:
    """I5. The one exception is what plain Vendure has no condition for: its units would leave twice."""
    undisturbed, faults = await _find_faults(killing, Point.BEFORE_IT_IS_SENT)
    harmless = [fault for fault in faults if fault.call.operation not in {_READ, _UNCONDITIONAL}]
    done = await killing.kill_at(Victim.WORKER, harmless)
    await killing.calls.send_late()
    for fault, finished in zip(harmless, done, strict=True):
        assert (await killing.see(finished)).differences(undisturbed[fault.story].aftermath) == [], fault


@pytest.mark.long
@pytest.mark.parametrize("mortal_process", [True], ids=["with_plugin"], indirect=True)
@pytest.mark.parametrize("victim", Victim)
async def test_killing_a_process_at_the_first_calls_of_a_worker_changes_no_outcome(
    killing: Killing, victim: Victim
) -> None:
    """D7: its login, and its look for the plugin."""
    story = Story.PARTLY_CANCELLED
    undisturbed = (await killing.try_out(story))[story]
    for operation, point in (
        ("login", Point.AFTER_IT_WAS_ANSWERED),
        ("orderCancellationPlugin", Point.BEFORE_IT_IS_SENT),
    ):
        finished = await killing.kill_new_worker_at(operation, point, victim, story)
        assert (await killing.see(finished)).differences(undisturbed.aftermath) == [], operation


async def _find_faults(killing: Killing, point: Point) -> tuple[dict[Story, Undisturbed], list[Fault]]:
    """What becomes of each story when nothing happens; and what may happen at each of its calls."""
    undisturbed = await killing.try_out(*(s for s in Story if killing.over.has_plugin or not s.needs_plugin))
    return undisturbed, [
        Fault(story, call, point)
        for story, (_, calls) in undisturbed.items()
        for call in calls
        if call.operation != _READ or (point is Point.BEFORE_IT_IS_SENT and story in _WITH_ALL_READS)
    ]
