"""When a run goes on as a new one, because its history has grown long.

A run may have 51,200 events and 2,000 updates; one that comes there is terminated by the server, or takes no more updates.
So a run that has grown begins anew with all that it knows, at a moment when nothing is under way: no step is being carried
out, no message is being answered, and a cancel request that has to be kept is kept. Until then no new round begins.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from temporalio import workflow

_MOST_WORK = 250
"""Steps, messages and waits, each of which writes up to ten events. The run counts them itself: how many events the SDK says
that there are is not always the same at a replay (docs/decisions/0062)."""


class ContinuesAsNew(Exception):
    """The run ends here, and another one goes on with what it knows."""


class Continuing:
    """`is_interrupted`: a cancel request has come that is not kept yet; a new run would not know of it."""

    def __init__(self, is_interrupted: Callable[[], bool]) -> None:
        self._is_interrupted = is_interrupted
        self._under_way = 0
        self._work = 0

    def count(self) -> None:
        """A message has arrived, a step is carried out, or the run begins to wait."""
        self._work += 1

    @contextmanager
    def working(self) -> Iterator[None]:
        """Something is under way that is carried to its end."""
        self.count()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @property
    def is_due(self) -> bool:
        return self._work >= _MOST_WORK or workflow.info().is_continue_as_new_suggested()

    # Rule: A run that has grown continues as new, while nothing is under way
    @property
    def is_possible(self) -> bool:
        """Due, and nothing is under way."""
        return self.is_due and not self._under_way and workflow.all_handlers_finished() and not self._is_interrupted()

    async def before_round(self) -> None:
        """No new round begins once it is due. Raises ContinuesAsNew."""
        if self.is_due:
            await workflow.wait_condition(lambda: self.is_possible or self._is_interrupted())
        if self.is_possible:
            raise ContinuesAsNew
