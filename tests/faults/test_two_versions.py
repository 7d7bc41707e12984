"""Workers and APIs of two versions at once: the code of now, and that before the last change of the process.

Of runs of the version before, the code of now goes on with those that it can replay. One that it cannot stands still where
operations see it, and has done nothing twice; a reset to its first task heals it, because the next run reads the books.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.outcome import Outcome, State
from runtime.plugin import TASK_QUEUE
from sandbox.serving import ROOT, Process
from tests import loss
from tests.faults.invariants import CHECKS, every_history_replays, violations
from tests.faults.model import World
from tests.faults.staff import Staff, place_order
from tests.faults.stories import STORIES, Story
from tests.faults.world import read_world
from tests.fixtures import api as apis
from tests.fixtures.api import SUPERVISOR, Api, running_api
from tests.fixtures.mail import Mailbox
from tests.fixtures.workers import Workers, environment, has_worked
from tests.observing import eventually
from tests.system import System

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

_STORIES = (Story.LABEL, Story.APPROVED, Story.PENDING_REFUND, Story.GIFT_CARD_AND_CARD, Story.GOODS_LET_GO)
_BATCHES = 6
_WITHOUT_REPLAY = [check for check in CHECKS if check is not every_history_replays]
"""A history of the version before is not one of ours."""


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def tree_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the version before."""
    folder = tmp_path_factory.mktemp("before")
    [changed] = git("log", "-1", "--format=%H", "--", "workflows").decode().split()
    subprocess.run(["tar", "-x", "-C", folder], input=git("archive", f"{changed}^"), check=True)
    return folder


@dataclass(frozen=True)
class Versions:
    """`before` and `now` start workers."""

    system: System
    before: Workers
    now: Workers


@pytest.fixture
def versions(process_system: System, mailbox: Mailbox, tree_before: Path, tmp_path: Path) -> Iterator[Versions]:
    env = environment(process_system, mailbox)
    now = Workers(env, tmp_path / "now", [])
    before = replace(now, folder=tmp_path / "before", started=[], program=(str(tree_before / "worker.py"), "run"))
    yield Versions(process_system, before, now)
    for process in (*now.started, *before.started):
        process.kill()


async def works(process: Process) -> None:
    async def started() -> bool:
        assert process.running, process.log.read_text()[-2000:]
        return '"worker_started"' in process.log.read_text()

    await eventually(started, "the worker works", within=60)


async def read_sound(staff: Staff) -> World:
    world = await read_world(staff.system, staff.watched)
    assert violations(world, _WITHOUT_REPLAY) == []
    return world


async def test_workers_of_two_versions_work_side_by_side(versions: Versions) -> None:
    """I1, I5: each run comes to its end, whichever of them has a part in it. The server gives many runs to one of them: more
    are begun until both have worked."""
    old, new = versions.before.start(), versions.now.start()
    await works(old)
    await works(new)
    for _ in range(_BATCHES):
        placed = [await place_order(versions.system, STORIES[story]) for story in _STORIES for _ in range(2)]
        await asyncio.gather(*(staff.submit() for staff in placed))
        await asyncio.gather(*(staff.see_through(150) for staff in placed))
        for staff in placed:
            await read_sound(staff)
        if has_worked(old) and has_worked(new):
            break
    assert (has_worked(old), has_worked(new)) == (True, True)


async def test_a_run_of_the_version_before_goes_on_or_is_seen_and_healed(versions: Versions) -> None:
    """I5, I6: its worker is gone for good when the next version comes."""
    system = versions.system
    staff = await place_order(system, STORIES[Story.APPROVED])
    old = versions.before.start()
    await works(old)
    await staff.submit()
    await system.wait_for_state(staff.handle, State.WAITING_FOR_APPROVAL)
    await asyncio.to_thread(old.stop)
    await works(versions.now.start())
    await system.wake(staff.handle)

    async def is_looked_at() -> bool:
        return await system.has_failed_task(staff.handle) or await goes_on()

    async def goes_on() -> bool:
        progress = await staff._progress()
        return progress is not None and progress.state is State.WAITING_FOR_APPROVAL

    await eventually(is_looked_at, "the run goes on, or its task fails", within=60)
    if await system.has_failed_task(staff.handle):
        await loss.reset(system.client, staff.handle)
    await staff.see_through(100)
    world = await read_sound(staff)
    assert [found.outcome for found in world.cancellations] == [Outcome.CANCELLED]
    assert world.given_back == 60000


@asynccontextmanager
async def api_before(tree: Path, log: Path, env: dict[str, str]) -> AsyncIterator[Api]:
    process = Process("api", [str(tree / "api.py")], log, env=env, event="api_started").start()
    try:
        async with httpx2.AsyncClient(base_url=process.url, timeout=60) as http:
            yield Api(process, http)
    finally:
        process.stop()


async def test_apis_of_two_versions_answer_for_one_cancellation(
    versions: Versions, tree_before: Path, sqlite_url: str, tmp_path: Path
) -> None:
    """E18: asked for by the one, shown and approved by the other."""
    system = versions.system
    assert system.task_queue == TASK_QUEUE
    staff = await place_order(system, STORIES[Story.APPROVED])
    order_id = staff.sample.order_id
    env = apis.environment(system.client.service_client.config.target_host, sqlite_url)
    await works(versions.now.start())
    async with (
        api_before(tree_before, tmp_path / "before.log", env) as before,
        running_api(tmp_path / "now.log", env) as now,
    ):
        body = {"customer_id": staff.sample.customer_id, "reason": "no_longer_needed", "channel": "web_shop"}
        asked = await before.start(order_id, body)
        assert asked.status_code in {201, 202}, asked.text
        again = await now.start(order_id, body)
        assert (again.status_code, again.json()["cancellation_id"]) == (
            asked.status_code,
            asked.json()["cancellation_id"],
        )
        for api in (before, now):
            shown = await api.get(f"/orders/{order_id}/cancellation")
            assert shown.json()["state"] == State.WAITING_FOR_APPROVAL
        approved = await now.steer(order_id, "approve", {}, SUPERVISOR)
        assert approved.status_code == 200, approved.text

        async def is_over() -> bool:
            return await loss.status(system.client, staff.handle) is not WorkflowExecutionStatus.RUNNING

        await eventually(is_over, "the cancellation is carried out", within=60)
        states = {(await api.get(f"/orders/{order_id}/cancellation")).json()["state"] for api in (before, now)}
    assert states == {"cancelled"}
    assert (await read_sound(staff)).given_back == 60000
