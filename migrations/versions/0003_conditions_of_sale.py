"""Conditions of sale, order discounts, bought gift cards, marketplaces, and cancellations that are taken up again.

Revision: 0003, after 0002.
"""

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TENDERS = ("card", "gift_card", "store_credit", "marketplace")
_ACCOUNTS = (
    "sales_returns",
    "tax_payable",
    "refunds_payable",
    "gateway_clearing",
    "gift_card_liability",
    "store_credit_liability",
    "marketplace_clearing",
    "manual_clearing",
)
_WIDER = {
    ("tenders", "kind"): _TENDERS,
    ("stored_value_accounts", "kind"): _TENDERS,
    ("ledger_transfers", "debit_account"): _ACCOUNTS,
    ("ledger_transfers", "credit_account"): _ACCOUNTS,
    ("effects", "kind"): (
        "hold_order",
        "release_order",
        "withdraw_pick",
        "resume_pick",
        "relabel",
        "deactivate_gift_card",
        "reactivate_gift_card",
        "restore_balance",
        "take_back_balance",
        "credit",
        "revoke_credit",
        "close_order",
        "reopen",
    ),
    ("notices", "kind"): (
        "received",
        "withdrawal_acknowledged",
        "parcel_stopped",
        "parcel_not_stopped",
        "refund_started",
        "refunded",
        "refund_failed",
        "reservation_released",
        "cancelled",
        "not_cancelled",
        "approval_due",
        "approval_escalated",
    ),
}


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN country VARCHAR(2)")
    op.execute("ALTER TABLE orders ADD COLUMN shipping_tax BIGINT NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE orders ADD COLUMN discount BIGINT NOT NULL DEFAULT 0")
    op.execute(
        "ALTER TABLE order_lines ADD COLUMN condition VARCHAR(40) NOT NULL DEFAULT 'regular' "
        "CONSTRAINT ck_order_lines_condition CHECK (condition IN ('regular', 'final_sale', 'customised'))"
    )
    op.execute(
        "ALTER TABLE shipments ADD COLUMN gift_card TEXT "
        "CONSTRAINT fk_shipments_gift_card REFERENCES stored_value_accounts (account_id)"
    )
    op.execute("ALTER TABLE cancellations ADD COLUMN carried_out JSON")
    op.execute("ALTER TABLE webhook_events ADD COLUMN amiss BOOLEAN NOT NULL DEFAULT false")
    op.execute("CREATE INDEX ix_cancellations_order_id ON cancellations (order_id)")
    for (table, column), values in _WIDER.items():
        _widen(table, column, values)
    _final_sale_to_the_lines()


def _widen(table: str, column: str, values: tuple[str, ...]) -> None:
    """A closed set gets more members. SQLite cannot alter a constraint; a check changes nothing on disk, so its text in the
    schema is replaced, as SQLite's documentation of ALTER TABLE allows for that case."""
    name = f"ck_{table}_{column}"
    check = f"CHECK ({column} IN ({', '.join(repr(value) for value in values)}))"
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {check}")
        return
    find = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :table")
    before = connection.execute(find, {"table": table}).scalar_one()
    after, found = re.subn(rf"CONSTRAINT {name} CHECK \({column} IN \([^)]*\)\)", f"CONSTRAINT {name} {check}", before)
    assert found == 1, f"{name} is not where it was made"
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    connection.execute(
        sa.text("UPDATE sqlite_master SET sql = :sql WHERE type = 'table' AND name = :table"),
        {"sql": after, "table": table},
    )
    connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = OFF"))


def _final_sale_to_the_lines() -> None:
    """What was a flag of the order becomes the condition of each of its lines."""
    orders = sa.table("orders", sa.column("order_id", sa.Text), sa.column("flags", sa.JSON))
    lines = sa.table("order_lines", sa.column("order_id", sa.Text), sa.column("condition", sa.Text))
    connection = op.get_bind()
    for order_id, found in connection.execute(sa.select(orders.c.order_id, orders.c.flags)).all():
        flags = json.loads(found) if isinstance(found, str) else found
        if "final_sale" in flags:
            kept = [flag for flag in flags if flag != "final_sale"]
            connection.execute(orders.update().where(orders.c.order_id == order_id).values(flags=kept))
            connection.execute(lines.update().where(lines.c.order_id == order_id).values(condition="final_sale"))
