"""The shield: a process that a cancel request cannot interrupt."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


# Rule: A cancel request reaches no step
async def shield_from_cancellation(process: Coroutine[Any, Any, T]) -> T:
    """Run the whole process in a task of its own, which no cancel request reaches.

    Temporal cancels a run by cancelling its main task, wherever that task waits. There the request would interrupt
    the step that is under way, or be lost when it lands together with an answer. Here the main task only waits: the process
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
