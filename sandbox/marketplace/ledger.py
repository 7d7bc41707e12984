"""The marketplace's truth: sales, what is cancelled of them, faults and effects, in one SQLite file.

Everything runs on one event loop and no method awaits, so each public method is one atomic step. Each writes in one
transaction, which is committed when it returns.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sandbox.marketplace.model import (
    REASONS,
    Actor,
    Cancelation,
    Effect,
    EffectKind,
    Fault,
    Kind,
    LineState,
    RefundState,
    Sale,
    SoldLine,
    Withdrawal,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sales (order_id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cancelations (id INTEGER PRIMARY KEY AUTOINCREMENT, order_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (order_ids TEXT NOT NULL, operation TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY, document TEXT NOT NULL, after INTEGER NOT NULL, times INTEGER NOT NULL);
"""


class Declined(Exception):
    """The marketplace says no; the text says why."""


class Demand(NamedTuple):
    """What is asked for, of one line. `tax` None: not reported."""

    line_id: str
    quantity: int
    amount: int
    shipping: int
    tax: int | None
    reason_code: str
    fees: Mapping[str, int] = MappingProxyType({})


class Ledger:
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        # Outlives the death of the process, not of the machine.
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    # Sales

    def sale(self, order_id: str) -> Sale | None:
        row = self._db.execute("SELECT document FROM sales WHERE order_id = ?", (order_id,)).fetchone()
        return Sale.model_validate_json(row[0]) if row else None

    def sales(self) -> list[Sale]:
        rows = self._db.execute("SELECT document FROM sales ORDER BY rowid").fetchall()
        return [Sale.model_validate_json(document) for (document,) in rows]

    def sale_with(self, line_id: str) -> Sale | None:
        """The sale that a line belongs to: the seller's calls name lines only."""
        return next((sale for sale in self.sales() if any(line.id == line_id for line in sale.lines)), None)

    def sell(self, sale: Sale) -> None:
        with self._db:
            self._save(sale)

    def ship(self, sale: Sale) -> None:
        for line in sale.lines:
            if line.state is LineState.SHIPPING:
                line.state = LineState.SHIPPED
        with self._db:
            self._save(sale)

    def settle(self, sale: Sale) -> None:
        """The marketplace pays the buyer what it owes."""
        with self._db:
            for line in sale.lines:
                for cancelation in line.cancelled:
                    if cancelation.state not in {None, RefundState.REFUNDED}:
                        cancelation.state = RefundState.REFUNDED
                        self._effect(EffectKind.REFUNDED, sale, line, cancelation, Actor.MARKETPLACE)
                if line.price_left == 0 and line.cancelled and sale.charged:
                    line.state = LineState.REFUNDED
            self._save(sale)

    # Cancelling

    def may_cancel(self, sale: Sale) -> bool:
        """A seller cancels as long as the buyer was not charged and nothing was shipped."""
        return not sale.charged and any(line.state is LineState.SHIPPING for line in sale.lines)

    def take_back(self, sale: Sale, kind: Kind, demands: Sequence[Demand]) -> list[Cancelation]:
        """For the seller: all of it or nothing. Raises Declined."""
        if kind is Kind.CANCELATION and not self.may_cancel(sale):
            raise Declined(f"Order {sale.order_id} can no longer be canceled")
        if kind is Kind.REFUND and not sale.charged:
            raise Declined(f"Order {sale.order_id} was not debited")
        with self._db:
            made = [self._take_back(sale, kind, demand, Actor.SELLER) for demand in demands]
            self._save(sale)
        return made

    def withdraw(self, sale: Sale, given: Withdrawal) -> Cancelation:
        """The marketplace or the buyer cancels on their own. Raises Declined."""
        line = next((line for line in sale.lines if line.id == given.line_id), None)
        if line is None:
            raise Declined(f"There is no line {given.line_id}")
        last = given.quantity == line.units_left
        before = line.quantity - line.units_left
        kind = Kind.REFUND if sale.charged else Kind.CANCELATION

        def part(whole: int, left: int) -> int:
            step = whole * (before + given.quantity) // line.quantity - whole * before // line.quantity
            return left if last else step

        demand = Demand(
            line_id=line.id,
            quantity=given.quantity,
            amount=part(line.price, line.price_left) if given.amount is None else given.amount,
            shipping=line.shipping_left if last else 0,
            tax=part(line.tax, line.tax_left),
            reason_code=min(REASONS[kind]),
            fees={code: part(fee, line.fees_left[code]) for code, fee in line.fees.items()},
        )
        with self._db:
            made = self._take_back(sale, kind, demand, given.by)
            if not given.reports_quantity:
                made.quantity = 0
            self._save(sale)
        return made

    # Calls, faults, effects

    def count_call(self, operation: str, order_ids: Sequence[str]) -> None:
        with self._db:
            self._db.execute("INSERT INTO calls VALUES (?, ?)", (f",{','.join(order_ids)},", operation))

    def calls(self, order_id: str | None = None) -> dict[str, int]:
        """How often each operation was called, of one sale or of all."""
        rows = self._db.execute(
            "SELECT operation, count(*) FROM calls WHERE ? IS NULL OR instr(order_ids, ?) GROUP BY operation",
            (order_id, f",{order_id},"),
        )
        return dict(rows.fetchall())

    def add_fault(self, fault: Fault) -> None:
        with self._db:
            self._db.execute(
                "INSERT INTO faults (document, after, times) VALUES (?, ?, ?)",
                (fault.model_dump_json(), fault.after, fault.times),
            )

    def clear_faults(self) -> None:
        with self._db:
            self._db.execute("DELETE FROM faults")

    def take_fault(self, operation: str, order_ids: Sequence[str]) -> Fault | None:
        """The oldest fault that is due for this operation and these orders; it is used up by one."""
        for seq, document, after in self._db.execute(
            "SELECT seq, document, after FROM faults WHERE times > 0 ORDER BY seq"
        ).fetchall():
            fault = Fault.model_validate_json(document)
            if fault.operation != operation or fault.order_id not in {None, *order_ids}:
                continue
            with self._db:
                if after:
                    self._db.execute("UPDATE faults SET after = after - 1 WHERE seq = ?", (seq,))
                    continue
                self._db.execute("UPDATE faults SET times = times - 1 WHERE seq = ?", (seq,))
            return fault
        return None

    def effects(self) -> list[Effect]:
        rows = self._db.execute("SELECT document FROM effects ORDER BY seq").fetchall()
        return [Effect.model_validate_json(document) for (document,) in rows]

    # What the steps above are made of; none commits

    def _take_back(self, sale: Sale, kind: Kind, asked: Demand, by: Actor) -> Cancelation:
        line = next((line for line in sale.lines if line.id == asked.line_id), None)
        if line is None:
            raise Declined(f"There is no line {asked.line_id}")
        if line.state not in {LineState.SHIPPING, LineState.SHIPPED}:
            raise Declined(f"Line {line.id} is {line.state}")
        if asked.reason_code not in REASONS[kind]:
            raise Declined(f"There is no reason {asked.reason_code} of type {kind}")
        if line.tax and asked.tax is None:
            raise Declined(f"The taxes of line {line.id} are missing")
        if any(fee > line.fees_left.get(code, 0) or fee < 0 for code, fee in asked.fees.items()):
            raise Declined(f"Line {line.id} has not that much of a fee left")
        left = (line.units_left, line.price_left, line.shipping_left, line.tax_left)
        wanted = (asked.quantity, asked.amount, asked.shipping, asked.tax or 0)
        if any(amount > rest or amount < 0 for amount, rest in zip(wanted, left, strict=True)):
            raise Declined(f"Line {line.id} has not that much left")
        paid, whole = (line.price - line.price_left) + (line.shipping - line.shipping_left), line.price + line.shipping
        now_paid = paid + asked.amount + asked.shipping
        row = self._db.execute("INSERT INTO cancelations (order_id) VALUES (?)", (sale.order_id,))
        made = Cancelation(
            id=str(1000 + (row.lastrowid or 0)),
            kind=kind,
            units=asked.quantity,
            quantity=asked.quantity,
            amount=asked.amount,
            shipping=asked.shipping,
            tax=asked.tax or 0,
            fees=dict(asked.fees),
            commission=line.commission * now_paid // whole - line.commission * paid // whole if whole else 0,
            reason_code=asked.reason_code,
            state=RefundState.WAITING_REFUND_PAYMENT if kind is Kind.REFUND else None,
            at=datetime.now(UTC),
        )
        line.cancelled.append(made)
        if kind is Kind.CANCELATION and line.price_left == 0:
            line.state = LineState.CANCELED
        happened = EffectKind.REFUND_REQUESTED if kind is Kind.REFUND else EffectKind.CANCELLED
        self._effect(happened, sale, line, made, by)
        return made

    def _save(self, sale: Sale) -> None:
        self._db.execute(
            "INSERT INTO sales (order_id, document) VALUES (:order_id, :document)"
            " ON CONFLICT (order_id) DO UPDATE SET document = :document",
            {"order_id": sale.order_id, "document": sale.model_dump_json()},
        )

    def _effect(self, kind: EffectKind, sale: Sale, line: SoldLine, cancelation: Cancelation, by: Actor) -> None:
        effect = Effect(
            kind=kind,
            object=sale.order_id,
            line_id=line.id,
            reference=cancelation.id,
            quantity=cancelation.units,
            by=by,
            at=datetime.now(UTC),
        )
        self._db.execute("INSERT INTO effects (document) VALUES (?)", (effect.model_dump_json(),))
