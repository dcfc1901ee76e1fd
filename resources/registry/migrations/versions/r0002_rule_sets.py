"""Versions of the tenants' attribution rules, append-only."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None

_SQLITE_GUARD = """
CREATE TRIGGER registry_rule_sets_no_{verb} BEFORE {verb} ON registry_rule_sets
BEGIN SELECT RAISE(ABORT, 'registry_rule_sets is append only'); END
"""
_POSTGRES_GUARD_FUNCTION = """
CREATE FUNCTION registry_rule_sets_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'registry_rule_sets is append only'; END $$
"""
_POSTGRES_GUARD = """
CREATE TRIGGER registry_rule_sets_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON registry_rule_sets
FOR EACH STATEMENT EXECUTE FUNCTION registry_rule_sets_is_append_only()
"""


def upgrade() -> None:
    """Create the table and its guard: rows of the marts name a version's hash for ever."""
    op.create_table(
        "registry_rule_sets",
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.String(16), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "version", name="pk_registry_rule_sets"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["registry_tenants.tenant_id"], name="fk_registry_rule_sets_tenant_id"
        ),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE_GUARD.format(verb="UPDATE"))
        op.execute(_SQLITE_GUARD.format(verb="DELETE"))
    else:
        op.execute(_POSTGRES_GUARD_FUNCTION)
        op.execute(_POSTGRES_GUARD)


def downgrade() -> None:
    """Refuse: what decided old rows of the marts is never dropped by a tool."""
    raise NotImplementedError("the rule sets are not undone; restore a backup instead")
