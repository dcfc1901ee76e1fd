"""Users, their roles and sessions, revocations, and answers kept under idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_TENANT = ["registry_tenants.tenant_id"]
_USER = ["registry_users.name"]


def upgrade() -> None:
    """Create the tables."""
    _create_users()
    _create_sessions()
    op.create_table(
        "registry_kept_answers",
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("actor", "key_digest", name="pk_registry_kept_answers"),
    )
    op.create_index("ix_registry_kept_answers_began_at", "registry_kept_answers", ["began_at"])


def downgrade() -> None:
    """Refuse: nobody could sign in any more."""
    raise NotImplementedError("users and roles are not undone; restore a backup instead")


def _create_users() -> None:
    op.create_table(
        "registry_users",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("tenant_id", sa.String(31), nullable=True),
        sa.Column("password_hash", sa.String(256), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("disabled_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_registry_users"),
        sa.ForeignKeyConstraint(["tenant_id"], _TENANT, name="fk_registry_users_tenant_id"),
    )
    op.create_index("ix_registry_users_tenant_id", "registry_users", ["tenant_id"])
    op.create_table(
        "registry_user_roles",
        sa.Column("user_name", sa.String(128), nullable=False),
        sa.Column("tenant_id", sa.String(31), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("user_name", "tenant_id", "role", name="pk_registry_user_roles"),
        sa.ForeignKeyConstraint(["user_name"], _USER, name="fk_registry_user_roles_user_name"),
    )


def _create_sessions() -> None:
    op.create_table(
        "registry_user_sessions",
        sa.Column("session_id", sa.String(32), nullable=False),
        sa.Column("user_name", sa.String(128), nullable=False),
        sa.Column("refresh_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("revoked_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("session_id", name="pk_registry_user_sessions"),
        sa.ForeignKeyConstraint(["user_name"], _USER, name="fk_registry_user_sessions_user_name"),
    )
    op.create_index("ix_registry_user_sessions_user_name", "registry_user_sessions", ["user_name"])
    op.create_index("ix_registry_user_sessions_expires_at", "registry_user_sessions", ["expires_at"])
    op.create_table(
        "registry_revocations",
        sa.Column("subject", sa.String(220), nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_registry_revocations"),
    )
