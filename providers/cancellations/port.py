"""The cancellations port, always ours: the register of cancellations and their facts. What is noted here before a
provider or the order management system is called, and after, is what a run that takes up a lost one goes by.

Each method is one transaction and raises `Unavailable` when the database cannot be reached; what was to be written may
be there all the same. Writing methods raise `NotTheHolder` unless `run` holds the cancellation: a run that was lost,
reset or superseded, and an attempt that was paused meanwhile, write nothing. Those that return entries return all that
the books have of the cancellation by then, unless they say otherwise.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from domain.base import Value
from domain.case import Case
from domain.facts import Decided, Ended, Entry, Fact, OrderClosed, Requested, Run
from domain.keys import EffectKey
from domain.known_order import KnownOrder
from domain.money import Money
from domain.order import Order
from domain.policy import CustomerHistory
from providers.ledger.port import Credit, CreditedTender
from providers.outbox.port import NewNotice

Change = Callable[[Case], Sequence[Fact]]
"""What is to be added to a cancellation, by what is known of it at that moment. It may raise to add nothing."""


class Ending(Value):
    """How a cancellation ends: what is posted of its money, and what is written to the customer. It was worked out by the
    entries up to number `seen`, which `close` compares."""

    key: EffectKey
    ended: Ended
    credit: Credit | None
    notices: tuple[NewNotice, ...]
    seen: int


class Register(Protocol):
    async def of_order(self, order_id: str) -> KnownOrder:
        """All that the books know of an order."""
        ...

    async def orders_of_customer(self, customer_id: str) -> Sequence[str]:
        """The customer's orders of which the books know a decided cancellation."""
        ...

    async def orders_of(self, payments: Sequence[str]) -> Sequence[str]:
        """The orders whose cancellations give something of one of these payments back."""
        ...

    async def read(self, cancellation_id: str, *, after: int = 0) -> tuple[Entry, ...]:
        """The cancellation's entries with a number above `after`."""
        ...

    async def history(self, customer_id: str, since: datetime, *, but: str) -> CustomerHistory:
        """How often the customer's changes of mind were carried out since then, each order once, without the order `but`."""
        ...

    async def begin_verification(self, order_id: str, run: Run, at: datetime, *, from_elsewhere: bool = False) -> None:
        """From here on this run, and no earlier one, may open a cancellation of the order. `at` is when the engine
        scheduled the verification: one that was scheduled earlier is of a run that is lost, and wakes up late. Raises
        NotTheHolder. Refused: HELD_ELSEWHERE when a run of another namespace began later, unless a person ordered to
        take over."""
        ...

    async def take_up(self, cancellation_id: str, run: Run, *, from_elsewhere: bool = False) -> tuple[Entry, ...]:
        """Make this run the holder. Within a namespace a run takes over by itself, because the engine
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
        held. One that has ended is `change`'s to judge, which then adds nothing."""
        ...

    async def note_hold(self, requested: Requested, key: EffectKey, run: Run, *, until: datetime) -> tuple[Entry, ...]:
        """Note that the order is about to be frozen, which opens the request's cancellation where it is not open yet. Raises
        NotTheHolder when another run verifies the order. Nothing is noted when it is decided, or when a withdrawal came
        before it. Refused: ORDER_HELD when another cancellation of it is open."""
        ...

    async def decide(
        self,
        first_read: Order,
        decided: Decided,
        notices: Sequence[NewNotice],
        *,
        key: EffectKey,
        run: Run,
        known: Case | None = None,
    ) -> tuple[Entry, ...]:
        """Keep the decision of a cancellation whose order is frozen, or cannot be, with the order as it was read; that ends
        the effect of `key`. Nothing when it is kept already, or when a withdrawal came before it."""
        ...

    async def refuse(
        self, requested: Requested, run: Run, facts: Sequence[Fact], notices: Sequence[NewNotice]
    ) -> tuple[Entry, ...]:
        """Keep a decision that rejects, which ends the request's own cancellation, with what the customer hears of it;
        nothing when a withdrawal came before it. Raises NotTheHolder when another cancellation of the order is open, or
        another run verifies it."""
        ...

    async def note_effect(
        self, key: EffectKey, run: Run, *, amount: Money | None, until: datetime, known: Case | None = None
    ) -> tuple[Entry, ...]:
        """Note that an effect is about to be made, before its provider is called; nothing is added the second time. The
        attempt calls the provider no later than `until`. `known` is what the caller has read already. Returns what the
        books have of this key. Refused: ROLLED_BACK when the roll-back is ordered, or the parcel was let go on, unless the
        effect is an undoing."""
        ...

    async def watch(self, order_id: str, references: Sequence[str]) -> None:
        """Events of providers that name one of these are about the order: labels and tracking numbers that it has got since
        it was decided."""
        ...

    async def order_when_decided(self, cancellation_id: str) -> Order | None:
        """The order as it was read when this cancellation was decided. None: it is not decided."""
        ...

    async def quiet_after(self, cancellation_id: str, *, all_known: bool = False) -> datetime:
        """When no attempt that has noted an effect calls a provider any more. `all_known`: what came of each effect is
        noted, so only an attempt may that another one has followed before anybody knew its end."""
        ...

    async def close_in_flight(self, cancellation_id: str) -> bool:
        """The close of the order was noted, and nobody has said what came of an attempt: no roll-back is written
        (NotPossible), and what is missing from the order may be ours."""
        ...

    async def note_not_closed(self, cancellation_id: str, run: Run, *, until: datetime) -> bool:
        """The attempt that may call no later than `until` has closed nothing. No fact: it is tried again under the same
        key. False when it stays in flight, because of an earlier attempt of which nobody knows what came."""
        ...

    async def close(
        self, closed: OrderClosed, notices: Sequence[NewNotice], ending: Ending | None, *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        """The order is closed: writes `closed` and ends the effect of `key`. With `ending` the cancellation ends as
        well, unless something was written to it since, or the order was closed already."""
        ...

    async def end(self, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
        """Post what has settled, take back the settlement of what has failed, post what a person has collected, and end the
        cancellation."""
        ...

    async def release(self, notices: Sequence[NewNotice], *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        """The order goes on: post what a person has collected from the customer, and end the cancellation with the cause of
        its roll-back. Nothing when it was never opened or has ended."""
        ...

    async def events_sent(self, order_id: str) -> Sequence[str]:
        """The providers' events that were sent to ended cancellations of the order (`Inbox.record_sending`), and that no
        look has delivered."""
        ...

    async def mark_looked_at(self, cancellation_id: str, event_ids: Sequence[str]) -> None:
        """An ended cancellation was looked at: those of these events that were sent to it are delivered. They are asked for
        before anything is read for the look."""
        ...

    async def reopen(
        self,
        cancellation_id: str,
        facts: Sequence[Fact],
        failed: Sequence[CreditedTender],
        notices: Sequence[NewNotice],
        *,
        seen: int,
        run: Run,
    ) -> bool:
        """Open a cancellation that has ended again, because its outcome does not hold: write the facts (`Reopened` among
        them), make the run the holder, and take back the settlement of what has `failed`. The order is not frozen again:
        what remains of it goes on. `seen` is the number of the last fact that the look went by: False, and nothing
        is written, when there are more by now. Refused: ORDER_HELD when another cancellation of the order is
        open."""
        ...
