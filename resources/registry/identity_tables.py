"""Tables of users, sessions, revocations and kept answers. The registry's other tables are in `tables`."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from resources.registry.tables import Base, UtcDateTime


class UserRow(Base):
    """One row per user of the local issuer. `tenant_id` is the tenant that it belongs to; none: the platform's."""

    __tablename__ = "registry_users"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    tenant_id: Mapped[str | None] = mapped_column(ForeignKey("registry_tenants.tenant_id"), index=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime())
    created_by: Mapped[str] = mapped_column(String(200))
    disabled_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime())


class UserRoleRow(Base):
    """One row per role that a user has, in a tenant or ('') on the platform."""

    __tablename__ = "registry_user_roles"

    user_name: Mapped[str] = mapped_column(ForeignKey("registry_users.name"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(31), primary_key=True)
    role: Mapped[str] = mapped_column(String(32), primary_key=True)


class UserSessionRow(Base):
    """One row per sign-in: a family of refresh tokens, of which the newest alone is good."""

    __tablename__ = "registry_user_sessions"

    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_name: Mapped[str] = mapped_column(ForeignKey("registry_users.name"), index=True)
    refresh_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    started_at: Mapped[dt.datetime] = mapped_column(UtcDateTime())
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime(), index=True)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime())


class RevocationRow(Base):
    """One row per subject or session whose access tokens from before a moment are refused."""

    __tablename__ = "registry_revocations"

    subject: Mapped[str] = mapped_column(String(220), primary_key=True)
    not_before: Mapped[dt.datetime] = mapped_column(UtcDateTime())


class KeptAnswerRow(Base):
    """One row per (actor, Idempotency-Key) of a day: what was asked, and the sealed answer once there is one."""

    __tablename__ = "registry_kept_answers"

    actor: Mapped[str] = mapped_column(String(200), primary_key=True)
    key_digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    request_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int | None] = mapped_column(Integer)
    sealed_answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    began_at: Mapped[dt.datetime] = mapped_column(UtcDateTime(), index=True)
