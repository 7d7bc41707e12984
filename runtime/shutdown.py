"""How a process ends, and what runs beside its main work."""

import asyncio
import contextlib
import os
import sys
from typing import Any, NoReturn


def exit_now(code: int) -> NoReturn:
    """End with `code`. The client has threads that may abort the interpreter while it shuts down, long after all work was
    done; so that the exit code stays what it means, the process ends without that."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


async def cancel_and_wait(task: "asyncio.Task[Any]") -> None:
    """Cancel a task that never ends by itself, and wait until it has ended. A cancel that lands together with an answer is
    lost in `asyncio.wait_for` before Python 3.12, as database and mail drivers use it, so it is repeated."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    if not task.cancelled():
        task.result()
