"""The tables of what is always ours: the register of cancellations with its facts, the ledger, the outbox and the inbox.
They name orders without a foreign key: orders are the merchant's. What must never be is refused by the database itself,
whoever writes to it.

Amounts are integers of minor units in the currency beside them. The migration adds the triggers that keep the facts, the
ledger and the documents append-only.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.facts import Entry
from domain.order import Order
from domain.outcome import Outcome
from domain.request import CancellationRequest
from providers.database.columns import Amount, AsJson, Base, Currency, checked
from providers.inbox.port import Provider
from providers.outbox.port import NewNotice, NoticeKind


class DocumentKind(StrEnum):
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"


class LedgerAccount(StrEnum):
    """`refunds_payable` is what we owe customers: the credit note puts it there, each settlement takes it off. It is never
    negative: what a customer got beyond it is on `customer_receivable` until it is collected.
    `manual_clearing` is what a person paid outside, `refunds_waived` what a person declared not due."""

    SALES_RETURNS = "sales_returns"
    TAX_PAYABLE = "tax_payable"
    REFUNDS_PAYABLE = "refunds_payable"
    CUSTOMER_RECEIVABLE = "customer_receivable"
    GATEWAY_CLEARING = "gateway_clearing"
    GIFT_CARD_LIABILITY = "gift_card_liability"
    STORE_CREDIT_LIABILITY = "store_credit_liability"
    MARKETPLACE_CLEARING = "marketplace_clearing"
    MANUAL_CLEARING = "manual_clearing"
    REFUNDS_WAIVED = "refunds_waived"


Base.registry.update_type_annotation_map(
    {
        Outcome: checked(Outcome, "outcome"),
        DocumentKind: checked(DocumentKind, "kind"),
        NoticeKind: checked(NoticeKind, "kind"),
        Provider: checked(Provider, "provider"),
        Entry: AsJson(Entry),
        Order: AsJson(Order),
        NewNotice: AsJson(NewNotice),
        CancellationRequest: AsJson(CancellationRequest),
    }
)


class CancellationRow(Base):
    """The register: one row for each cancellation, which every writer locks before it adds a fact. `facts` counts them.

    The holder is the run that writes. From `quiet_after` on, no attempt that has noted an effect calls its provider; from
    `overtaken_until` on, none that another one has followed before anybody knew what came of it.
    `close_in_flight` is the deadline of the first attempt to close the order of which nobody knows what came: attempts
    that came to nothing are no news, however many there are.
    `outcome` and `closed_at` are those of the last `ended` fact, and `customer_id` that of the decision, kept here for the
    unique index and for searching. `first_read` is the order by which it was decided.
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
    overtaken_until: Mapped[datetime | None]
    close_in_flight: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None]
    customer_id: Mapped[str | None] = mapped_column(index=True)
    first_read: Mapped[Order | None]


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
    order_id: Mapped[str] = mapped_column(index=True)
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
    order_id: Mapped[str] = mapped_column(index=True)
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


class WatchedRow(Base):
    """What providers name in their events about an order that a cancellation has to do with: its payments, labels and
    tracking numbers."""

    __tablename__ = "watched"

    reference: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class WebhookEventRow(Base):
    """An event of a provider, once, by its own id. Without an order it is about nothing that a cancellation has to do
    with. `may_undo_outcome`: it may undo what an ended cancellation had achieved; `payment_taken` and `dispute_won`: by
    saying so. It is sent to the order's cancellation until that has it (`delivered_at`), or a person has given it up
    (`given_up_why`). `sent_to` is the ended cancellation that it is about: a look at that one delivers it."""

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
    may_undo_outcome: Mapped[bool]
    payment_taken: Mapped[bool]
    dispute_won: Mapped[bool]
    order_id: Mapped[str | None] = mapped_column(index=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    sent_to: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    given_up_why: Mapped[str | None]
