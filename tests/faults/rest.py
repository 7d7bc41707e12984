"""Waiting for what has to come by itself."""

from collections.abc import Awaitable, Callable

from tests.system import eventually

_LONGEST = 120.0


class NotAtRest(Exception):
    """A cancellation that still moves, or that nobody can help, after the longest time."""


async def come_to(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Raises NotAtRest."""
    try:
        await eventually(condition, what, within=_LONGEST)
    except AssertionError as never:
        raise NotAtRest(str(never)) from None
