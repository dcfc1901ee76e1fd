"""Quotas of single tenants, alerts about them, bytes pulled, and final invoices, append-only."""

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None

_SQLITE_GUARD = """
CREATE TRIGGER registry_invoices_no_{verb} BEFORE {verb} ON registry_invoices
BEGIN SELECT RAISE(ABORT, 'registry_invoices is append only'); END
"""
_POSTGRES_GUARD_FUNCTION = """
CREATE FUNCTION registry_invoices_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'registry_invoices is append only'; END $$
"""
_POSTGRES_GUARD = """
CREATE TRIGGER registry_invoices_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON registry_invoices
FOR EACH STATEMENT EXECUTE FUNCTION registry_invoices_is_append_only()
"""


def upgrade() -> None:
    """Create the tables, and the guard of the invoices."""
    op.create_table(
        "registry_quotas",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("quota", sa.String(30), nullable=False),
        sa.Column("limit_value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "quota", name="pk_registry_quotas"),
        _of_a_tenant("registry_quotas"),
    )
    op.create_table(
        "registry_quota_alerts",
        sa.Column("alert_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("quota", sa.String(30), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("share_percent", sa.Integer(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("limit_value", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_registry_quota_alerts"),
        _of_a_tenant("registry_quota_alerts"),
    )
    once = ["tenant_id", "quota", "period", "share_percent"]
    op.create_index("ix_registry_quota_alerts_once", "registry_quota_alerts", once, unique=True)
    op.create_table(
        "registry_pulled_bytes",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("pulled_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "date", name="pk_registry_pulled_bytes"),
        _of_a_tenant("registry_pulled_bytes"),
    )
    op.create_table(
        "registry_invoices",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "month", name="pk_registry_invoices"),
        _of_a_tenant("registry_invoices"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE_GUARD.format(verb="UPDATE"))
        op.execute(_SQLITE_GUARD.format(verb="DELETE"))
    else:
        op.execute(_POSTGRES_GUARD_FUNCTION)
        op.execute(_POSTGRES_GUARD)


def downgrade() -> None:
    """Refuse: invoices that were sent are never dropped by a tool."""
    raise NotImplementedError("invoices are not undone; restore a backup instead")


def _of_a_tenant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id"], ["registry_tenants.tenant_id"], name=f"fk_{table}_tenant_id"
    )
