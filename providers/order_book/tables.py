"""The tables of the order book and of the register. What must never be is refused by the database itself, whoever writes to
it.

Amounts are integers of minor units in the currency beside them, or in the order's where there is none beside them. The
migration adds the triggers that keep the facts, the ledger, the documents, the effects and the stored value entries
append-only. The register's tables name orders without a foreign key: orders are the merchant's.
"""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.facts import Entry
from domain.order import OrderFlag, OrderState, SaleCondition, TenderKind
from domain.outcome import Outcome
from domain.request import CancellationRequest
from providers.order_book.columns import (
    Amount,
    Base,
    Currency,
    DocumentKind,
    EffectKind,
    Flags,
    LedgerAccount,
    checked,
)
from providers.order_book.port import NewNotice, NoticeKind, Provider


class CustomerRow(Base):
    __tablename__ = "customers"

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    language: Mapped[str]


class OrderRow(Base):
    """The row that every writing transaction about an order locks first, so that an order is changed by one at a time.
    `locked_reason`: the books of the order's period are closed and it cannot be changed."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(
            "shipping >= 0 AND shipping_credited >= 0 AND shipping_credited <= shipping", name="shipping_credited"
        ),
    )

    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.customer_id"), index=True)
    placed_at: Mapped[datetime]
    currency: Mapped[Currency]
    state: Mapped[OrderState]
    shipping: Mapped[Amount]
    shipping_tax: Mapped[Amount]
    shipping_credited: Mapped[Amount]
    discount: Mapped[Amount]
    country: Mapped[str | None] = mapped_column(String(2))
    flags: Mapped[frozenset[OrderFlag]] = mapped_column(Flags)
    held_by: Mapped[str | None]
    locked_reason: Mapped[str | None]

    lines: Mapped[list["OrderLineRow"]] = relationship(order_by="OrderLineRow.position", lazy="raise")
    tenders: Mapped[list["TenderRow"]] = relationship(order_by="TenderRow.position", lazy="raise")
    shipments: Mapped[list["ShipmentRow"]] = relationship(order_by="ShipmentRow.position", lazy="raise")


class StockRow(Base):
    """`reserved` of the units `on_hand` are promised to orders. `expected_back` units are on their way to the warehouse
    and count as on hand only once they are there."""

    __tablename__ = "stock"
    __table_args__ = (CheckConstraint("on_hand >= 0 AND reserved >= 0 AND expected_back >= 0", name="not_negative"),)

    sku: Mapped[str] = mapped_column(primary_key=True)
    on_hand: Mapped[int]
    reserved: Mapped[int]
    expected_back: Mapped[int]


class OrderLineRow(Base):
    """`reserved` is the line's reservation: units in the warehouse that are promised to this customer. Units on back
    order have none, units handed over to the carrier have none any more."""

    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0 AND cancelled >= 0 AND cancelled <= quantity", name="cancelled"),
        CheckConstraint("reserved >= 0 AND reserved + cancelled <= quantity", name="reserved"),
        CheckConstraint("total >= 0 AND tax >= 0 AND tax <= total", name="amounts"),
    )

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    sku: Mapped[str] = mapped_column(ForeignKey("stock.sku"))
    title: Mapped[str]
    quantity: Mapped[int]
    total: Mapped[Amount]
    tax: Mapped[Amount]
    cancelled: Mapped[int]
    reserved: Mapped[int]
    condition: Mapped[SaleCondition]


class TenderRow(Base):
    """`put_back` is what stands restored on a gift card or store credit (for a card: given as store credit in its
    place), where this book is the truth."""

    __tablename__ = "tenders"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="amounts"),
        CheckConstraint("put_back >= 0 AND put_back <= amount", name="put_back"),
    )

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    tender_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    kind: Mapped[TenderKind]
    amount: Mapped[Amount]
    reference: Mapped[str] = mapped_column(index=True)
    put_back: Mapped[Amount]


class ReplacedPaymentRow(Base):
    """A payment that an order was paid by before it was reserved anew. The gateway's events about it are the order's."""

    __tablename__ = "replaced_payments"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True, index=True)
    at: Mapped[datetime]


class ShipmentRow(Base):
    """`stopped`: the warehouse does not touch it. `gift_card`: the account that was sent to the customer by mail; no parcel.
    `handed_over`: it has left the warehouse for the carrier; its units are neither on hand nor reserved any more."""

    __tablename__ = "shipments"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    shipment_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    carrier: Mapped[str | None]
    label_reference: Mapped[str | None] = mapped_column(index=True)
    tracking_number: Mapped[str | None] = mapped_column(index=True)
    gift_card: Mapped[str | None] = mapped_column(ForeignKey("stored_value_accounts.account_id"))
    stopped: Mapped[bool]
    handed_over: Mapped[bool]

    lines: Mapped[list["ShipmentLineRow"]] = relationship(order_by="ShipmentLineRow.line_id", lazy="raise")


class ShipmentLineRow(Base):
    """`taken_out` of the `quantity` units no longer travel in this parcel."""

    __tablename__ = "shipment_lines"
    __table_args__ = (
        ForeignKeyConstraint(["order_id", "shipment_id"], ["shipments.order_id", "shipments.shipment_id"]),
        ForeignKeyConstraint(["order_id", "line_id"], ["order_lines.order_id", "order_lines.line_id"]),
        CheckConstraint("quantity > 0 AND taken_out >= 0 AND taken_out <= quantity", name="taken_out"),
    )

    order_id: Mapped[str] = mapped_column(primary_key=True)
    shipment_id: Mapped[str] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    taken_out: Mapped[int]


class AccountRow(Base):
    """A gift card or a store credit account. `balance` is the sum of its entries; an entry and its balance are written
    in one transaction."""

    __tablename__ = "stored_value_accounts"
    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance"),
        CheckConstraint("kind <> 'card'", name="stored_value_only"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[TenderKind]
    currency: Mapped[Currency]
    balance: Mapped[Amount]


class AccountEntryRow(Base):
    """One movement on an account. `order_id` and `tender_id` say which tender was put back; `undoes` is the key of the
    entry that this one takes back, at most once."""

    __tablename__ = "stored_value_entries"
    __table_args__ = (
        ForeignKeyConstraint(["order_id", "tender_id"], ["tenders.order_id", "tenders.tender_id"]),
        Index("ix_stored_value_entries_tender", "order_id", "tender_id"),
        CheckConstraint("amount <> 0", name="amount"),
    )

    entry_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("stored_value_accounts.account_id"), index=True)
    amount: Mapped[Amount]
    order_id: Mapped[str | None]
    tender_id: Mapped[str | None]
    undoes: Mapped[str | None] = mapped_column(ForeignKey("stored_value_entries.key"), unique=True)
    at: Mapped[datetime]


class CancellationRow(Base):
    """The register: one row for each cancellation, which every writer locks before it adds a fact. `facts` counts them.

    The holder is the run that writes. From `quiet_after` on, no attempt that has noted an effect calls its provider.
    `outcome` and `closed_at` are those of the last `ended` fact, kept here for the unique index and for searching.
    """

    __tablename__ = "cancellations"
    __table_args__ = (
        CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed_with_outcome"),
        Index(
            "uq_cancellations_one_open_per_order",
            "order_id",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    cancellation_id: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(index=True)
    holder_namespace: Mapped[str]
    holder_run: Mapped[str]
    facts: Mapped[int]
    quiet_after: Mapped[datetime]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None]


class VerificationRow(Base):
    """The run that verifies an order of which the register knows nothing open. The last one that began may hold the
    order; an attempt of an earlier run that wakes up late may not."""

    __tablename__ = "verifications"

    order_id: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    run_id: Mapped[str]
    at: Mapped[datetime]


class FactRow(Base):
    """What happened in a cancellation, append-only. `request_id` is that of a request that opened or joined it; `noted` the
    idempotency key of an effect that was noted: one note per key, ever."""

    __tablename__ = "facts"

    cancellation_id: Mapped[str] = mapped_column(ForeignKey("cancellations.cancellation_id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    request_id: Mapped[str | None] = mapped_column(index=True)
    noted: Mapped[str | None] = mapped_column(unique=True)
    content: Mapped[Entry]
    at: Mapped[datetime]


class EffectRow(Base):
    """What was done under an idempotency key: one effect per key, by the primary key. `reference` is what the effect
    made, where that has a name of its own."""

    __tablename__ = "effects"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[EffectKind]
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), index=True)
    cancellation_id: Mapped[str] = mapped_column(ForeignKey("cancellations.cancellation_id"), index=True)
    reference: Mapped[str | None]
    at: Mapped[datetime]


class DocumentCounterRow(Base):
    """The number given last. Taking one locks the row until the document is committed, so that no number is lost."""

    __tablename__ = "document_counters"

    kind: Mapped[DocumentKind] = mapped_column(primary_key=True)
    last: Mapped[int]


class DocumentRow(Base):
    """A credit note, or the debit note that takes the cancellation's credit note back."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("cancellation_id", "kind"),
        CheckConstraint("total > 0 AND tax >= 0 AND tax <= total", name="amounts"),
    )

    number: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[DocumentKind]
    cancellation_id: Mapped[str] = mapped_column(ForeignKey("cancellations.cancellation_id"))
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), index=True)
    total: Mapped[Amount]
    tax: Mapped[Amount]
    currency: Mapped[Currency]
    issued_at: Mapped[datetime]


class TransferRow(Base):
    """One ledger transfer. It debits one account and credits another with the same amount, so the ledger is balanced
    whatever rows there are. `reference` is the one refund or document that it stands for."""

    __tablename__ = "ledger_transfers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("debit_account <> credit_account", name="two_accounts"),
        CheckConstraint("reference <> ''", name="reference"),
    )

    transfer_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    cancellation_id: Mapped[str] = mapped_column(ForeignKey("cancellations.cancellation_id"), index=True)
    debit_account: Mapped[LedgerAccount] = mapped_column(checked(LedgerAccount, "debit_account"))
    credit_account: Mapped[LedgerAccount] = mapped_column(checked(LedgerAccount, "credit_account"))
    amount: Mapped[Amount]
    currency: Mapped[Currency]
    reference: Mapped[str]
    at: Mapped[datetime]


class NoticeRow(Base):
    """The outbox: a notice is committed together with what it is about, and sent afterwards."""

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint("sent_at IS NULL OR refused_why IS NULL", name="sent_or_refused"),
        Index(
            "ix_notices_unsent",
            "due_at",
            "notice_id",
            sqlite_where=text("sent_at IS NULL AND refused_why IS NULL"),
            postgresql_where=text("sent_at IS NULL AND refused_why IS NULL"),
        ),
    )

    notice_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[NoticeKind]
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), index=True)
    content: Mapped[NewNotice]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int]
    delayed_why: Mapped[str | None]
    refused_why: Mapped[str | None]


class DeferredRequestRow(Base):
    """A request that the product sends again by itself, until a cancellation has taken it."""

    __tablename__ = "deferred_requests"
    __table_args__ = (
        Index(
            "ix_deferred_requests_unsent",
            "due_at",
            sqlite_where=text("sent_at IS NULL"),
            postgresql_where=text("sent_at IS NULL"),
        ),
    )

    order_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[CancellationRequest]
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    sent_at: Mapped[datetime | None]


class WebhookEventRow(Base):
    """An event of a provider, once, by its own id. Without an order it is about nothing that we know. `may_undo_outcome`: it
    may undo what an ended cancellation had achieved. It is sent to the order's cancellation until that has it
    (`delivered_at`), or a person has given it up (`given_up_why`). `payment`, `shipment` and, in `subject`, the tracking
    number are what its order is found by, also when that comes later."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        CheckConstraint("delivered_at IS NULL OR given_up_why IS NULL", name="delivered_or_given_up"),
        Index(
            "ix_webhook_events_due",
            "due_at",
            sqlite_where=text("order_id IS NOT NULL AND delivered_at IS NULL AND given_up_why IS NULL"),
            postgresql_where=text("order_id IS NOT NULL AND delivered_at IS NULL AND given_up_why IS NULL"),
        ),
    )

    provider: Mapped[Provider] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str | None]
    payment: Mapped[str | None]
    shipment: Mapped[str | None]
    may_undo_outcome: Mapped[bool]
    order_id: Mapped[str | None] = mapped_column(ForeignKey("orders.order_id"), index=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    delivered_at: Mapped[datetime | None]
    given_up_why: Mapped[str | None]
