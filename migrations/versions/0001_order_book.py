"""The order book: orders with stock and stored value, cancellations with their effects, documents, ledger and notices.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

APPEND_ONLY = ("ledger_transfers", "documents", "stored_value_entries", "effects")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
    )
    op.create_table(
        "document_counters",
        sa.Column(
            "kind",
            sa.Enum("credit_note", "debit_note", name="kind", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_document_counters"),
    )
    op.create_table(
        "stock",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("expected_back", sa.Integer(), nullable=False),
        sa.CheckConstraint("on_hand >= 0 AND reserved >= 0 AND expected_back >= 0", name="ck_stock_not_negative"),
        sa.PrimaryKeyConstraint("sku", name="pk_stock"),
    )
    op.create_table(
        "stored_value_accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "card", "gift_card", "store_credit", name="kind", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind <> 'card'", name="ck_stored_value_accounts_stored_value_only"),
        sa.CheckConstraint("balance >= 0", name="ck_stored_value_accounts_balance"),
        sa.PrimaryKeyConstraint("account_id", name="pk_stored_value_accounts"),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "open",
                "partially_cancelled",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("shipping", sa.BigInteger(), nullable=False),
        sa.Column("shipping_credited", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=True),
        sa.Column("locked_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "shipping >= 0 AND shipping_credited >= 0 AND shipping_credited <= shipping",
            name="ck_orders_shipping_credited",
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.customer_id"], name="fk_orders_customer_id"),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
    )
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"], unique=False)
    op.create_table(
        "cancellations",
        sa.Column("cancellation_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "cancelled",
                "partially_cancelled",
                "rejected",
                "withdrawn",
                "rolled_back",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=True,
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="ck_cancellations_closed_with_outcome"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_cancellations_order_id"),
        sa.PrimaryKeyConstraint("cancellation_id", name="pk_cancellations"),
        sa.UniqueConstraint("order_id", "request_id", name="uq_cancellations_order_id_request_id"),
    )
    op.create_index(
        "uq_cancellations_one_open_per_order",
        "cancellations",
        ["order_id"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "received",
                "withdrawal_acknowledged",
                "refund_started",
                "refunded",
                "refund_failed",
                "reservation_released",
                "cancelled",
                "not_cancelled",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delayed_why", sa.Text(), nullable=True),
        sa.Column("refused_why", sa.Text(), nullable=True),
        sa.CheckConstraint("sent_at IS NULL OR refused_why IS NULL", name="ck_notices_sent_or_refused"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_notices_order_id"),
        sa.PrimaryKeyConstraint("notice_id", name="pk_notices"),
    )
    op.create_index("ix_notices_order_id", "notices", ["order_id"], unique=False)
    op.create_index(
        "ix_notices_unsent",
        "notices",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL AND refused_why IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL AND refused_why IS NULL"),
    )
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND cancelled >= 0 AND cancelled <= quantity", name="ck_order_lines_cancelled"
        ),
        sa.CheckConstraint("reserved >= 0 AND reserved + cancelled <= quantity", name="ck_order_lines_reserved"),
        sa.CheckConstraint("total >= 0 AND tax >= 0 AND tax <= total", name="ck_order_lines_amounts"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_order_lines_order_id"),
        sa.ForeignKeyConstraint(["sku"], ["stock.sku"], name="fk_order_lines_sku"),
        sa.PrimaryKeyConstraint("order_id", "line_id", name="pk_order_lines"),
    )
    op.create_table(
        "shipments",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("label_reference", sa.Text(), nullable=True),
        sa.Column("tracking_number", sa.Text(), nullable=True),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("handed_over", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_shipments_order_id"),
        sa.PrimaryKeyConstraint("order_id", "shipment_id", name="pk_shipments"),
    )
    op.create_table(
        "tenders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("tender_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "card", "gift_card", "store_credit", name="kind", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("released", sa.BigInteger(), nullable=False),
        sa.Column("put_back", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0 AND refunded >= 0 AND released >= 0", name="ck_tenders_amounts"),
        sa.CheckConstraint("put_back >= 0 AND put_back <= amount", name="ck_tenders_put_back"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_tenders_order_id"),
        sa.PrimaryKeyConstraint("order_id", "tender_id", name="pk_tenders"),
    )
    op.create_table(
        "documents",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("credit_note", "debit_note", name="kind", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("cancellation_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("total > 0 AND tax >= 0 AND tax <= total", name="ck_documents_amounts"),
        sa.ForeignKeyConstraint(
            ["cancellation_id"], ["cancellations.cancellation_id"], name="fk_documents_cancellation_id"
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_documents_order_id"),
        sa.PrimaryKeyConstraint("number", name="pk_documents"),
        sa.UniqueConstraint("cancellation_id", "kind", name="uq_documents_cancellation_id_kind"),
    )
    op.create_index("ix_documents_order_id", "documents", ["order_id"], unique=False)
    op.create_table(
        "effects",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "hold_order",
                "release_order",
                "withdraw_pick",
                "resume_pick",
                "relabel",
                "restore_balance",
                "take_back_balance",
                "credit",
                "revoke_credit",
                "close_order",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("cancellation_id", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["cancellation_id"], ["cancellations.cancellation_id"], name="fk_effects_cancellation_id"
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_effects_order_id"),
        sa.PrimaryKeyConstraint("key", name="pk_effects"),
    )
    op.create_index("ix_effects_cancellation_id", "effects", ["cancellation_id"], unique=False)
    op.create_index("ix_effects_order_id", "effects", ["order_id"], unique=False)
    op.create_table(
        "ledger_transfers",
        sa.Column("transfer_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("cancellation_id", sa.Text(), nullable=False),
        sa.Column(
            "debit_account",
            sa.Enum(
                "sales_returns",
                "tax_payable",
                "refunds_payable",
                "gateway_clearing",
                "gift_card_liability",
                "store_credit_liability",
                "manual_clearing",
                name="debit_account",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "credit_account",
            sa.Enum(
                "sales_returns",
                "tax_payable",
                "refunds_payable",
                "gateway_clearing",
                "gift_card_liability",
                "store_credit_liability",
                "manual_clearing",
                name="credit_account",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reference <> ''", name="ck_ledger_transfers_reference"),
        sa.CheckConstraint("amount > 0", name="ck_ledger_transfers_amount"),
        sa.CheckConstraint("debit_account <> credit_account", name="ck_ledger_transfers_two_accounts"),
        sa.ForeignKeyConstraint(
            ["cancellation_id"], ["cancellations.cancellation_id"], name="fk_ledger_transfers_cancellation_id"
        ),
        sa.PrimaryKeyConstraint("transfer_id", name="pk_ledger_transfers"),
        sa.UniqueConstraint("key", name="uq_ledger_transfers_key"),
    )
    op.create_index("ix_ledger_transfers_cancellation_id", "ledger_transfers", ["cancellation_id"], unique=False)
    op.create_table(
        "shipment_lines",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("taken_out", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND taken_out >= 0 AND taken_out <= quantity", name="ck_shipment_lines_taken_out"
        ),
        sa.ForeignKeyConstraint(
            ["order_id", "line_id"],
            ["order_lines.order_id", "order_lines.line_id"],
            name="fk_shipment_lines_order_id_line_id",
        ),
        sa.ForeignKeyConstraint(
            ["order_id", "shipment_id"],
            ["shipments.order_id", "shipments.shipment_id"],
            name="fk_shipment_lines_order_id_shipment_id",
        ),
        sa.PrimaryKeyConstraint("order_id", "shipment_id", "line_id", name="pk_shipment_lines"),
    )
    op.create_table(
        "stored_value_entries",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("tender_id", sa.Text(), nullable=True),
        sa.Column("undoes", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount <> 0", name="ck_stored_value_entries_amount"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["stored_value_accounts.account_id"], name="fk_stored_value_entries_account_id"
        ),
        sa.ForeignKeyConstraint(
            ["order_id", "tender_id"],
            ["tenders.order_id", "tenders.tender_id"],
            name="fk_stored_value_entries_order_id_tender_id",
        ),
        sa.ForeignKeyConstraint(["undoes"], ["stored_value_entries.key"], name="fk_stored_value_entries_undoes"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_stored_value_entries"),
        sa.UniqueConstraint("key", name="uq_stored_value_entries_key"),
        sa.UniqueConstraint("undoes", name="uq_stored_value_entries_undoes"),
    )
    op.create_index("ix_stored_value_entries_account_id", "stored_value_entries", ["account_id"], unique=False)
    op.create_index("ix_stored_value_entries_tender", "stored_value_entries", ["order_id", "tender_id"], unique=False)

    counters = sa.table("document_counters", sa.column("kind", sa.Text), sa.column("last", sa.Integer))
    op.bulk_insert(counters, [{"kind": "credit_note", "last": 0}, {"kind": "debit_note", "last": 0}])

    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """
            CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
            END $$
            """
        )
    for table in APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        else:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
