"""The order book port: the order management system (OMS) with its ledger, stored value and notices.

Each writing method is one transaction. Those that take a `key` and a `run` do nothing the second time, note and end their
effect in the register in the same transaction, and raise `NotTheHolder` for any run but the holder. Those that return
entries return all that the books have of the cancellation by then. All raise `Unavailable`
when the database cannot be reached. What was to be written may be there all the same: the same call under the same key
returns it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.base import Value
from domain.earlier import EarlierReversal
from domain.facts import Decided, Ended, Entry, Fact, Requested, Run
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Order, TenderKind
from domain.outcome import Outcome
from domain.payment import Payment, Refund, RefundStatus
from domain.policy import CustomerHistory
from domain.request import CancellationRequest
from domain.reversal import Reversal
from domain.shipment import Shipment
from domain.terms import RefundMethod


class NoticeKind(StrEnum):
    """What is said to the customer, and by the last two to staff. `refunded` only after settlement, `refund_started` before.
    A statutory withdrawal is acknowledged with its content, date and time, instead of `received`."""

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

    Its content is kept with it, so that every attempt says the same. `lines` were asked for or are cancelled; without
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
    that the provider had taken, and settled perhaps, and that failed later; it is no part of the credit. `by_hand`: a person
    gave it, and this is the number of the fact that says so; with `failed`, by a refund that is counted itself. `by_bank`:
    this cancellation's part of a lost dispute, as it is now. `part_for`: the amount is only the part of the refund that
    counts for this cancellation."""

    tender_id: str
    kind: TenderKind
    amount: Money
    reference: str
    settled: bool
    by_hand: int | None = None
    by_bank: bool = False
    failed: bool = False
    part_for: str | None = None

    @classmethod
    def of(cls, reversal: Reversal, refunds: Iterable[Refund]) -> "tuple[CreditedTender, ...]":
        """One for each of these refunds and for each payment by hand. What failed comes first, so that its contra transfer
        is posted before what was given in its place."""
        parts = [cls.of_refund(reversal, refund) for refund in refunds]
        by_hand = [
            cls(
                tender_id=reversal.tender_id,
                kind=reversal.planned.tender.kind,
                amount=hand.amount,
                reference=hand.reference,
                settled=True,
                by_hand=hand.fact,
                failed=hand in reversal.named,
            )
            for hand in (*reversal.named, *reversal.by_hand)
            if hand.amount
        ]
        return (*(p for p in parts if p.failed), *by_hand, *(p for p in parts if not p.failed))

    @classmethod
    def of_refund(cls, reversal: Reversal, refund: Refund) -> "CreditedTender":
        return cls(
            tender_id=reversal.tender_id,
            kind=TenderKind.STORE_CREDIT if reversal.is_store_credit(refund) else reversal.planned.tender.kind,
            amount=refund.amount,
            reference=refund.reference,
            settled=refund.status is RefundStatus.SUCCEEDED,
            failed=refund.status.has_failed,
            part_for=refund.part_for,
        )

    @classmethod
    def of_bank(cls, reversal: Reversal) -> "tuple[CreditedTender, ...]":
        """What the bank has given back besides, each part under its dispute's number. Nothing, where it counts as something
        else by now."""
        return tuple(
            cls(
                tender_id=reversal.tender_id,
                kind=reversal.planned.tender.kind,
                amount=part.amount,
                reference=part.reference,
                settled=True,
                by_bank=True,
            )
            for part in reversal.bank_parts
        )


class Credit(Value):
    """What to put on paper: the credit note over `total` (the sum of the tenders that have not failed, without what the
    customer has got twice), its tax part, for each settled tender the ledger transfer, and for each failed one the contra
    transfer."""

    cancellation_id: str
    order_id: str
    total: Money
    tax: Money
    tenders: tuple[CreditedTender, ...]


class Ending(Value):
    """How a cancellation ends: what is posted of its money, and what is written to the customer. It was worked out by the
    entries up to number `seen`, which `close_order` compares."""

    key: EffectKey
    ended: Ended
    credit: Credit | None
    notices: tuple[NewNotice, ...]
    seen: int


class DeferredRequest(Value):
    """A request that the law does not let wait for an answer, and that cannot be carried out yet: another cancellation of
    the order is under way. It is sent again by the product. `received_at` is when it arrived."""

    request: CancellationRequest
    received_at: datetime
    attempts: int = 0


class Provider(StrEnum):
    """Who sends us events."""

    STRIPE = "stripe"
    EASYPOST = "easypost"


class ProviderEvent(Value):
    """An event as its provider named it. `payment`, `shipment` and `tracking_number` are the provider's own ids of what it
    is about; all of them None for a kind of event that no cancellation waits for. `may_undo_outcome`: it says that a refund
    failed, that somebody else made one, or that a parcel travels, so it may undo what an ended cancellation had achieved."""

    provider: Provider
    event_id: str
    kind: str
    payment: str | None = None
    refund: str | None = None
    may_undo_outcome: bool = False
    shipment: str | None = None
    tracking_number: str | None = None


class EventStatus(StrEnum):
    """What became of an event when it arrived. `unmatched`: about nothing in the order book."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    UNMATCHED = "unmatched"


class DueEvent(Value):
    """An event that has not been sent to the order's cancellation yet. `subject` is the refund or the tracking number.
    `may_undo_outcome` as in `ProviderEvent`."""

    provider: Provider
    event_id: str
    order_id: str
    subject: str | None
    may_undo_outcome: bool
    attempts: int


class EndedCancellation(Value):
    """A cancellation that is over and that an event is about, by the request that opened it. `busy`: another cancellation
    of the same order is under way, and has to end first."""

    request: CancellationRequest
    busy: bool


class OrderBook(Protocol):
    async def read_order(self, order_id: str) -> Order:
        """With what earlier cancellations did to its tenders laid over it. Refused: ORDER_NOT_FOUND."""
        ...

    async def read_shipment(self, order_id: str, shipment_id: str) -> Shipment | None:
        """One shipment as it is now; None: the order has it no more."""
        ...

    async def earlier_reversals(self, order_id: str, reference: str, *, but: str) -> tuple[EarlierReversal, ...]:
        """What the order's other cancellations than `but` did to the payment of this reference: those that have closed the
        order, and those that have ended without it."""
        ...

    async def customer_history(self, customer_id: str, since: datetime, *, but: str) -> CustomerHistory:
        """How often the customer's changes of mind were carried out since then, each order once, without the order `but`."""
        ...

    async def hold_order(
        self,
        seen: Order,
        requested: Requested,
        decided: Decided,
        notices: Sequence[NewNotice],
        *,
        key: EffectKey,
        run: Run,
    ) -> tuple[Entry, ...]:
        """Write the decision and freeze the order: no pick, no label, no capture. Opens the cancellation where the order has
        none open. Nothing when the decision is written already, or when a withdrawal came before it. Returns all entries.
        Raises Unavailable when the order is not as it was `seen`, by which it was decided: it is read again. Refused:
        ORDER_HELD when another cancellation is open."""
        ...

    async def release_order(self, order_id: str, notices: Sequence[NewNotice], *, key: EffectKey, run: Run) -> None:
        """Take the hold off, post what a person has collected from the customer, and
        end the cancellation with the cause of its roll-back. Nothing when it was never opened or has ended."""
        ...

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> None:
        """Take a shipment out of the warehouse's work. Refused: SHIPMENT_NOT_STOPPABLE once it is labelled or gone."""
        ...

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> None:
        """Give a withdrawn shipment back to the warehouse; nothing when it was not withdrawn, or is gone."""
        ...

    async def relabel(
        self,
        order_id: str,
        shipment_id: str,
        label_reference: str,
        tracking_number: str,
        *,
        key: EffectKey,
        run: Run,
    ) -> None:
        """Record the label that replaces a voided one. The effect of `key` is not ended here: the carrier's is."""
        ...

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey, run: Run) -> None:
        """The order is paid by another payment from now on: its old authorisation was released, and reserved again. The
        effect of `key` is not ended here: the gateway's is."""
        ...

    async def gift_card_used(self, account_id: str) -> bool:
        """Whether anything was paid with a gift card. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def deactivate_gift_card(self, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> bool:
        """Take the balance off an unused gift card that the shipment sent. False, and nothing is done, when it was used."""
        ...

    async def reactivate_gift_card(
        self, order_id: str, shipment_id: str, *, key: EffectKey, undoes: EffectKey, run: Run
    ) -> None:
        """Undo `deactivate_gift_card` that ran under the key `undoes`; nothing when it never did."""
        ...

    async def read_balance(self, order_id: str, tender_id: str) -> Payment:
        """A gift card or store credit tender in the terms of a payment: captured is what it gave, refunded what was put
        back, each put-back a refund with its key. Refused: PAYMENT_NOT_FOUND."""
        ...

    async def restore_balance(
        self, order_id: str, tender_id: str, amount: Money, *, key: EffectKey, run: Run
    ) -> Refund:
        """Put money back on the gift card or store credit; the money of a card tender goes to the customer's store credit.
        Writes `RefundSeen` with it. Refused: REFUND_EXCEEDS_CAPTURED."""
        ...

    async def take_back_balance(
        self, order_id: str, tender_id: str, *, key: EffectKey, undoes: EffectKey, run: Run
    ) -> Refund | None:
        """Undo `restore_balance` that ran under the key `undoes`, and write `RefundSeen` as canceled; None when it never
        did. The effect of `key` is not ended here. Refused: REFUND_NOT_CANCELLABLE when the balance has been spent."""
        ...

    async def credit(
        self, credit: Credit, notices: Sequence[NewNotice], *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        """Issue the credit note with the next number (gapless) and post its ledger transfers and the settlement of each
        tender that has settled. Writes `Credited` with it. Returns all entries."""
        ...

    async def skip_credit(self, order_id: str, currency: str, *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        """No money was taken, so there is nothing to credit: writes `Credited` without a number. Returns all entries."""
        ...

    async def revoke_credit(self, order_id: str, *, key: EffectKey, run: Run) -> str | None:
        """A debit note over the whole credit note and its contra transfers; writes `CreditRevoked`. Its number, or None
        without a credit note. What has been paid out already is owed by the customer from then on (`customer_receivable`);
        what has not is no longer payable."""
        ...

    async def close_order(
        self, order_id: str, notices: Sequence[NewNotice], ending: Ending | None, *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        """Cancel the fulfilments, then the lines and the order; release the promise or announce the restock; credit the
        shipping; take the hold off. Writes `OrderClosed`. What leaves the order is what the cancellation's facts say. Of one
        that was closed before only what has changed is booked. With `ending` the cancellation ends as well, unless something
        was written to it since, or the order was closed already. Returns all entries. Refused: ORDER_LOCKED."""
        ...

    async def close_cancellation(self, order_id: str, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
        """Post what has settled, take back the settlement of what has failed, post what a person has collected, and end the
        cancellation. Returns all entries."""
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
        them), make the run the holder, and take back the settlement of what has `failed`. The order is not held again: what
        remains of it goes on. `seen` is the number of the last fact that the look went by: False, and nothing
        is written, when there are more by now. Refused: ORDER_HELD when another cancellation of the order is
        open."""
        ...

    async def add_notices(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        """Put notices into the outbox that go with no effect. Refused: ORDER_NOT_FOUND."""
        ...

    async def due_notices(self, now: datetime, limit: int) -> Sequence[Notice]:
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
