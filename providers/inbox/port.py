"""The inbox port, always ours: the providers' events that came in, matched to a cancellation or not.

All methods are one transaction and raise `Unavailable` when the database cannot be reached.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.base import Value
from domain.keys import id_of
from domain.request import CancellationRequest


class Provider(StrEnum):
    """Who sends us events."""

    STRIPE = "stripe"
    EASYPOST = "easypost"


class ProviderEvent(Value):
    """An event as its provider named it. `payment`, `shipment` and `tracking_number` are the provider's own ids of what it
    is about; all of them None for a kind of event that no cancellation waits for. `won_dispute` is the number of a dispute
    that the bank has decided for the merchant. `may_undo_outcome`: it says that a refund failed, that somebody else made
    one, that the bank gave the money back or does not, that a payment was taken (`payment_taken`), or that a parcel travels,
    so it may undo what an ended cancellation had achieved."""

    provider: Provider
    event_id: str
    kind: str
    payment: str | None = None
    refund: str | None = None
    won_dispute: str | None = None
    may_undo_outcome: bool = False
    payment_taken: bool = False
    shipment: str | None = None
    tracking_number: str | None = None


class EventStatus(StrEnum):
    """What became of an event when it arrived. `unmatched`: about nothing that a cancellation has to do with."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    UNMATCHED = "unmatched"


class DueEvent(Value):
    """An event that has not been sent to the order's cancellation yet. `subject` is the refund, the payment that the
    bank gave back or that was taken, the dispute that was won, or the parcel by its tracking number or, where the order does
    not know that, by its label. The flags as in `ProviderEvent`; `dispute_won`: it has a `won_dispute`. `sent_to`: the ended
    cancellation that it was sent to, and that nobody has looked at since."""

    provider: Provider
    event_id: str
    order_id: str
    subject: str | None
    may_undo_outcome: bool
    attempts: int
    received_at: datetime
    payment_taken: bool = False
    dispute_won: bool = False
    sent_to: str | None = None


class EndedCancellation(Value):
    """A cancellation that is over and that an event is about, by the request that opened it. `busy`: another cancellation
    of the same order is under way, and has to end first. `due_at` is by when a person should have seen to that."""

    request: CancellationRequest
    busy: bool
    due_at: datetime

    @property
    def cancellation_id(self) -> str:
        return id_of(self.request)


class Inbox(Protocol):
    async def check_ready(self) -> None:
        """Raises Unavailable unless the database answers."""
        ...

    async def receive(self, event: ProviderEvent) -> EventStatus:
        """Keep an event with the order whose cancellation it is about, and once more for each further order that its payment
        pays: whose it is, their facts know. The database refuses a second one of the same id, so of two deliveries at the
        same time one is the first."""
        ...

    async def is_known(self, provider: Provider, event_id: str) -> bool:
        """Whether the event was kept already. `receive` has the last word."""
        ...

    async def claim_due(self, at: datetime, limit: int) -> Sequence[DueEvent]:
        """Claim events that have not been delivered, oldest first. They are due again in a minute: where the claimant is
        lost, another one delivers them."""
        ...

    async def find_ended(self, event: DueEvent) -> EndedCancellation | None:
        """The order's ended cancellation whose refund or parcel the event is about; None when there is none. An event that
        undoes nothing is about one that expects its parcel back. A refund of somebody else's is about one that was carried
        out, where money of the order went another way, in whichever of them; and a payment that the bank gave back is about
        the last one that gave back something of it, unless all of that is known as given back by the bank: the customer may
        have it twice now. A payment that was taken is about the last one by which a part of it was not to be, and a dispute
        that was won about one that was settled with its number."""
        ...

    async def is_under_way(self, order_id: str) -> bool:
        """Whether a cancellation of the order is open."""
        ...

    async def mark_delivered(self, event: DueEvent, at: datetime) -> None: ...

    async def record_sending(self, event: DueEvent, cancellation_id: str, until: datetime) -> None:
        """It is about to be sent to this ended cancellation, and due again at `until`, unless a look at that one has
        delivered it by then (`Register.mark_looked_at`)."""
        ...

    async def delay(self, event: DueEvent, until: datetime) -> None: ...

    async def forget_before(self, before: datetime) -> None:
        """Delete what arrived before then and needs nothing more; no provider repeats an event for that long. What could not
        be delivered is kept until it is, or a person gives it up."""
        ...
