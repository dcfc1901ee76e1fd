"""Destinations beside the tenants' planes, their circuits, and deliveries that are not done."""

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_TENANT = ["registry_tenants.tenant_id"]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "registry_destinations",
        sa.Column("destination_id", sa.String(16), nullable=False),
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("sealed_secrets", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("removed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("destination_id", name="pk_registry_destinations"),
        sa.ForeignKeyConstraint(["tenant_id"], _TENANT, name="fk_registry_destinations_tenant_id"),
    )
    op.create_index("ix_registry_destinations_tenant_id", "registry_destinations", ["tenant_id"])
    op.create_table(
        "registry_circuits",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("destination_id", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opens", sa.Integer(), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=True),
        sa.Column("retry_at", _MOMENT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "destination_id", name="pk_registry_circuits"),
        sa.ForeignKeyConstraint(["tenant_id"], _TENANT, name="fk_registry_circuits_tenant_id"),
    )
    _create_deliveries()


def downgrade() -> None:
    """Refuse: what is not delivered yet would be forgotten."""
    raise NotImplementedError("destinations and deliveries are not undone; restore a backup instead")


def _create_deliveries() -> None:
    op.create_table(
        "registry_deliveries",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("destination_id", sa.String(16), nullable=False),
        sa.Column("mart", sa.String(63), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("delivery_id", sa.String(16), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("restatement", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", _MOMENT, nullable=False),
        sa.Column("last_failed_at", _MOMENT, nullable=False),
        sa.Column("next_try_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "destination_id", "mart", "date", name="pk_registry_deliveries"),
        sa.ForeignKeyConstraint(["tenant_id"], _TENANT, name="fk_registry_deliveries_tenant_id"),
        sa.UniqueConstraint("delivery_id", name="uq_registry_deliveries_delivery_id"),
    )
    op.create_index(
        "ix_registry_deliveries_state_next_try_at", "registry_deliveries", ["state", "next_try_at"]
    )
