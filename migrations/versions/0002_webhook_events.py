"""The providers' events, and what finds the order of one.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOT_TOLD = sa.text("order_id IS NOT NULL AND told_at IS NULL AND given_up_why IS NULL")


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column(
            "provider",
            sa.Enum("stripe", "easypost", name="provider", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_up_why", sa.Text(), nullable=True),
        sa.CheckConstraint("told_at IS NULL OR given_up_why IS NULL", name="ck_webhook_events_told_or_given_up"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name="fk_webhook_events_order_id"),
        sa.PrimaryKeyConstraint("provider", "event_id", name="pk_webhook_events"),
    )
    op.create_index("ix_webhook_events_order_id", "webhook_events", ["order_id"], unique=False)
    op.create_index("ix_webhook_events_received_at", "webhook_events", ["received_at"], unique=False)
    op.create_index(
        "ix_webhook_events_due",
        "webhook_events",
        ["due_at"],
        unique=False,
        sqlite_where=_NOT_TOLD,
        postgresql_where=_NOT_TOLD,
    )
    op.create_index("ix_tenders_reference", "tenders", ["reference"], unique=False)
    op.create_index("ix_shipments_label_reference", "shipments", ["label_reference"], unique=False)
    op.create_index("ix_shipments_tracking_number", "shipments", ["tracking_number"], unique=False)
