"""The tenant's users and their roles: who may sign in, who manages them, and a list of what was changed.

Belongs here: adding, changing and removing users, with the rules that keep a tenant from locking itself out.
Signing in is `sessions`'s. A password made here is shown once and never stored but as a hash; it is for the
person to change.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from resources.errors import AuthorizationError, PermanentError
from resources.plane_settings import TenantPlaneSettings
from tenant_plane.database import now_ms, sessions, user_changes, users
from tenant_plane.sessions import Principal
from tenant_plane.views import Role

ADMINISTRATOR: Role = "tenant_admin"
NEW_PASSWORD_BYTES = 15  # 120 bits in 20 characters
CHANGES_SHOWN = 50


class AccountNotFoundError(PermanentError):
    """The tenant has no user of that name."""


class AccountRuleError(PermanentError):
    """The change would break a rule about the tenant's users."""


@dataclass(frozen=True)
class Account:
    """One user."""

    name: str
    role: str
    created_at_ms: int
    signed_in_at_ms: int | None


@dataclass(frozen=True)
class AccountChange:
    """One change of a user, newest first in lists."""

    changed_at_ms: int
    actor: str
    action: str
    user: str
    role: str | None


class Accounts:
    """The users of one tenant's plane."""

    def __init__(self, engine: sa.Engine, settings: TenantPlaneSettings) -> None:
        self._engine = engine
        self._tenant_id = settings.id
        self._users_max = settings.users_max
        self._hasher = PasswordHasher()
        self._changing = threading.Lock()  # two administrators who remove each other: one of them stays

    def all(self) -> list[Account]:
        """Every user by name, with the newest sign-in of a session that is still kept."""
        newest = sa.func.max(sessions.c.signed_in_at_ms).label("signed_in_at_ms")
        query = (
            sa.select(users.c.name, users.c.role, users.c.created_at_ms, newest)
            .outerjoin(sessions, sessions.c.user_name == users.c.name)
            .group_by(users.c.name, users.c.role, users.c.created_at_ms)
            .order_by(users.c.name)
        )
        with self._engine.connect() as connection:
            return [
                Account(row.name, row.role, row.created_at_ms, row.signed_in_at_ms)
                for row in connection.execute(query)
            ]

    def count(self) -> int:
        """How many users there are."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one())

    def changes(self) -> list[AccountChange]:
        """The newest changes, newest first."""
        query = sa.select(user_changes).order_by(user_changes.c.id.desc()).limit(CHANGES_SHOWN)
        with self._engine.connect() as connection:
            return [
                AccountChange(row.changed_at_ms, row.actor, row.action, row.user_name, row.role)
                for row in connection.execute(query)
            ]

    def add(self, name: str, role: Role, actor: Principal) -> str:
        """Add a user; the first password, which is shown this once.

        Raises:
            AccountRuleError: the name is taken, or the plan allows no more users.
        """
        password = secrets.token_urlsafe(NEW_PASSWORD_BYTES)
        password_hash = self._hasher.hash(password)
        with self._change() as connection:
            if _role_of(connection, name) is not None:
                raise AccountRuleError(f"tenant {self._tenant_id} has a user of that name: choose another")
            there = connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one()
            if self._users_max is not None and there >= self._users_max:
                raise AccountRuleError(
                    f"tenant {self._tenant_id}'s plan allows {self._users_max} users: remove one, or upgrade"
                )
            row = {"name": name, "role": role, "password_hash": password_hash, "created_at_ms": now_ms()}
            connection.execute(users.insert().values(row))
            _note(connection, actor, "added", name, role)
        return password

    def set_role(self, name: str, role: Role, actor: Principal) -> None:
        """Give a user another role; it counts at the next request.

        Raises:
            AccountNotFoundError: there is no such user.
            AccountRuleError: nobody could manage users any more.
        """
        with self._change() as connection:
            self._require(connection, name)
            if role != ADMINISTRATOR:
                self._keep_an_administrator(connection, name)
            connection.execute(users.update().where(users.c.name == name).values(role=role))
            _note(connection, actor, "role changed", name, role)

    def new_password(self, name: str, actor: Principal) -> str:
        """A new password for somebody who lost theirs, shown this once; it ends all their sessions.

        Raises:
            AccountNotFoundError: there is no such user.
        """
        password = secrets.token_urlsafe(NEW_PASSWORD_BYTES)
        password_hash = self._hasher.hash(password)
        with self._change() as connection:
            self._require(connection, name)
            connection.execute(users.update().where(users.c.name == name).values(password_hash=password_hash))
            connection.execute(sessions.delete().where(sessions.c.user_name == name))
            _note(connection, actor, "password renewed", name, None)
        return password

    def change_own_password(self, principal: Principal, current: str, new: str) -> None:
        """Change one's own password; it ends one's other sessions.

        Raises:
            AuthorizationError: the current password is wrong.
        """
        with self._engine.connect() as connection:
            query = sa.select(users.c.password_hash).where(users.c.name == principal.user)
            known: str = connection.execute(query).scalar_one()
        try:
            self._hasher.verify(known, current)
        except (VerificationError, InvalidHashError) as error:
            raise AuthorizationError("the current password is wrong: nothing was changed") from error
        password_hash = self._hasher.hash(new)
        with self._change() as connection:
            mine = users.c.name == principal.user
            connection.execute(users.update().where(mine).values(password_hash=password_hash))
            others = sa.and_(sessions.c.user_name == principal.user, sessions.c.id != principal.session_id)
            connection.execute(sessions.delete().where(others))
            _note(connection, principal, "password changed", principal.user, None)

    def remove(self, name: str, actor: Principal) -> None:
        """Remove a user and end their sessions.

        Raises:
            AccountNotFoundError: there is no such user.
            AccountRuleError: it is oneself, or nobody could manage users any more.
        """
        with self._change() as connection:
            role = self._require(connection, name)
            if name == actor.user:
                raise AccountRuleError("nobody removes themselves: ask another administrator")
            self._keep_an_administrator(connection, name)
            connection.execute(sessions.delete().where(sessions.c.user_name == name))
            connection.execute(users.delete().where(users.c.name == name))
            _note(connection, actor, "removed", name, role)

    @contextmanager
    def _change(self) -> Iterator[sa.Connection]:
        with self._changing, self._engine.begin() as connection:
            yield connection

    def _require(self, connection: sa.Connection, name: str) -> str:
        role = _role_of(connection, name)
        if role is None:
            raise AccountNotFoundError(f"tenant {self._tenant_id} has no user of that name")
        return role

    def _keep_an_administrator(self, connection: sa.Connection, name: str) -> None:
        others = sa.and_(users.c.role == ADMINISTRATOR, users.c.name != name)
        if connection.execute(sa.select(users.c.name).where(others).limit(1)).first() is None:
            raise AccountRuleError(
                f"tenant {self._tenant_id} would have no administrator left: make somebody else one first"
            )


def _role_of(connection: sa.Connection, name: str) -> str | None:
    return connection.execute(sa.select(users.c.role).where(users.c.name == name)).scalar_one_or_none()


def _note(connection: sa.Connection, actor: Principal, action: str, name: str, role: str | None) -> None:
    connection.execute(
        user_changes.insert().values(
            changed_at_ms=now_ms(), actor=actor.user, action=action, user_name=name, role=role
        )
    )
