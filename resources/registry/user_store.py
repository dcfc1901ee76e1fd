"""Users of the local issuer and their roles. Every change is audited and ends the user's access tokens.

A user belongs to the platform or to one tenant; one of a tenant has roles in that tenant alone, so that its
tenant's administrators manage it wholly and nobody else's can. Whoever acts `within` a tenant finds no others.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from resources.errors import ContractError, LastAdminError, UserExistsError, UserNotFoundError
from resources.registry.identity_tables import UserRoleRow, UserRow
from resources.registry.passwords import hash_password, new_password
from resources.registry.quota_store import take_place_of_user
from resources.registry.roles import PlatformRole, TenantRole
from resources.registry.session_store import revoke_subject, revoke_user_sessions
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row

USER_NAME_PATTERN = r"^[a-z0-9][a-z0-9._@+-]{0,127}$"
ON_PLATFORM = ""  # in the column of a role's tenant


@dataclass(frozen=True, slots=True)
class User:
    """One user, without anything secret."""

    name: str
    tenant_id: str | None
    roles: tuple[str, ...]
    created_at: dt.datetime
    created_by: str
    disabled_at: dt.datetime | None

    @property
    def platform_roles(self) -> tuple[str, ...]:
        """Roles over every tenant."""
        return self.roles if self.tenant_id is None else ()

    @property
    def tenant_roles(self) -> dict[str, list[str]]:
        """Tenant → roles in it."""
        return {} if self.tenant_id is None else {self.tenant_id: list(self.roles)}


class UserStore(Sessions):
    """Questions and changes of users."""

    def ensure_first_admin(self, name: str, password: str) -> bool:
        """Make the first platform administrator; False when there are users already."""
        with self.reading() as session:
            if session.scalar(select(UserRow.name).limit(1)) is not None:
                return False
        password_hash = hash_password(password)
        with self.writing() as session:
            if session.scalar(select(UserRow.name).limit(1)) is not None:
                return False
            _add(
                session,
                name,
                None,
                password_hash=password_hash,
                roles=(PlatformRole.PLATFORM_ADMIN,),
                actor="first-run",
            )
        return True

    def create_user(
        self, name: str, tenant_id: str | None, roles: tuple[str, ...], actor: str
    ) -> tuple[User, str]:
        """A new user and its first password, shown this once.

        Raises:
            ContractError: the name is malformed, or a role is none of a tenant's (of the platform's).
            TenantNotFoundError: there is no such tenant.
            UserExistsError: the name is taken.
            UsersQuotaError: the tenant has as many users as it may have.
        """
        if re.fullmatch(USER_NAME_PATTERN, name) is None:
            raise ContractError(
                f"a user's name matches {USER_NAME_PATTERN}; an email address in lower case does"
            )
        for role in roles:
            _check_role(role, tenant_id)
        password = new_password()
        password_hash = hash_password(password)
        with self.writing() as session:
            tenant = None if tenant_id is None else tenant_row(session, tenant_id, lock=True)
            if session.get(UserRow, name) is not None:
                raise UserExistsError("that name is taken; choose another")
            if tenant is not None:
                take_place_of_user(session, tenant, _count(session, tenant_id))
            row = _add(session, name, tenant_id, password_hash=password_hash, roles=roles, actor=actor)
            return _user(session, row), password

    def user(self, name: str, within: str | None = None) -> User:
        """One user.

        Raises:
            UserNotFoundError: there is none of that name (within that tenant).
        """
        with self.reading() as session:
            return _user(session, _row(session, name, within))

    def users(self, within: str | None = None, *, after: str = "", limit: int = 100) -> tuple[User, ...]:
        """Users by name; of one tenant when given."""
        query = select(UserRow).where(UserRow.name > after).order_by(UserRow.name).limit(limit)
        if within is not None:
            query = query.where(UserRow.tenant_id == within)
        with self.reading() as session:
            return tuple(_user(session, row) for row in session.scalars(query).all())

    def password_hash_of(self, name: str) -> str | None:
        """The hash to compare with; None when nobody of that name may sign in."""
        with self.reading() as session:
            row = session.get(UserRow, name)
            return None if row is None or row.disabled_at is not None else row.password_hash

    def disable_user(
        self, name: str, actor: str, within: str | None = None, reason: str | None = None
    ) -> User:
        """Shut a user out: its sessions and access tokens end. Disabling twice is disabling once.

        Raises:
            UserNotFoundError: there is none of that name (within that tenant).
            LastAdminError: nobody would be left who administers the platform.
        """
        with self.writing() as session:
            row = _row(session, name, within)
            if row.disabled_at is None:
                row.disabled_at = now_utc()
                if PlatformRole.PLATFORM_ADMIN in _user(session, row).roles:
                    _check_an_admin_is_left(session)
                _end_access(session, name)
                add_audit(session, actor, "user.disabled", row.tenant_id, reason=reason, after={"user": name})
            return _user(session, row)

    def enable_user(
        self, name: str, actor: str, within: str | None = None, reason: str | None = None
    ) -> User:
        """Let a disabled user sign in again.

        Raises:
            UserNotFoundError: there is none of that name (within that tenant).
        """
        with self.writing() as session:
            row = _row(session, name, within)
            if row.disabled_at is not None:
                row.disabled_at = None
                add_audit(session, actor, "user.enabled", row.tenant_id, reason=reason, after={"user": name})
            return _user(session, row)

    def reset_password(self, name: str, actor: str, within: str | None = None) -> str:
        """A new password, shown this once; the user's sessions and access tokens end.

        Raises:
            UserNotFoundError: there is none of that name (within that tenant).
        """
        with self.reading() as session:
            _row(session, name, within)
        password = new_password()
        password_hash = hash_password(password)
        with self.writing() as session:
            row = _row(session, name, within)
            row.password_hash = password_hash
            _end_access(session, name)
            add_audit(session, actor, "user.password_reset", row.tenant_id, after={"user": name})
        return password

    def give_role(self, name: str, role: str, actor: str, within: str | None = None) -> User:
        """Give a user a role, of its tenant's or of the platform's; giving twice is giving once.

        Raises:
            UserNotFoundError: there is none of that name (within that tenant).
            ContractError: the role is not one that this user can have.
        """
        return self._change_role(name, role, actor, within, is_given=True)

    def take_role(self, name: str, role: str, actor: str, within: str | None = None) -> User:
        """Take a role from a user; taking twice is taking once.

        Raises:
            UserNotFoundError: there is none of that name (within that tenant).
            ContractError: the role is not one that this user can have.
            LastAdminError: nobody would be left who administers the platform.
        """
        return self._change_role(name, role, actor, within, is_given=False)

    def _change_role(self, name: str, role: str, actor: str, within: str | None, *, is_given: bool) -> User:
        with self.writing() as session:
            row = _row(session, name, within)
            _check_role(role, row.tenant_id)
            before = _user(session, row)
            held = session.get(UserRoleRow, (name, row.tenant_id or ON_PLATFORM, role))
            if (held is not None) is is_given:
                return before
            if held is None:
                session.add(UserRoleRow(user_name=name, tenant_id=row.tenant_id or ON_PLATFORM, role=role))
            else:
                session.delete(held)
            session.flush()
            if held is not None and role == PlatformRole.PLATFORM_ADMIN:
                _check_an_admin_is_left(session)
            after = _user(session, row)
            revoke_subject(session, f"user:{name}")
            verb = "user.role_given" if is_given else "user.role_taken"
            add_audit(session, actor, verb, row.tenant_id, before=_seen(before), after=_seen(after))
            return after


def _add(
    session: Session,
    name: str,
    tenant_id: str | None,
    *,
    password_hash: str,
    roles: tuple[str, ...],
    actor: str,
) -> UserRow:
    row = UserRow(
        name=name,
        tenant_id=tenant_id,
        password_hash=password_hash,
        created_at=now_utc(),
        created_by=actor,
        disabled_at=None,
    )
    session.add(row)
    session.flush()
    for role in sorted(set(roles)):
        session.add(UserRoleRow(user_name=name, tenant_id=tenant_id or ON_PLATFORM, role=str(role)))
    add_audit(session, actor, "user.created", tenant_id, after=_seen(_user(session, row)))
    return row


def _row(session: Session, name: str, within: str | None) -> UserRow:
    row = session.get(UserRow, name)
    if row is None or (within is not None and row.tenant_id != within):
        where = "" if within is None else f" of tenant {within}"
        raise UserNotFoundError(f"there is no such user{where}; list the users to see who there is")
    return row


def _check_role(role: str, tenant_id: str | None) -> None:
    known = set(PlatformRole if tenant_id is None else TenantRole)
    if role not in known:
        whose = "the platform" if tenant_id is None else f"tenant {tenant_id}"
        raise ContractError(f"{role!r} is no role of {whose}'s users; use one of {', '.join(sorted(known))}")


def _check_an_admin_is_left(session: Session) -> None:
    session.flush()
    admins = select(UserRow.name).join(UserRoleRow, UserRoleRow.user_name == UserRow.name)
    admins = admins.where(UserRow.disabled_at.is_(None), UserRoleRow.role == PlatformRole.PLATFORM_ADMIN)
    if session.scalar(admins.limit(1)) is None:
        raise LastAdminError("this is the last platform_admin; give somebody else the role first")


def _count(session: Session, tenant_id: str | None) -> int:
    return session.scalar(select(func.count()).where(UserRow.tenant_id == tenant_id)) or 0


def _end_access(session: Session, name: str) -> None:
    revoke_user_sessions(session, name)
    revoke_subject(session, f"user:{name}")


def _user(session: Session, row: UserRow) -> User:
    roles = select(UserRoleRow.role).where(UserRoleRow.user_name == row.name).order_by(UserRoleRow.role)
    return User(
        row.name,
        row.tenant_id,
        tuple(session.scalars(roles)),
        row.created_at,
        row.created_by,
        row.disabled_at,
    )


def _seen(user: User) -> dict[str, Any]:
    return {"user": user.name, "tenant_id": user.tenant_id, "roles": list(user.roles)}
