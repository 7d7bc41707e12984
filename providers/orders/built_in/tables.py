"""The tables of the built-in order management system. What must never be is refused by the database itself, whoever writes
to it.

Amounts are integers of minor units in the order's currency. The migration adds the trigger that keeps the effects
append-only.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Dialect, ForeignKey, ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from domain.order import OrderFlag, SaleCondition, TenderKind
from providers.database.columns import Amount, Base, Currency, checked


class Flags(TypeDecorator[frozenset[OrderFlag]]):
    """A list in JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: frozenset[OrderFlag] | None, dialect: Dialect) -> str:
        return json.dumps(sorted(value or ()))

    def process_result_value(self, value: Any, dialect: Dialect) -> frozenset[OrderFlag]:
        return frozenset(OrderFlag(flag) for flag in json.loads(value))


class EffectKind(StrEnum):
    THAW = "thaw"
    WITHDRAW_PICK = "withdraw_pick"
    RESUME_PICK = "resume_pick"
    RELABEL = "relabel"
    REPLACE_PAYMENT = "replace_payment"
    CLOSE_ORDER = "close_order"


Base.registry.update_type_annotation_map(
    {
        SaleCondition: checked(SaleCondition, "condition"),
        TenderKind: checked(TenderKind, "kind"),
        EffectKind: checked(EffectKind, "kind"),
    }
)


class CustomerRow(Base):
    __tablename__ = "customers"

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    language: Mapped[str]


class OrderRow(Base):
    """The row that every writing transaction about an order locks first, so that an order is changed by one at a time.
    `held_by` is the cancellation that froze it. `locked_reason`: the books of the order's period are closed and it cannot be
    changed."""

    __tablename__ = "orders"
    __table_args__ = (CheckConstraint("shipping >= 0", name="shipping"),)

    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.customer_id"), index=True)
    placed_at: Mapped[datetime]
    currency: Mapped[Currency]
    shipping: Mapped[Amount]
    shipping_tax: Mapped[Amount]
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
    __tablename__ = "tenders"
    __table_args__ = (CheckConstraint("amount >= 0", name="amounts"),)

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    tender_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    kind: Mapped[TenderKind]
    amount: Mapped[Amount]
    reference: Mapped[str] = mapped_column(index=True)


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
    gift_card: Mapped[str | None]
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


class GivenBackRow(Base):
    """What has gone back to the customer, for whoever looks at the order. It moved no money."""

    __tablename__ = "given_back"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    tender_id: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Amount]
    cancellation_id: Mapped[str]


class EffectRow(Base):
    """What was done to an order under an idempotency key: one effect per key, by the primary key. `reference` is what the
    effect made, where that has a name of its own."""

    __tablename__ = "effects"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[EffectKind]
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), index=True)
    cancellation_id: Mapped[str] = mapped_column(index=True)
    reference: Mapped[str | None]
    at: Mapped[datetime]
