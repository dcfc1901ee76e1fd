"""Tenants, keys and the append-only audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_SQLITE_GUARD = """
CREATE TRIGGER registry_audit_no_{verb} BEFORE {verb} ON registry_audit
BEGIN SELECT RAISE(ABORT, 'registry_audit is append only'); END
"""
_POSTGRES_GUARD_FUNCTION = """
CREATE FUNCTION registry_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'registry_audit is append only'; END $$
"""
_POSTGRES_GUARD = """
CREATE TRIGGER registry_audit_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON registry_audit
FOR EACH STATEMENT EXECUTE FUNCTION registry_audit_is_append_only()
"""


def upgrade() -> None:
    """Create the three tables and the guard of the audit trail."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "registry_tenants",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("plan", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("plane_url", sa.Text(), nullable=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_registry_tenants"),
    )
    op.create_index("ix_registry_tenants_state", "registry_tenants", ["state"])
    op.create_table(
        "registry_keys",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("revoked_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_registry_keys"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["registry_tenants.tenant_id"], name="fk_registry_keys_tenant_id"
        ),
        sa.UniqueConstraint("digest", name="uq_registry_keys_digest"),
    )
    op.create_index("ix_registry_keys_tenant_id", "registry_keys", ["tenant_id"])
    op.create_table(
        "registry_audit",
        sa.Column("audit_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("tenant_id", sa.String(31), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name="pk_registry_audit"),
    )
    op.create_index("ix_registry_audit_tenant_id_audit_id", "registry_audit", ["tenant_id", "audit_id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE_GUARD.format(verb="UPDATE"))
        op.execute(_SQLITE_GUARD.format(verb="DELETE"))
    else:
        op.execute(_POSTGRES_GUARD_FUNCTION)
        op.execute(_POSTGRES_GUARD)


def downgrade() -> None:
    """Refuse: the audit trail is never dropped by a tool."""
    raise NotImplementedError("the registry's first migration is not undone; restore a backup instead")
