"""The time of the books: the engine's clock while an activity runs, so that waits, due times and facts are counted on
one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

_started: ContextVar[tuple[datetime, float] | None] = ContextVar("started", default=None)


@contextmanager
def engine_time(at: datetime) -> Iterator[None]:
    """Count from the engine's time `at` on."""
    token = _started.set((at, time.monotonic()))
    try:
        yield
    finally:
        _started.reset(token)


# Rule: A fact has the time of the engine
def now() -> datetime:
    """An aware time in UTC."""
    started = _started.get()
    if started is None:
        return datetime.now(UTC)
    at, since = started
    return at.astimezone(UTC) + timedelta(seconds=time.monotonic() - since)


def began_at() -> datetime | None:
    """When the activity began that runs here, by the engine's clock; None outside of `engine_time`."""
    started = _started.get()
    return started[0] if started else None
