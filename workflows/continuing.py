"""When a run goes on as a new one, because its history has grown long.

A run may have 51,200 events and 2,000 updates; one that comes there is terminated by the server, or takes no more updates.
So a run that has grown begins anew with all that it knows, at a moment when nothing is under way: no step is being carried
out, no message is being answered, and a cancel request that has to be kept is kept. Until then no new round begins.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from temporalio import workflow

_LONGEST_HISTORY = 1_000
"""In events. An update writes two at least, so a run has taken some 500 of the 2,000 that the server allows."""


class ContinuesAsNew(Exception):
    """The run ends here, and another one goes on with what it knows."""


class Continuing:
    """`is_interrupted`: a cancel request has come that is not kept yet; a new run would not know of it."""

    def __init__(self, is_interrupted: Callable[[], bool]) -> None:
        self._is_interrupted = is_interrupted
        self._under_way = 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Something is under way that is carried to its end."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @property
    def is_due(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= _LONGEST_HISTORY or info.is_continue_as_new_suggested()

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
