"""Our own books as one: what a caller needs of them is one of the small ports."""

from typing import Protocol

from providers.books.cancellations import SqlRegister
from providers.books.ledger import SqlLedger
from providers.books.outbox import SqlOutbox
from providers.cancellations.port import Register
from providers.ledger.port import Ledger
from providers.outbox.port import Outbox


class Books(Register, Ledger, Outbox, Protocol):
    """The register, the ledger and the outbox."""


class SqlBooks(SqlRegister, SqlLedger, SqlOutbox):
    """In SQL: SQLite or PostgreSQL, by the engine's URL."""
