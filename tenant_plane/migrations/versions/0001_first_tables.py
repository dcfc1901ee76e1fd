"""Users, sessions, application keys, pushes, and the lists of slices and score sets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "users",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("password_hash", sa.String(256), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("user_name", sa.String(128), sa.ForeignKey("users.name"), nullable=False),
        sa.Column("signed_in_at_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger),
    )
    op.create_table(
        "app_keys",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger),
    )
    op.create_table(
        "pushes",
        sa.Column("idempotency_key", sa.String(256), primary_key=True),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("signature", sa.LargeBinary(32), nullable=False, index=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("replaced", sa.Boolean, nullable=False),
        sa.Column("pushed_at_ms", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "mart_slices",
        sa.Column("mart", sa.String(64), primary_key=True),
        sa.Column("event_date", sa.Date, primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("pushed_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "score_sets",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("generated_at_ms", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("pushed_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the first tables."""
    for table in ("score_sets", "mart_slices", "pushes", "app_keys", "sessions", "users"):
        op.drop_table(table)
