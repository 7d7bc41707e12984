"""One cancellation that is disturbed at one point of one story, and helped to its end."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from temporalio.service import RPCError

from client.errors import StarterError
from domain.base import Value
from domain.order import Order
from tests.faults.confidential import shown_in_logs
from tests.faults.end import End, read_end
from tests.faults.invariants import violations
from tests.faults.model import REFUNDED, RELEASED, Invariant, Violation
from tests.faults.points import Disturbance, Moment, Point
from tests.faults.rest import NotAtRest
from tests.faults.staff import Staff, place_order
from tests.faults.stage import Database, Stage, is_alive, kill, lock_file
from tests.faults.stories import STORIES, Story
from tests.faults.worker import WorkerOrder, calls_file, control_socket, log_file
from tests.faults.world import keys_noted, read_cases, read_money, read_world
from tests.fixtures.system import on_database
from tests.system import System

T = TypeVar("T")

LOCKED_FOR = 3.0
"""Seconds. Longer than a local attempt has."""

_LONGEST = 180.0
_AWAY = 600.0
"""How long Temporal or the database may be away again and again, where many kill it."""

_PAUSED_FOR = 45.0
"""Seconds at most. An attempt has 30."""

_QUIET = 2.0
"""Seconds without another call, after which a worker that was paused does nothing more. Nobody says so."""

_PAUSE = 1.0
"""Between two looks of the people around; each look costs the worker something."""


class Fault(StrEnum):
    WORKER_KILLED = "worker_killed"
    WORKER_PAUSED = "worker_paused"
    """For longer than all of its clocks: another one sees the cancellation through, and then it goes on as if nothing had
    been. Earlier where the others cannot: it may stand still in the middle of a transaction."""
    ANSWER_LOST = "answer_lost"
    TEMPORAL_KILLED = "temporal_killed"
    DATABASE_LOCKED = "database_locked"
    """SQLite."""
    DATABASE_RESTARTED = "database_restarted"
    """PostgreSQL."""


class Case(Value):
    """Without a fault nothing happens to it."""

    story: Story
    fault: Fault | None = None
    point: Point | None = None

    def __str__(self) -> str:
        return f"{self.story} · {self.fault} · {self.point}" if self.fault else f"{self.story} · undisturbed"


class Seen(Value):
    """`hit`: the point was reached, and the fault happened there. `end` None: it came to none, which is a violation.
    `unlocked`: the order was closed after all, because nobody
    knew what came of an attempt to close it. `calls`: those of all its workers, in their order."""

    hit: bool
    unlocked: bool
    end: End | None
    violations: tuple[str, ...]
    calls: tuple[str, ...]
    seconds: float


class WorkerDied(Exception):
    """By itself."""


@dataclass
class _Play:
    stage: Stage
    case: Case
    folder: Path
    system: System
    staff: Staff
    hit: bool = False
    unnoted: tuple[str, ...] = ()
    worker: int = 0
    paused: int = 0
    late: asyncio.StreamReader | None = None
    """It ends with the attempt of the worker that is paused."""
    answered: list[asyncio.StreamWriter] = field(default_factory=list)
    waking: asyncio.TimerHandle | None = None
    later: list[asyncio.Task[None]] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fork(self, disturbance: Disturbance) -> None:
        self.worker = await self.stage.forks.fork(
            WorkerOrder(
                address=self.stage.temporal.address,
                database_url=self.system.engine.url.render_as_string(hide_password=False),
                task_queue=self.system.task_queue,
                folder=self.folder,
                disturbance=disturbance,
            )
        )

    async def reached(self, attempt: asyncio.StreamReader, worker: asyncio.StreamWriter) -> None:
        """The worker is at the point, and waits until this connection ends; unless the attempt has timed out meanwhile."""
        async with self.turn:
            if not attempt.at_eof():
                self.hit = True
                self.unnoted = await _find_unnoted(self.system, self.staff.watched.order)
                await self._strike()
        if self.paused:
            self.late = attempt
            self.answered.append(worker)
            worker.write_eof()
        else:
            worker.close()

    async def _strike(self) -> None:
        match self.case.fault:
            case Fault.WORKER_KILLED:
                kill(self.worker)
                await self.fork(Disturbance())
            case Fault.WORKER_PAUSED:
                os.kill(self.worker, signal.SIGSTOP)
                self.paused = self.worker
                self.waking = asyncio.get_running_loop().call_later(_PAUSED_FOR, os.kill, self.paused, signal.SIGCONT)
                await self.fork(Disturbance())
            case Fault.TEMPORAL_KILLED:
                killed = asyncio.Event()
                self.later.append(asyncio.create_task(self.stage.temporal.restart(killed)))
                await killed.wait()
            case Fault.DATABASE_RESTARTED:
                stopped = asyncio.Event()
                self.later.append(asyncio.create_task(self.stage.databases.restart_postgresql(stopped)))
                await stopped.wait()
            case Fault.DATABASE_LOCKED:
                locked = asyncio.Event()
                self.later.append(asyncio.create_task(lock_file(self.system.engine.url, LOCKED_FOR, locked)))
                await locked.wait()
            case _:
                pass  # the worker loses the answer itself

    async def resume(self) -> None:
        """The worker that is paused goes on; returns when it does nothing more."""
        if self.waking is None:
            return
        self.waking.cancel()
        os.kill(self.paused, signal.SIGCONT)
        assert self.late is not None
        await asyncio.wait_for(self.late.read(), _LONGEST)
        calls, since = 0, time.monotonic()
        while time.monotonic() - since < _QUIET:
            await asyncio.sleep(_QUIET / 10)
            if (now := calls_file(self.folder).stat().st_size) != calls:
                calls, since = now, time.monotonic()

    async def check_worker(self) -> None:
        async with self.turn:
            if not is_alive(self.worker):
                raise WorkerDied(log_file(self.folder).read_text()[-2000:])


async def play(stage: Stage, case: Case) -> Seen:
    """Raises what goes wrong with the test itself. A cancellation that comes to no end breaks I3."""
    began = time.monotonic()
    folder = stage.new_folder()
    async with stage.new_database(folder) as url, on_database(stage.environment, url, stage.parts) as system:
        staff = await _persist(lambda: place_order(system, STORIES[case.story]))
        staff.pause = _PAUSE
        playing = _Play(stage, case, folder, system, staff)
        control = await asyncio.start_unix_server(playing.reached, control_socket(folder))
        try:
            loses = case.fault is Fault.ANSWER_LOST
            await playing.fork(Disturbance(point=case.point, loses_answer=loses))
            stuck = await _find_stuck(staff)
            await asyncio.gather(*playing.later)
            if not stuck:
                await playing.resume()
            await playing.check_worker()
            end, broken = (None, stuck) if stuck else await _persist(lambda: _see(system, staff))
        finally:
            control.close()
            if playing.waking:
                playing.waking.cancel()
            for worker in (playing.worker, playing.paused):
                kill(worker)
            for answered in playing.answered:
                answered.close()
            for task in playing.later:
                task.cancel()
        calls = tuple(calls_file(folder).read_text().split())
        shown = tuple(str(found) for found in shown_in_logs([log_file(folder)]))
    shutil.rmtree(folder)
    return Seen(
        hit=playing.hit,
        unlocked=staff.unlocked,
        end=end,
        violations=(*playing.unnoted, *broken, *shown),
        calls=calls,
        seconds=time.monotonic() - began,
    )


async def _find_stuck(staff: Staff) -> tuple[str, ...]:
    """Ask for the cancellation, and help it to its end. What is broken where it comes to none."""
    try:
        await _persist(staff.submit)
        await _persist(lambda: staff.see_through(_LONGEST))
    except NotAtRest as moves:
        order_id = staff.watched.order.order_id
        return (str(Violation(invariant=Invariant.TERMINAL, order_id=order_id, sentence=f"{moves}"[:1000])),)
    return ()


async def _see(system: System, staff: Staff) -> tuple[End, tuple[str, ...]]:
    world = await read_world(system, staff.watched)
    return await read_end(system, world), tuple(str(found) for found in (*staff.seen, *violations(world)))


async def _find_unnoted(system: System, order: Order) -> tuple[str, ...]:
    """What a counterpart has done by now under a key that no book knows: were the worker to die now, nobody would."""
    cases = await read_cases(system, order.order_id)
    noted = {key for case in cases for key in keys_noted(case)}
    return tuple(
        f"{Invariant.ONCE} order {order.order_id}: {effect.kind} {effect.object_id} is not noted yet"
        for effect in await read_money(system, order)
        if effect.kind in {REFUNDED, RELEASED} and not effect.by_others and effect.noted_key not in noted
    )


async def _persist(action: Callable[[], Awaitable[T]]) -> T:
    """Again while Temporal or the database is away."""
    deadline = time.monotonic() + _AWAY
    while True:
        try:
            return await action()
        except (RPCError, StarterError, DBAPIError, OSError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE)


def points_of(calls: tuple[str, ...]) -> list[Point]:
    """Before and after each of the calls that one undisturbed worker makes."""
    counts: dict[str, int] = {}
    found = []
    for call in calls:
        counts[call] = counts.get(call, 0) + 1
        found += [Point(call=call, number=counts[call], moment=moment) for moment in Moment]
    return found


def cases_of(story: Story, calls: tuple[str, ...], database: Database) -> list[Case]:
    """All that can happen to it. Before an activity returns, nothing else happens than after its last call."""
    away = Fault.DATABASE_LOCKED if database is Database.SQLITE else Fault.DATABASE_RESTARTED
    cases = []
    for point in points_of(calls):
        if point.is_return and point.moment is Moment.BEFORE:
            continue
        faults = [Fault.WORKER_KILLED, Fault.WORKER_PAUSED]
        if point.is_return or point.moment is Moment.BEFORE:
            faults.append(Fault.TEMPORAL_KILLED)
        if not point.is_return:
            faults.append(Fault.ANSWER_LOST if point.moment is Moment.AFTER else away)
        cases += [Case(story=story, fault=fault, point=point) for fault in faults]
    return cases
