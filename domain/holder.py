"""Who holds a cancellation: the one run that adds to it."""

from typing import Protocol

from domain.facts import Run


class NotTheHolder(Exception):
    """Another run holds the cancellation: this one writes nothing. `holder` None: the cancellation has ended."""

    def __init__(self, holder: Run | None) -> None:
        super().__init__("this run does not hold the cancellation")
        self.holder = holder


class Held(Protocol):
    """A cancellation as its holder is asked about: its case, or its row in the books."""

    @property
    def ended(self) -> object: ...

    @property
    def holder(self) -> Run | None: ...


def check_holder(case: Held, run: Run) -> None:
    """Only the run that holds the cancellation adds to it. Raises NotTheHolder."""
    if case.ended or case.holder != run:
        raise NotTheHolder(None if case.ended else case.holder)
