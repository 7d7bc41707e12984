"""What the tables are made of: the types of their columns, and the closed sets that the database checks."""

import json
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, TypeVar, cast

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, MetaData, String, Table, Text
from sqlalchemy import Enum as CheckedText
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from domain.base import Value
from domain.facts import Entry
from domain.order import OrderFlag, OrderState, SaleCondition, TenderKind
from domain.outcome import Outcome
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
    """A value of the domain, kept as JSON and validated when it is read. Both ways pydantic does it by itself: what makes
    and reads JSON otherwise is switched off where the database is opened."""

    impl = JSON
    cache_ok = True

    def __init__(self, model: type[V]) -> None:
        super().__init__(none_as_null=True)
        self.model = model

    def process_bind_param(self, value: V | None, dialect: Dialect) -> Any:
        return None if value is None else value.model_dump_json()

    def process_result_value(self, value: Any, dialect: Dialect) -> V | None:
        return None if value is None else self.model.model_validate_json(value)


class Unread(TypeDecorator[str]):
    """A value's JSON as it is kept, for whoever bears with one that this version cannot read."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(value)


class Flags(TypeDecorator[frozenset[OrderFlag]]):
    """A list in JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: frozenset[OrderFlag] | None, dialect: Dialect) -> str:
        return json.dumps(sorted(value or ()))

    def process_result_value(self, value: Any, dialect: Dialect) -> frozenset[OrderFlag]:
        return frozenset(OrderFlag(flag) for flag in json.loads(value))


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
    REPLACE_PAYMENT = "replace_payment"
    RESTORE_BALANCE = "restore_balance"
    TAKE_BACK_BALANCE = "take_back_balance"
    CREDIT = "credit"
    REVOKE_CREDIT = "revoke_credit"
    CLOSE_ORDER = "close_order"


class DocumentKind(StrEnum):
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"


class LedgerAccount(StrEnum):
    """`refunds_payable` is what we owe customers: the credit note puts it there, each settlement takes it off. It is never
    negative: what a customer got beyond it is on `customer_receivable` until it is collected.
    `manual_clearing` is what a person paid outside."""

    SALES_RETURNS = "sales_returns"
    TAX_PAYABLE = "tax_payable"
    REFUNDS_PAYABLE = "refunds_payable"
    CUSTOMER_RECEIVABLE = "customer_receivable"
    GATEWAY_CLEARING = "gateway_clearing"
    GIFT_CARD_LIABILITY = "gift_card_liability"
    STORE_CREDIT_LIABILITY = "store_credit_liability"
    MARKETPLACE_CLEARING = "marketplace_clearing"
    MANUAL_CLEARING = "manual_clearing"


Amount = Annotated[int, mapped_column(BigInteger)]
Currency = Annotated[str, mapped_column(String(3))]


def table_of(row: type[DeclarativeBase]) -> Table:
    """The table itself, for statements on rows that nobody changes as objects: SQLAlchemy carries them out in half the
    time. They are made once, at import: to put one together takes longer than SQLite needs for it."""
    return cast("Table", row.__table__)


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
        Entry: AsJson(Entry),
        NewNotice: AsJson(NewNotice),
        CancellationRequest: AsJson(CancellationRequest),
    }
