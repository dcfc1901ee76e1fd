"""The audit trail as a chain of hashes with a signed head; entries that are there already are chained."""

import sqlalchemy as sa
from alembic import context, op

from resources.registry.audit_chain import GENESIS_HASH, entry_hash, head_signature
from resources.registry.tables import UtcDateTime

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

_SQLITE_GUARD = """
CREATE TRIGGER registry_audit_no_{verb} BEFORE {verb} ON registry_audit
BEGIN SELECT RAISE(ABORT, 'registry_audit is append only'); END
"""
_POSTGRES_GUARD = """
CREATE TRIGGER registry_audit_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON registry_audit
FOR EACH STATEMENT EXECUTE FUNCTION registry_audit_is_append_only()
"""
_audit = sa.table(
    "registry_audit",
    sa.column("audit_id", sa.Integer),
    sa.column("at", UtcDateTime()),
    sa.column("actor", sa.String),
    sa.column("action", sa.String),
    sa.column("tenant_id", sa.String),
    sa.column("reason", sa.Text),
    sa.column("before", sa.JSON),
    sa.column("after", sa.JSON),
    sa.column("previous_hash", sa.String),
    sa.column("hash", sa.String),
)


def upgrade() -> None:
    """Add the columns, chain what is there, and name the newest entry."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("DROP TRIGGER registry_audit_no_UPDATE")
    else:
        op.execute("DROP TRIGGER registry_audit_guard ON registry_audit")
    for name in ("previous_hash", "hash"):
        op.add_column("registry_audit", sa.Column(name, sa.String(64), nullable=False, server_default=""))
    head = op.create_table(
        "registry_audit_head",
        sa.Column("head_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("signature", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("head_id", name="pk_registry_audit_head"),
    )
    audit_id, newest_hash = _chained()
    audit_key = context.config.attributes.get("audit_key")
    key = None if audit_key is None else audit_key()
    signature = "" if key is None else head_signature(key, audit_id, newest_hash)
    row = {"head_id": 1, "audit_id": audit_id, "hash": newest_hash, "signature": signature}
    op.bulk_insert(head, [row])
    op.execute(_SQLITE_GUARD.format(verb="UPDATE") if is_sqlite else _POSTGRES_GUARD)


def downgrade() -> None:
    """Refuse: an unchained trail could be edited unseen."""
    raise NotImplementedError("the audit chain is not undone; restore a backup instead")


def _chained() -> tuple[int, str]:
    connection = op.get_bind()
    columns = [column for column in _audit.c if column.name not in {"previous_hash", "hash"}]
    audit_id, newest_hash = 0, GENESIS_HASH
    for row in connection.execute(sa.select(*columns).order_by(_audit.c.audit_id)).mappings().all():
        previous_hash, audit_id = newest_hash, row["audit_id"]
        newest_hash = entry_hash(**row, previous_hash=previous_hash)
        hashes = {"previous_hash": previous_hash, "hash": newest_hash}
        connection.execute(_audit.update().where(_audit.c.audit_id == audit_id).values(hashes))
    return audit_id, newest_hash
