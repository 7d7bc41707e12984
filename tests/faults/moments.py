"""Acting at an exact moment of a run.

The run is held at every point at which its history can grow, or an activity of it has done a part of its work: before each
workflow task, before each attempt of an activity, in the middle of it and after it. What is done while it is held is at the
server before the run goes on. Local activities are held like others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    Worker,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from domain.request import workflow_id
from providers.books.books import SqlBooks
from runtime.plugin import sandboxed
from tests.system import System

_LONGEST_HOLD = 150


class Place(StrEnum):
    """NOTED: an effect is noted in the books, and its provider not called yet. WRITING: what was found or done is about to
    be written there. WAITING: nothing is under way; somebody has seen that the run waits."""

    TASK = "before_task"
    BEFORE = "before"
    NOTED = "noted_in"
    WRITING = "writing_in"
    AFTER = "after"
    WAITING = "waiting_at"


@dataclass(frozen=True)
class Moment:
    """`name` is the activity's, or what the run waits at; `history_length` is known before a task alone."""

    workflow_id: str
    place: Place
    name: str = ""
    history_length: int | None = None

    def __str__(self) -> str:
        if self.place is Place.TASK:
            return f"{self.place} at {self.history_length}"
        return f"{self.place} {self.name}"


Hold = Callable[[Moment], Awaitable[None]]
Act = Callable[[], Awaitable[None]]


@dataclass
class Watch:
    """The moments of one order's runs so far. At the one with the number `at`, `act` is done."""

    at: int | None = None
    act: Act | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def is_hit(self) -> bool:
        return self.at is not None and len(self.seen) > self.at

    async def reach(self, moment: Moment) -> None:
        number = len(self.seen)
        self.seen.append(str(moment))
        if number == self.at and self.act is not None:
            await self.act()


class Moments:
    """Those of every order that is watched."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}

    def watch(self, order_id: str, watch: Watch) -> None:
        self._watches[workflow_id(order_id)] = watch

    async def hold(self, moment: Moment) -> None:
        watch = self._watches.get(moment.workflow_id)
        if watch is not None:
            await watch.reach(moment)

    def worker(self, system: System) -> Worker:
        return held_worker(replace(system, books=_HeldBooks(system, self.hold)), self.hold)


def held_worker(system: System, hold: Hold) -> Worker:
    """The product's own worker, held at every task and every attempt. A hold is no deadlock, which the SDK looks for after
    two seconds; what switches that off in the SDK holds the event loop up as well."""
    worker = system.worker(
        workflow_runner=_HeldTasks(hold, asyncio.get_running_loop()), more_interceptors=[_HeldActivities(hold)]
    )
    workflow_worker = worker._workflow_worker
    assert workflow_worker is not None
    workflow_worker._deadlock_timeout_seconds = None
    return worker


class _HeldActivities(Interceptor):
    def __init__(self, hold: Hold) -> None:
        self._hold = hold

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        hold = self._hold

        class Held(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
                await hold(_of_activity(Place.BEFORE))
                result = await super().execute_activity(input)
                await hold(_of_activity(Place.AFTER))
                return result

        return Held(next)


def _of_activity(place: Place) -> Moment:
    info = activity.info()
    return Moment(info.workflow_id or "", place, info.activity_type)


class _HeldTasks(WorkflowRunner):
    """The product's own runner, held before every workflow task. A query is none, nor is what is replayed."""

    def __init__(self, hold: Hold, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = sandboxed(SandboxedWorkflowRunner())
        self._hold = hold
        self._loop = loop

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = self._inner.create_instance(det)
        activate = instance.activate

        def held(act: Any) -> Any:
            is_query = all(job.HasField("remove_from_cache") or job.HasField("query_workflow") for job in act.jobs)
            if not (is_query or act.is_replaying):
                moment = Moment(det.info.workflow_id, Place.TASK, history_length=act.history_length)
                asyncio.run_coroutine_threadsafe(_awaited(self._hold(moment)), self._loop).result(_LONGEST_HOLD)
            return activate(act)

        instance.activate = held  # type: ignore[method-assign]
        return instance

    def set_worker_level_failure_exception_types(self, types: Any) -> None:
        self._inner.set_worker_level_failure_exception_types(types)


async def _awaited(held: Awaitable[None]) -> None:
    await held


class _HeldBooks(SqlBooks):
    """The product's own books, held where an activity is in the middle of its work."""

    def __init__(self, system: System, hold: Hold) -> None:
        super().__init__(system.engine)
        self._hold = hold

    async def note_effect(self, *args: Any, **kwargs: Any) -> Any:
        noted = await super().note_effect(*args, **kwargs)
        await self._hold(_of_activity(Place.NOTED))
        return noted

    async def note_hold(self, *args: Any, **kwargs: Any) -> Any:
        noted = await super().note_hold(*args, **kwargs)
        await self._hold(_of_activity(Place.NOTED))
        return noted

    async def write(self, *args: Any, **kwargs: Any) -> Any:
        await self._hold(_of_activity(Place.WRITING))
        return await super().write(*args, **kwargs)

    async def decide(self, *args: Any, **kwargs: Any) -> Any:
        await self._hold(_of_activity(Place.WRITING))
        return await super().decide(*args, **kwargs)

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        await self._hold(_of_activity(Place.WRITING))
        return await super().close(*args, **kwargs)
