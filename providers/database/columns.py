"""What tables are made of, whoever they belong to: the types of their columns, and their common base."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, TypeVar, cast

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, MetaData, String, Table, Text
from sqlalchemy import Enum as CheckedText
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from domain.base import Value

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


Amount = Annotated[int, mapped_column(BigInteger)]
Currency = Annotated[str, mapped_column(String(3))]


def table_of(row: type[DeclarativeBase]) -> Table:
    """The table itself, for statements on rows that nobody changes as objects: SQLAlchemy carries them out in half the
    time. They are made once, at import: to put one together takes longer than SQLite needs for it."""
    return cast("Table", row.__table__)


class Base(DeclarativeBase):
    """The tables' modules add the types of their own columns (`registry.update_type_annotation_map`)."""

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
    }
