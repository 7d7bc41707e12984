"""The order book port: the order management system (OMS) with its ledger, stored value and notices.

Every writing method is one transaction, takes the idempotency key of its effect and does nothing the second time: it
returns what the first time returned. All raise `Unavailable` when the database cannot be reached, before anything is
written.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.base import Value
from domain.money import Money
from domain.order import Order, TenderKind
from domain.outcome import CancellationRecord, CancellationResult, Outcome, Reversal
from domain.payment import Payment, Refund
from domain.plan import Plan, RefundMethod
from domain.policy import CustomerHistory
from domain.request import CancellationRequest
from domain.shipment import Stop, StopStatus


class NoticeKind(StrEnum):
    """What the customer is told, and by the last two staff. `refunded` only after settlement; until then `refund_started`. A
    statutory withdrawal is acknowledged with its content, date and time, instead of `received`."""

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


class NoticeLine(Value):
    """So many units of an order line. The order book adds the `title` when the notice is sent."""

    line_id: str
    quantity: int
    title: str = ""


class NewNotice(Value):
    """A notice to be put in the outbox with an effect. Its id is `{cancellation_id}/{kind}`, with `/{about}` where there can
    be several of a kind (the shipment, say). One of an id is ever sent, to the customer or to the mailbox of staff in `to`.

    What it tells is kept with it, so that every attempt says the same. `lines` were asked for or are cancelled; without
    any, the whole order. `left_out` could not be stopped and are offered as a return. `note` is the customer's own.
    `sentence` and `due_at` are what staff decides on, and until when; `methods` are the other ways to have the money.
    """

    kind: NoticeKind
    amount: Money | None = None
    lines: tuple[NoticeLine, ...] = ()
    left_out: tuple[NoticeLine, ...] = ()
    outcome: Outcome | None = None
    received_at: datetime | None = None
    note: str = ""
    about: str = ""
    to: str | None = None
    sentence: str = ""
    due_at: datetime | None = None
    methods: tuple[RefundMethod, ...] = ()


class Notice(NewNotice):
    """A notice that is due, with what is needed to write it. `language` is the customer's, as an IETF language tag."""

    notice_id: str
    order_id: str
    email: str
    language: str
    attempts: int


class CreditedTender(Value):
    """What one tender got back, for the books. `reference` is the provider's refund, or a person's own. `failed`: a refund
    that the provider had taken, and settled perhaps, and that failed later; it is no part of the credit."""

    tender_id: str
    kind: TenderKind
    amount: Money
    reference: str
    settled: bool
    by_hand: bool = False
    failed: bool = False


class Credit(Value):
    """What to put on paper: the credit note over `total` (the sum of the tenders that have not failed), its tax part, for
    each settled tender the ledger transfer, and for each failed one the contra transfer."""

    cancellation_id: str
    order_id: str
    total: Money
    tax: Money
    tenders: tuple[CreditedTender, ...]


class CreditNote(Value):
    number: str
    total: Money


class Closing(Value):
    """The end of a cancellation in the OMS. The plan's lines leave the order; its shipping is credited. `stopped` are the
    shipments that were stopped or written off. Of these, those that are `gone` have left the warehouse, and the goods of
    those that are `coming_back` are restocked when they arrive. Everything else only releases the promise, and stock on hand
    stays as it is."""

    cancellation_id: str
    order_id: str
    result: CancellationResult
    plan: Plan
    stops: tuple[Stop, ...]
    reversals: tuple[Reversal, ...]

    @property
    def stopped(self) -> frozenset[str]:
        return frozenset(stop.shipment_id for stop in self.stops if stop.status is not StopStatus.DECLINED)

    @property
    def coming_back(self) -> frozenset[str]:
        on_its_way = {StopStatus.COMING_BACK, StopStatus.REQUESTED}
        return frozenset(stop.shipment_id for stop in self.stops if stop.status in on_its_way)

    @property
    def gone(self) -> frozenset[str]:
        lost = frozenset(stop.shipment_id for stop in self.stops if stop.status is StopStatus.LOST)
        return self.coming_back | lost


class Provider(StrEnum):
    """Who sends us events."""

    STRIPE = "stripe"
    EASYPOST = "easypost"


class ProviderEvent(Value):
    """An event as its provider named it. `payment`, `shipment` and `tracking_number` are the provider's own ids of what it
    is about; all of them None for a kind of event that no cancellation waits for. `amiss`: it says that a refund failed or
    that a parcel travels, so it may undo what an ended cancellation had achieved."""

    provider: Provider
    event_id: str
    kind: str
    payment: str | None = None
    refund: str | None = None
    amiss: bool = False
    shipment: str | None = None
    tracking_number: str | None = None


class EventStatus(StrEnum):
    """What became of an event when it arrived. `unmatched`: about nothing in the order book."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    UNMATCHED = "unmatched"


class DueEvent(Value):
    """An event that the order's cancellation has not been told of yet. `subject` is the refund or the tracking number.
    `amiss` as in `ProviderEvent`."""

    provider: Provider
    event_id: str
    order_id: str
    subject: str | None
    amiss: bool
    attempts: int


class EndedCancellation(Value):
    """A cancellation that is over and that an event is about, by the request that opened it. `busy`: another cancellation
    of the same order is under way, and has to end first."""

    request: CancellationRequest
    busy: bool


class OrderBook(Protocol):
    async def read_order(self, order_id: str) -> Order:
        """Refused: ORDER_NOT_FOUND."""
        ...

    async def find_cancellation(self, order_id: str, request_id: str) -> CancellationRecord | None:
        """What the book knows already: the order's open cancellation, else the one that this request opened, else the
        one that cancelled the whole order."""
        ...

    async def customer_history(self, customer_id: str, since: datetime, *, but: str) -> CustomerHistory:
        """How often the customer's changes of mind were carried out since then, each order once, without the order `but`."""
        ...

    async def hold_order(self, record: CancellationRecord, notices: Sequence[NewNotice], *, key: str) -> None:
        """Open the cancellation and freeze the order: no pick, no label, no capture. Refused: ORDER_HELD when another
        cancellation holds it."""
        ...

    async def release_order(self, result: CancellationResult, notices: Sequence[NewNotice], *, key: str) -> None:
        """Take the hold off, restore the promise to the customer and close the cancellation with `result`. Does nothing
        when this cancellation never held the order or does not hold it any more."""
        ...

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: str) -> None:
        """Take a shipment out of the warehouse's work. Refused: SHIPMENT_NOT_STOPPABLE once it is labelled or gone."""
        ...

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: str) -> None:
        """Give a withdrawn shipment back to the warehouse; nothing when it was not withdrawn."""
        ...

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: str
    ) -> None:
        """Record the label that replaces a voided one."""
        ...

    async def gift_card_used(self, account_id: str) -> bool:
        """Whether anything was paid with a gift card. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def deactivate_gift_card(self, order_id: str, shipment_id: str, *, key: str) -> bool:
        """Take the balance off an unused gift card that the shipment sent. False, and nothing is done, when it was used."""
        ...

    async def reactivate_gift_card(self, order_id: str, shipment_id: str, *, key: str, undoes: str) -> None:
        """Undo `deactivate_gift_card` that ran under the key `undoes`; nothing when it never did."""
        ...

    async def read_balance(self, order_id: str, tender_id: str) -> Payment:
        """A gift card or store credit tender in the terms of a payment: captured is what it gave, refunded what was put
        back, each put-back a refund with its key. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def restore_balance(self, order_id: str, tender_id: str, amount: Money, *, key: str) -> Refund:
        """Put money back on the gift card or store credit; the money of a card tender goes to the customer's store credit.
        Refused: REFUND_EXCEEDS_CAPTURED."""
        ...

    async def take_back_balance(self, order_id: str, tender_id: str, *, key: str, undoes: str) -> Refund | None:
        """Undo `restore_balance` that ran under the key `undoes`; None when it never did. Refused:
        REFUND_NOT_CANCELLABLE when the balance has been spent."""
        ...

    async def credit(self, credit: Credit, notices: Sequence[NewNotice], *, key: str) -> CreditNote:
        """Issue the credit note with the next number (gapless) and post its ledger transfers; post the settlement of
        each tender that has settled, and take back that of one that has failed since. Called again when more has settled:
        nothing is posted twice."""
        ...

    async def revoke_credit(self, cancellation_id: str, *, key: str) -> str | None:
        """Contra transfers and a debit note over the whole credit note; its number, or None without a credit note."""
        ...

    async def close_order(self, closing: Closing, notices: Sequence[NewNotice], *, key: str) -> None:
        """Cancel the fulfilments, then the lines and the order; release the promise or announce the restock; credit the
        shipping; take the hold off; close the cancellation with its result. Of one that was opened again only what has
        changed is booked. Refused: ORDER_LOCKED."""
        ...

    async def reopen(
        self, cancellation_id: str, failed: Sequence[CreditedTender], notices: Sequence[NewNotice], *, key: str
    ) -> None:
        """Open a closed cancellation again, because what it had achieved came undone: hold the order, and take back the
        settlement of what has `failed`. Nothing when it is open; it may be closed and opened again, so the effect's key is
        `key` and a number. Refused: ORDER_HELD when another cancellation holds the order."""
        ...

    async def tell(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        """Tell the customer something that no effect here goes with. Refused: ORDER_NOT_FOUND."""
        ...

    async def due_notices(self, now: datetime, limit: int) -> Sequence[Notice]:
        """Claim unsent notices for a minute, oldest first."""
        ...

    async def notice_sent(self, notice_id: str, now: datetime) -> None: ...

    async def notice_delayed(self, notice_id: str, until: datetime, why: str) -> None: ...

    async def notice_refused(self, notice_id: str, why: str) -> None:
        """It will never be delivered; it is not tried again."""
        ...
