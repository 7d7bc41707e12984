"""Our own books (cancellations with their facts, documents, ledger, notices, deferred requests, the providers' events), and
the built-in order management system with its stock, and stored value.

Revision: 0001, the first.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = depends_on = None

APPEND_ONLY = ("facts", "ledger_transfers", "documents", "stored_value_entries", "effects")
_OUTCOMES = "cancelled partially_cancelled rejected withdrawn rolled_back"
_DOCUMENTS = "credit_note debit_note"
_TENDERS = "card gift_card store_credit marketplace"
_ACCOUNTS = (
    "sales_returns tax_payable refunds_payable customer_receivable gateway_clearing gift_card_liability "
    "store_credit_liability marketplace_clearing manual_clearing refunds_waived"
)
_EFFECTS = "thaw withdraw_pick resume_pick relabel replace_payment close_order"
_NOTICES = (
    "received withdrawal_acknowledged parcel_stopped parcel_not_stopped refund_started refunded refund_failed "
    "reservation_released cancelled not_cancelled approval_due approval_escalated"
)
_CONDITIONS = "regular final_sale customised"
_PROVIDERS = "stripe easypost"


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _amount(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=False)


def _currency() -> sa.Column[str]:
    return sa.Column("currency", sa.String(length=3), nullable=False)


def _one_of(name: str, values: str, *, nullable: bool = False) -> sa.Column[str]:
    closed_set = sa.Enum(*values.split(), name=name, native_enum=False, create_constraint=True, length=40)
    return sa.Column(name, closed_set, nullable=nullable)


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _refers(name: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=name)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "cancellations",
        _text("cancellation_id"),
        _text("order_id"),
        _text("holder_namespace"),
        _text("holder_run"),
        _count("facts"),
        _time("quiet_after"),
        _time("overtaken_until", nullable=True),
        _time("close_in_flight", nullable=True),
        _time("opened_at"),
        _time("closed_at", nullable=True),
        _one_of("outcome", _OUTCOMES, nullable=True),
        _text("customer_id", nullable=True),
        sa.Column("first_read", sa.JSON(), nullable=True),
        _check("ck_cancellations_closed_with_outcome", "(closed_at IS NULL) = (outcome IS NULL)"),
        sa.PrimaryKeyConstraint("cancellation_id", name="pk_cancellations"),
    )
    op.create_index("ix_cancellations_customer_id", "cancellations", ["customer_id"])
    op.create_index("ix_cancellations_order_id", "cancellations", ["order_id"])
    op.create_index(
        "uq_cancellations_one_open_per_order", "cancellations", ["order_id"], unique=True, **_where("closed_at IS NULL")
    )
    op.create_table(
        "customers",
        _text("customer_id"),
        _text("email"),
        _text("language"),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
    )
    op.create_table(
        "deferred_requests",
        _text("order_id"),
        _text("request_id"),
        _json("request"),
        _time("received_at"),
        _time("due_at"),
        _count("attempts"),
        _time("sent_at", nullable=True),
        sa.PrimaryKeyConstraint("order_id", "request_id", name="pk_deferred_requests"),
    )
    op.create_index("ix_deferred_requests_unsent", "deferred_requests", ["due_at"], **_where("sent_at IS NULL"))
    op.create_table(
        "document_counters",
        _one_of("kind", _DOCUMENTS),
        _count("last"),
        sa.PrimaryKeyConstraint("kind", name="pk_document_counters"),
    )
    op.create_table(
        "stock",
        _text("sku"),
        _count("on_hand"),
        _count("reserved"),
        _count("expected_back"),
        _check("ck_stock_not_negative", "on_hand >= 0 AND reserved >= 0 AND expected_back >= 0"),
        sa.PrimaryKeyConstraint("sku", name="pk_stock"),
    )
    op.create_table(
        "stored_value_accounts",
        _text("account_id"),
        _one_of("kind", _TENDERS),
        _currency(),
        _amount("balance"),
        _check("ck_stored_value_accounts_stored_value_only", "kind <> 'card'"),
        _check("ck_stored_value_accounts_balance", "balance >= 0"),
        sa.PrimaryKeyConstraint("account_id", name="pk_stored_value_accounts"),
    )
    op.create_table(
        "facts",
        _text("cancellation_id"),
        _count("seq"),
        _text("kind"),
        _text("request_id", nullable=True),
        _text("noted", nullable=True),
        _json("content"),
        _time("at"),
        _refers("fk_facts_cancellation_id", "cancellation_id", "cancellations.cancellation_id"),
        sa.PrimaryKeyConstraint("cancellation_id", "seq", name="pk_facts"),
        sa.UniqueConstraint("noted", name="uq_facts_noted"),
    )
    op.create_index("ix_facts_request_id", "facts", ["request_id"])
    op.create_table(
        "verifications",
        _text("order_id"),
        _text("namespace"),
        _text("run_id"),
        _time("at"),
        sa.PrimaryKeyConstraint("order_id", name="pk_verifications"),
    )
    op.create_table(
        "ledger_transfers",
        _count("transfer_id"),
        _text("key"),
        _text("cancellation_id"),
        _one_of("debit_account", _ACCOUNTS),
        _one_of("credit_account", _ACCOUNTS),
        _amount("amount"),
        _currency(),
        _text("reference"),
        _time("at"),
        _check("ck_ledger_transfers_reference", "reference <> ''"),
        _check("ck_ledger_transfers_amount", "amount > 0"),
        _check("ck_ledger_transfers_two_accounts", "debit_account <> credit_account"),
        _refers("fk_ledger_transfers_cancellation_id", "cancellation_id", "cancellations.cancellation_id"),
        sa.PrimaryKeyConstraint("transfer_id", name="pk_ledger_transfers"),
        sa.UniqueConstraint("key", name="uq_ledger_transfers_key"),
    )
    op.create_index("ix_ledger_transfers_cancellation_id", "ledger_transfers", ["cancellation_id"])
    op.create_table(
        "orders",
        _text("order_id"),
        _text("customer_id"),
        _time("placed_at"),
        _currency(),
        _amount("shipping"),
        _amount("shipping_tax"),
        _amount("discount"),
        sa.Column("country", sa.String(length=2), nullable=True),
        _json("flags"),
        _text("held_by", nullable=True),
        _text("locked_reason", nullable=True),
        _check("ck_orders_shipping", "shipping >= 0"),
        _refers("fk_orders_customer_id", "customer_id", "customers.customer_id"),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
    )
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
    op.create_table(
        "documents",
        _text("number"),
        _one_of("kind", _DOCUMENTS),
        _text("cancellation_id"),
        _text("order_id"),
        _amount("total"),
        _amount("tax"),
        _currency(),
        _time("issued_at"),
        _check("ck_documents_amounts", "total > 0 AND tax >= 0 AND tax <= total"),
        _refers("fk_documents_cancellation_id", "cancellation_id", "cancellations.cancellation_id"),
        sa.PrimaryKeyConstraint("number", name="pk_documents"),
        sa.UniqueConstraint("cancellation_id", "kind", name="uq_documents_cancellation_id_kind"),
    )
    op.create_index("ix_documents_order_id", "documents", ["order_id"])
    op.create_table(
        "effects",
        _text("key"),
        _one_of("kind", _EFFECTS),
        _text("order_id"),
        _text("cancellation_id"),
        _text("reference", nullable=True),
        _time("at"),
        _refers("fk_effects_order_id", "order_id", "orders.order_id"),
        sa.PrimaryKeyConstraint("key", name="pk_effects"),
    )
    op.create_index("ix_effects_cancellation_id", "effects", ["cancellation_id"])
    op.create_index("ix_effects_order_id", "effects", ["order_id"])
    op.create_table(
        "notices",
        _text("notice_id"),
        _one_of("kind", _NOTICES),
        _text("order_id"),
        _json("content"),
        _time("created_at"),
        _time("due_at"),
        _time("sent_at", nullable=True),
        _count("attempts"),
        _text("delayed_why", nullable=True),
        _text("refused_why", nullable=True),
        _check("ck_notices_sent_or_refused", "sent_at IS NULL OR refused_why IS NULL"),
        sa.PrimaryKeyConstraint("notice_id", name="pk_notices"),
    )
    op.create_index("ix_notices_order_id", "notices", ["order_id"])
    op.create_index(
        "ix_notices_unsent", "notices", ["due_at", "notice_id"], **_where("sent_at IS NULL AND refused_why IS NULL")
    )
    op.create_table(
        "order_lines",
        _text("order_id"),
        _text("line_id"),
        _count("position"),
        _text("sku"),
        _text("title"),
        _count("quantity"),
        _amount("total"),
        _amount("tax"),
        _count("cancelled"),
        _count("reserved"),
        _one_of("condition", _CONDITIONS),
        _check("ck_order_lines_cancelled", "quantity > 0 AND cancelled >= 0 AND cancelled <= quantity"),
        _check("ck_order_lines_reserved", "reserved >= 0 AND reserved + cancelled <= quantity"),
        _check("ck_order_lines_amounts", "total >= 0 AND tax >= 0 AND tax <= total"),
        _refers("fk_order_lines_order_id", "order_id", "orders.order_id"),
        _refers("fk_order_lines_sku", "sku", "stock.sku"),
        sa.PrimaryKeyConstraint("order_id", "line_id", name="pk_order_lines"),
    )
    op.create_table(
        "shipments",
        _text("order_id"),
        _text("shipment_id"),
        _count("position"),
        _text("carrier", nullable=True),
        _text("label_reference", nullable=True),
        _text("tracking_number", nullable=True),
        _text("gift_card", nullable=True),
        _flag("stopped"),
        _flag("handed_over"),
        _refers("fk_shipments_order_id", "order_id", "orders.order_id"),
        sa.PrimaryKeyConstraint("order_id", "shipment_id", name="pk_shipments"),
    )
    op.create_index("ix_shipments_label_reference", "shipments", ["label_reference"])
    op.create_index("ix_shipments_tracking_number", "shipments", ["tracking_number"])
    op.create_table(
        "tenders",
        _text("order_id"),
        _text("tender_id"),
        _count("position"),
        _one_of("kind", _TENDERS),
        _amount("amount"),
        _text("reference"),
        _check("ck_tenders_amounts", "amount >= 0"),
        _refers("fk_tenders_order_id", "order_id", "orders.order_id"),
        sa.PrimaryKeyConstraint("order_id", "tender_id", name="pk_tenders"),
    )
    op.create_index("ix_tenders_reference", "tenders", ["reference"])
    op.create_table(
        "given_back",
        _text("order_id"),
        _text("reference"),
        _text("tender_id"),
        _amount("amount"),
        _text("cancellation_id"),
        _refers("fk_given_back_order_id", "order_id", "orders.order_id"),
        sa.PrimaryKeyConstraint("order_id", "reference", "tender_id", name="pk_given_back"),
    )
    op.create_table(
        "watched",
        _text("reference"),
        _text("order_id"),
        _time("since"),
        sa.PrimaryKeyConstraint("reference", "order_id", name="pk_watched"),
    )
    op.create_table(
        "webhook_events",
        _one_of("provider", _PROVIDERS),
        _text("event_id"),
        _text("kind"),
        _text("subject", nullable=True),
        _flag("may_undo_outcome"),
        _flag("payment_taken"),
        _flag("dispute_won"),
        _text("order_id", nullable=True),
        _time("received_at"),
        _time("due_at"),
        _count("attempts"),
        _text("sent_to", nullable=True),
        _time("delivered_at", nullable=True),
        _text("given_up_why", nullable=True),
        _check("ck_webhook_events_delivered_or_given_up", "delivered_at IS NULL OR given_up_why IS NULL"),
        sa.PrimaryKeyConstraint("provider", "event_id", name="pk_webhook_events"),
    )
    op.create_index(
        "ix_webhook_events_due",
        "webhook_events",
        ["due_at"],
        **_where("order_id IS NOT NULL AND delivered_at IS NULL AND given_up_why IS NULL"),
    )
    op.create_index("ix_webhook_events_order_id", "webhook_events", ["order_id"])
    op.create_index("ix_webhook_events_received_at", "webhook_events", ["received_at"])
    op.create_table(
        "shipment_lines",
        _text("order_id"),
        _text("shipment_id"),
        _text("line_id"),
        _count("quantity"),
        _count("taken_out"),
        _check("ck_shipment_lines_taken_out", "quantity > 0 AND taken_out >= 0 AND taken_out <= quantity"),
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
        _count("entry_id"),
        _text("key"),
        _text("account_id"),
        _amount("amount"),
        _text("order_id", nullable=True),
        _text("tender_id", nullable=True),
        _flag("deactivates"),
        _text("undoes", nullable=True),
        _time("at"),
        _check("ck_stored_value_entries_amount", "amount <> 0"),
        _refers("fk_stored_value_entries_account_id", "account_id", "stored_value_accounts.account_id"),
        _refers("fk_stored_value_entries_undoes", "undoes", "stored_value_entries.key"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_stored_value_entries"),
        sa.UniqueConstraint("key", name="uq_stored_value_entries_key"),
        sa.UniqueConstraint("undoes", name="uq_stored_value_entries_undoes"),
    )
    op.create_index("ix_stored_value_entries_account_id", "stored_value_entries", ["account_id"])
    op.create_index("ix_stored_value_entries_tender", "stored_value_entries", ["order_id", "tender_id"])

    counters = sa.table("document_counters", sa.column("kind", sa.Text), sa.column("last", sa.Integer))
    op.bulk_insert(counters, [{"kind": kind, "last": 0} for kind in _DOCUMENTS.split()])
    _append_only()


def _append_only() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute(
            """
            CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
            END $$
            """
        )
    for table in APPEND_ONLY:
        if postgresql:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            continue
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
