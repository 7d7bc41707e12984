"""Roll-back: compensations in reverse order, and a process that a cancel request cannot tear apart."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from domain.outcome import Outcome

T = TypeVar("T")


class RollBack(Exception):
    """The process rolls back from here. `failed`: a step's failure is the cause, so the run ends as failed."""

    def __init__(self, outcome: Outcome, sentence: str, *, failed: bool = False) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.sentence = sentence
        self.failed = failed


class Saga:
    """The compensations of the steps begun so far. Each is registered before its step runs, because a step that seems to
    have failed may have had its effect; each is conditional and idempotent for the same reason."""

    def __init__(self) -> None:
        self._compensations: list[Callable[[], Awaitable[None]]] = []

    def register_compensation(self, compensation: Callable[[], Awaitable[None]]) -> None:
        self._compensations.append(compensation)

    async def roll_back(self) -> None:
        while self._compensations:
            await self._compensations[-1]()
            self._compensations.pop()


async def shield_from_cancellation(process: Coroutine[Any, Any, T]) -> T:
    """Run the whole process in a task of its own, which no cancel request reaches.

    Temporal cancels a run by cancelling its main task, wherever that task waits. Taken there, the request would tear the
    step that is under way, or be lost when it lands together with an answer. Here the main task only waits: the process
    asks `workflow.cancellation_reason()` between its steps, and rolls back by itself.
    """
    task = asyncio.create_task(process)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # the worker drops the run from its cache
                raise
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
