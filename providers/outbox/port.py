"""The outbox port, always ours: notices that are to be sent, and requests that have to wait. Both are kept with what they
are about, and handed to whoever sends them.

All methods are one transaction and raise `Unavailable` when the database cannot be reached.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.base import Value
from domain.money import Money
from domain.request import CancellationRequest
from domain.terms import RefundMethod


class NoticeKind(StrEnum):
    """What is said to the customer, and by the last two to staff. `refunded` only after settlement, `refund_started` before.
    A statutory withdrawal is acknowledged with its content, date and time, instead of `received`, and answered when it is
    rejected (`not_cancelled`, `about` the rule; of a cancellation that was rolled back, `about` the reason)."""

    RECEIVED = "received"
    WITHDRAWAL_ACKNOWLEDGED = "withdrawal_acknowledged"
    PARCEL_STOPPED = "parcel_stopped"
    PARCEL_NOT_STOPPED = "parcel_not_stopped"
    REFUND_STARTED = "refund_started"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    RESERVATION_RELEASED = "reservation_released"
    CANCELLED = "cancelled"
    NOT_CANCELLED = "not_cancelled"
    APPROVAL_DUE = "approval_due"
    APPROVAL_ESCALATED = "approval_escalated"


class RefundWay(StrEnum):
    """How the customer has their money back: on the card, or on the gift card or store credit, that they paid with; as store
    credit in its place; through the marketplace where they bought; from their bank, by a dispute; or as was agreed with
    them."""

    CARD = "card"
    STORED_VALUE = "stored_value"
    STORE_CREDIT = "store_credit"
    MARKETPLACE = "marketplace"
    BANK_TRANSFER = "bank_transfer"
    DISPUTE = "dispute"
    AGREED = "agreed"


class NoticeLine(Value):
    """So many units of an order line. The `title` is added when the notice is sent."""

    line_id: str
    quantity: int
    title: str = ""


class NewNotice(Value):
    """A notice to be put in the outbox with an effect. Its id is `{cancellation_id}/{kind}`, with `/{about}` where there can
    be several of a kind (the shipment, say). One of an id is ever sent, to the customer or to the mailbox of staff in `to`.

    Its content is kept with it, so that every attempt says the same. `lines` were asked for or are cancelled; without
    any, the whole order; after a roll-back, they had been stopped on their way. `left_out` could not be stopped and are
    offered as a return. `note` is the customer's own. `sentence` and `due_at` are what staff decides on, and until when;
    `methods` are the other ways to have the money, and `ways` those in which it went back.
    """

    kind: NoticeKind
    amount: Money | None = None
    lines: tuple[NoticeLine, ...] = ()
    left_out: tuple[NoticeLine, ...] = ()
    received_at: datetime | None = None
    note: str = ""
    about: str = ""
    to: str | None = None
    sentence: str = ""
    due_at: datetime | None = None
    methods: tuple[RefundMethod, ...] = ()
    ways: tuple[RefundWay, ...] = ()


class DueNotice(Value):
    """A notice to be sent now: the order management system knows to whom. `attempts` counts this one."""

    notice_id: str
    order_id: str
    content: NewNotice
    attempts: int


class DeferredRequest(Value):
    """A request that the law does not let wait for an answer, and that cannot be carried out yet: another cancellation of
    the order is under way. It is sent again by the product. `received_at` is when it arrived."""

    request: CancellationRequest
    received_at: datetime
    attempts: int = 0


class Outbox(Protocol):
    async def add_notices(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        """Put notices in that go with no effect."""
        ...

    async def due_notices(self, now: datetime, limit: int) -> Sequence[DueNotice]:
        """Claim unsent notices for a minute, oldest first."""
        ...

    async def notice_sent(self, notice_id: str, now: datetime) -> None: ...

    async def notice_delayed(self, notice_id: str, until: datetime, why: str) -> None: ...

    async def notice_refused(self, notice_id: str, why: str) -> None:
        """It will never be delivered; it is not tried again."""
        ...

    async def defer_request(self, deferred: DeferredRequest, notices: Sequence[NewNotice]) -> None:
        """Keep a request to be sent again, with its acknowledgement; nothing when it is kept already. The notices' ids are
        made from the id of the cancellation that the request would open. Refused: REQUEST_CONFLICT when another one is
        kept under its id."""
        ...

    async def find_deferred(self, order_id: str, request_id: str) -> DeferredRequest | None:
        """The request that was deferred under this id, whether it has been sent again or not; None: there was none."""
        ...

    async def due_requests(self, now: datetime, limit: int) -> Sequence[DeferredRequest]:
        """Claim deferred requests for a minute, oldest first. When a cancellation ends, those of its order are due."""
        ...

    async def request_sent(self, request: CancellationRequest, now: datetime) -> None: ...

    async def request_delayed(self, request: CancellationRequest, until: datetime) -> None: ...
