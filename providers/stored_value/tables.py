"""The tables of the built-in stored value: gift cards and store credit. Amounts are integers of minor units in the account's
currency. The migration adds the trigger that keeps the entries append-only."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from domain.order import TenderKind
from providers.database.columns import Amount, Base, Currency, checked

Base.registry.update_type_annotation_map({TenderKind: checked(TenderKind, "kind")})


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
    entry that this one takes back, at most once. `deactivates`: a bought gift card was taken off the market, and nothing was
    paid with it."""

    __tablename__ = "stored_value_entries"
    __table_args__ = (
        Index("ix_stored_value_entries_tender", "order_id", "tender_id"),
        CheckConstraint("amount <> 0", name="amount"),
    )

    entry_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("stored_value_accounts.account_id"), index=True)
    amount: Mapped[Amount]
    order_id: Mapped[str | None]
    tender_id: Mapped[str | None]
    deactivates: Mapped[bool] = mapped_column(default=False)
    undoes: Mapped[str | None] = mapped_column(ForeignKey("stored_value_entries.key"), unique=True)
    at: Mapped[datetime]
