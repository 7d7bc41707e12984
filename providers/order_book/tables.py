"""The tables of the order book. What must never be is refused by the database itself, whoever writes to it.

Amounts are integers of minor units in the currency beside them, or in the order's where there is none beside them. The
migration adds the triggers that keep the ledger, the documents, the effects and the stored value entries append-only.
"""

from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy import Enum as CheckedText
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from domain.base import Value
from domain.order import OrderFlag, OrderState, SaleCondition, TenderKind
from domain.outcome import CancellationResult, CarriedOut, Outcome
from domain.plan import Plan
from domain.policy import Decision
from domain.request import CancellationRequest
from providers.order_book.port import NewNotice, NoticeKind, Provider

V = TypeVar("V", bound=Value)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite keeps no time zone: it is taken off on the way in and put on again on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be kept")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AsJson(TypeDecorator[V]):
    """A value of the domain, kept as JSON and validated when it is read."""

    impl = JSON
    cache_ok = True

    def __init__(self, model: type[V]) -> None:
        super().__init__(none_as_null=True)
        self.model = model

    def process_bind_param(self, value: V | None, dialect: Dialect) -> Any:
        return None if value is None else value.model_dump(mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> V | None:
        return None if value is None else self.model.model_validate(value)


def checked(enum: type[Enum], name: str) -> CheckedText:
    """Text that may only be one of the enum's values."""
    return CheckedText(
        enum,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=40,
        values_callable=lambda members: [member.value for member in members],
    )


class EffectKind(StrEnum):
    HOLD_ORDER = "hold_order"
    RELEASE_ORDER = "release_order"
    WITHDRAW_PICK = "withdraw_pick"
    RESUME_PICK = "resume_pick"
    RELABEL = "relabel"
    DEACTIVATE_GIFT_CARD = "deactivate_gift_card"
    REACTIVATE_GIFT_CARD = "reactivate_gift_card"
    RESTORE_BALANCE = "restore_balance"
    TAKE_BACK_BALANCE = "take_back_balance"
    CREDIT = "credit"
    REVOKE_CREDIT = "revoke_credit"
    CLOSE_ORDER = "close_order"
    REOPEN = "reopen"


class DocumentKind(StrEnum):
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"


class LedgerAccount(StrEnum):
    """`refunds_payable` is what we owe customers: the credit note puts it there, each settlement takes it off.
    `manual_clearing` is what a person paid outside."""

    SALES_RETURNS = "sales_returns"
    TAX_PAYABLE = "tax_payable"
    REFUNDS_PAYABLE = "refunds_payable"
    GATEWAY_CLEARING = "gateway_clearing"
    GIFT_CARD_LIABILITY = "gift_card_liability"
    STORE_CREDIT_LIABILITY = "store_credit_liability"
    MARKETPLACE_CLEARING = "marketplace_clearing"
    MANUAL_CLEARING = "manual_clearing"


Amount = Annotated[int, mapped_column(BigInteger)]
Currency = Annotated[str, mapped_column(String(3))]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it as it is)
        datetime: UtcDateTime,
        str: Text,
        OrderState: checked(OrderState, "state"),
        SaleCondition: checked(SaleCondition, "condition"),
        TenderKind: checked(TenderKind, "kind"),
        Outcome: checked(Outcome, "outcome"),
        EffectKind: checked(EffectKind, "kind"),
        DocumentKind: checked(DocumentKind, "kind"),
        NoticeKind: checked(NoticeKind, "kind"),
        Provider: checked(Provider, "provider"),
        CancellationRequest: AsJson(CancellationRequest),
        Decision: AsJson(Decision),
        Plan: AsJson(Plan),
        CancellationResult: AsJson(CancellationResult),
        CarriedOut: AsJson(CarriedOut),
        NewNotice: AsJson(NewNotice),
    }


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
    shipping_tax: Mapped[Amount] = mapped_column(server_default="0")
    shipping_credited: Mapped[Amount]
    discount: Mapped[Amount] = mapped_column(server_default="0")
    country: Mapped[str | None] = mapped_column(String(2))
    flags: Mapped[list[OrderFlag]] = mapped_column(JSON)
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
    condition: Mapped[SaleCondition] = mapped_column(server_default="regular")


class TenderRow(Base):
    """`refunded` and `released` are what closed cancellations gave back, for the record: the gateway's own count is the
    truth. `put_back` is what stands restored on a gift card or store credit (for a card: given as store credit in its
    place), where this book is the truth."""

    __tablename__ = "tenders"
    __table_args__ = (
        CheckConstraint("amount >= 0 AND refunded >= 0 AND released >= 0", name="amounts"),
        CheckConstraint("put_back >= 0 AND put_back <= amount", name="put_back"),
    )

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    tender_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    kind: Mapped[TenderKind]
    amount: Mapped[Amount]
    reference: Mapped[str] = mapped_column(index=True)
    refunded: Mapped[Amount]
    released: Mapped[Amount]
    put_back: Mapped[Amount]


class ShipmentRow(Base):
    """`stopped`: the warehouse does not touch it. `gift_card`: the account that was sent to the customer by mail; no parcel.
    `handed_over`: it has left the warehouse for the carrier; its units are
    neither on hand nor reserved any more."""

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
    """`carried_out` is what it had done when it was closed. A cancellation that is taken up again, because what it had
    achieved came undone, is open again: without outcome and result."""

    __tablename__ = "cancellations"
    __table_args__ = (
        UniqueConstraint("order_id", "request_id"),
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
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), index=True)
    request_id: Mapped[str]
    request: Mapped[CancellationRequest]
    decision: Mapped[Decision]
    plan: Mapped[Plan]
    result: Mapped[CancellationResult | None]
    outcome: Mapped[Outcome | None]
    carried_out: Mapped[CarriedOut | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class EffectRow(Base):
    """What was done under an idempotency key: one effect per key, by the primary key. `reference` is what the effect
    made, where that has a name of its own."""

    __tablename__ = "effects"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[EffectKind]
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), index=True)
    cancellation_id: Mapped[str | None] = mapped_column(ForeignKey("cancellations.cancellation_id"), index=True)
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
    """The outbox: a notice is committed together with what it tells, and sent afterwards."""

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint("sent_at IS NULL OR refused_why IS NULL", name="sent_or_refused"),
        Index(
            "ix_notices_unsent",
            "due_at",
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


class WebhookEventRow(Base):
    """An event of a provider, once, by its own id. Without an order it is about nothing that we know. `amiss`: it may undo
    what an ended cancellation had achieved. It is told to the
    order's cancellation until that has been told (`told_at`) or it was tried too often (`given_up_why`)."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        CheckConstraint("told_at IS NULL OR given_up_why IS NULL", name="told_or_given_up"),
        Index(
            "ix_webhook_events_due",
            "due_at",
            sqlite_where=text("order_id IS NOT NULL AND told_at IS NULL AND given_up_why IS NULL"),
            postgresql_where=text("order_id IS NOT NULL AND told_at IS NULL AND given_up_why IS NULL"),
        ),
    )

    provider: Mapped[Provider] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str | None]
    amiss: Mapped[bool] = mapped_column(server_default=text("false"))
    order_id: Mapped[str | None] = mapped_column(ForeignKey("orders.order_id"), index=True)
    received_at: Mapped[datetime] = mapped_column(index=True)
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    told_at: Mapped[datetime | None]
    given_up_why: Mapped[str | None]
