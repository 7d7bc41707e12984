"""Acting at an exact moment of a run.

The run is halted at every point at which its history can grow, or an activity of it has done a part of its work: before
each workflow task, before each attempt of an activity, in the middle of it and after it. What is done while it is halted is
at the server before the run goes on. Local activities are halted like others.
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
from runtime.queried_runs import QueriedRuns
from tests.system import System

_LONGEST_HALT = 150


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


Halt = Callable[[Moment], Awaitable[None]]
Act = Callable[[], Awaitable[None]]


@dataclass
class Watch:
    """The moments of one order's runs so far. At the one with the number `at`, `act` is done."""

    at: int | None = None
    act: Act | None = None
    seen: list[str] = field(default_factory=list)

    async def reach(self, moment: Moment) -> None:
        number = len(self.seen)
        self.seen.append(str(moment))
        if number == self.at and self.act is not None:
            await _to_its_end(self.act())


class Moments:
    """Those of every order that is watched."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}

    def watch(self, order_id: str, watch: Watch) -> None:
        self._watches[workflow_id(order_id)] = watch

    async def halt(self, moment: Moment) -> None:
        watch = self._watches.get(moment.workflow_id)
        if watch is not None:
            await watch.reach(moment)

    def worker(self, system: System) -> Worker:
        return halting_worker(replace(system, books=_HaltedBooks(system, self.halt)), self.halt)


def halting_worker(system: System, halt: Halt) -> Worker:
    """The product's own worker, halted at every task and every attempt. A halt is no deadlock, which the SDK looks for after
    two seconds; what switches that off in the SDK holds the event loop up as well."""
    runs = QueriedRuns(_HaltedTasks(halt, asyncio.get_running_loop()))  # as the product's worker has them
    worker = system.worker(workflow_runner=runs, more_interceptors=[_HaltedActivities(halt)])
    workflow_worker = worker._workflow_worker
    assert workflow_worker is not None
    workflow_worker._deadlock_timeout_seconds = None
    return runs.watch(worker)


class _HaltedActivities(Interceptor):
    def __init__(self, halt: Halt) -> None:
        self._halt = halt

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        halt = self._halt

        class Halted(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
                await halt(_of_activity(Place.BEFORE))
                result = await super().execute_activity(input)
                await halt(_of_activity(Place.AFTER))
                return result

        return Halted(next)


def _of_activity(place: Place) -> Moment:
    info = activity.info()
    return Moment(info.workflow_id or "", place, info.activity_type)


class _HaltedTasks(WorkflowRunner):
    """The product's own runner, halted before every workflow task. A query is none, nor is what is replayed."""

    def __init__(self, halt: Halt, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = sandboxed(SandboxedWorkflowRunner())
        self._halt = halt
        self._loop = loop

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = self._inner.create_instance(det)
        activate = instance.activate

        def halted(act: Any) -> Any:
            is_query = all(job.HasField("remove_from_cache") or job.HasField("query_workflow") for job in act.jobs)
            if not (is_query or act.is_replaying):
                moment = Moment(det.info.workflow_id, Place.TASK, history_length=act.history_length)
                asyncio.run_coroutine_threadsafe(_awaited(self._halt(moment)), self._loop).result(_LONGEST_HALT)
            return activate(act)

        instance.activate = halted  # type: ignore[method-assign]
        return instance

    def set_worker_level_failure_exception_types(self, types: Any) -> None:
        self._inner.set_worker_level_failure_exception_types(types)


async def _awaited(halt: Awaitable[None]) -> None:
    await halt


async def _to_its_end(act: Awaitable[None]) -> None:
    """What is done to a run may call off the attempt at which it is done; it is done whole all the same."""
    acting = asyncio.ensure_future(act)
    try:
        await asyncio.shield(acting)
    except asyncio.CancelledError:
        await asyncio.wait([acting])
        raise


async def _stand_still(halt: Awaitable[None]) -> None:
    """An attempt that is called off meanwhile goes on all the same: a process that stands still has not heard of it."""
    halted, task = asyncio.ensure_future(halt), asyncio.current_task()
    while not halted.done():
        try:
            await asyncio.shield(halted)
        except asyncio.CancelledError:
            assert task is not None
            task.uncancel()


class _HaltedBooks(SqlBooks):
    """The product's own books, halted where an activity is in the middle of its work."""

    def __init__(self, system: System, halt: Halt) -> None:
        super().__init__(system.engine)
        self._halt = halt

    async def note_effect(self, *args: Any, **kwargs: Any) -> Any:
        noted = await super().note_effect(*args, **kwargs)
        await _stand_still(self._halt(_of_activity(Place.NOTED)))
        return noted

    async def note_hold(self, *args: Any, **kwargs: Any) -> Any:
        noted = await super().note_hold(*args, **kwargs)
        await self._halt(_of_activity(Place.NOTED))
        return noted

    async def write(self, *args: Any, **kwargs: Any) -> Any:
        await self._halt(_of_activity(Place.WRITING))
        return await super().write(*args, **kwargs)

    async def decide(self, *args: Any, **kwargs: Any) -> Any:
        await self._halt(_of_activity(Place.WRITING))
        return await super().decide(*args, **kwargs)

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        await self._halt(_of_activity(Place.WRITING))
        return await super().close(*args, **kwargs)
