"""The register port: the cancellations and their facts, always ours. What is noted here before a provider is called, and
after, is what a run that takes up a lost one goes by.

All methods are one transaction and raise `Unavailable` when the database cannot be reached; what was to be written may be
there all the same.
Writing methods raise `NotTheHolder` unless `run` holds the cancellation: a run that was lost, reset or superseded, and an
attempt that was paused meanwhile, write nothing.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from domain.case import Case
from domain.facts import Entry, Fact, Requested, Run
from domain.keys import EffectKey
from domain.money import Money

Change = Callable[[Case], Sequence[Fact]]
"""What is to be added to a cancellation, by what is known of it at that moment. It may raise to add nothing."""


class Register(Protocol):
    async def find(self, order_id: str, request_id: str, *, carried_out: bool = False) -> tuple[Entry, ...]:
        """What the books know already of the order's open cancellation, else of the one that this request opened or joined,
        else, with `carried_out`, of the last one that took something out of the order. Empty: nothing."""
        ...

    async def find_request(self, order_id: str, request_id: str) -> tuple[Entry, ...]:
        """What the books know of the cancellation that this request opened or joined, whatever else is under way."""
        ...

    async def read(self, cancellation_id: str, *, after: int = 0) -> tuple[Entry, ...]:
        """The cancellation's entries with a number above `after`."""
        ...

    async def find_others(self, cancellation_id: str) -> tuple[tuple[Entry, ...], ...]:
        """What the books know of each other cancellation of its order."""
        ...

    async def begin_verification(self, order_id: str, run: Run, at: datetime, *, from_elsewhere: bool = False) -> None:
        """From here on this run, and no earlier one, may open a cancellation of the order. `at` is when the engine
        scheduled the verification: one that was scheduled earlier is of a run that is lost, and wakes up late. Raises
        NotTheHolder. Refused: HELD_ELSEWHERE when a run of another namespace began later, unless a person ordered to
        take over."""
        ...

    async def take_up(self, cancellation_id: str, run: Run, *, from_elsewhere: bool = False) -> tuple[Entry, ...]:
        """Make this run the holder and return all entries. Within a namespace a run takes over by itself, because the engine
        lets only one run of an order live there; `from_elsewhere`: a person ordered to take over from another namespace.
        Refused: HELD_ELSEWHERE."""
        ...

    async def write(
        self, cancellation_id: str, run: Run, change: Change, *, known: Case | None = None
    ) -> tuple[Entry, ...]:
        """Add facts; returns the new entries. `known` is what the caller has read already. Raises what `change` raises."""
        ...

    async def open(
        self, requested: Requested, run: Run, change: Change, *, known: str | None = None
    ) -> tuple[Entry, ...]:
        """The same for the cancellation that the run knows (`known`), else for the order's open one, whichever request
        opened it; taken up first, where this run does not hold it. Without one the request opens its own, with nothing
        held. One that has ended is `change`'s to judge, which then adds nothing. Returns all entries."""
        ...

    async def refuse(self, requested: Requested, run: Run, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        """Keep a decision that rejects, which ends the request's own cancellation; nothing when a withdrawal came before it.
        Returns all entries. Raises NotTheHolder when another cancellation of the order is open, or another run verifies
        it."""
        ...

    async def note_effect(
        self, key: EffectKey, run: Run, *, amount: Money | None, until: datetime, known: Case | None = None
    ) -> tuple[Entry, ...]:
        """Note that an effect is about to be made, before its provider is called; nothing is added the second time. The
        attempt calls the provider no later than `until`. `known` is what the caller has read already. Returns what the
        books have of this key. Refused: ROLLED_BACK when the roll-back is ordered, or the parcel was let go on, unless the
        effect is an undoing."""
        ...

    async def quiet_after(self, cancellation_id: str) -> datetime:
        """When no attempt that has noted an effect calls a provider any more."""
        ...
