"""Databases of planes on one PostgreSQL server: a role per tenant, and a database or a schema that it owns.

What is in them is the plane's own (`tenant_plane.database`). Names are made of tenant ids, which hold letters,
digits and underscores alone; they are quoted all the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from resources.errors import ServiceUnavailableError

SHARED_DATABASE = "unmogrow_tenants"  # of plan starter: a schema for each
SHARED_PLANS = frozenset({"starter"})
LOCK_ID = 0x756E6D6F  # "unmo": creating a database that is being created fails otherwise


class PlaneDatabases:
    """The tenants' databases on the server of `admin_url` (its user may create roles and databases)."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = sa.make_url(admin_url).set(drivername="postgresql+psycopg")

    def ensure(self, tenant_id: str, plan: str, kept_url: str | None) -> str:
        """Make what is missing; the URL for the plane. A URL that is kept already stays, password included.

        Raises:
            ServiceUnavailableError: the server does not answer or refuses.
        """
        role, is_shared = role_of(tenant_id), plan in SHARED_PLANS
        database = SHARED_DATABASE if is_shared else role
        kept = sa.make_url(kept_url) if kept_url else None
        if kept is not None and kept.database:
            database = kept.database  # a tenant that changes its plan keeps its data where it is
            is_shared = database == SHARED_DATABASE
        password = (kept.password if kept else None) or secrets.token_urlsafe(24)
        with self._server(tenant_id) as connection:
            _ensure_role(connection, role, password)
            _ensure_database(connection, database, owner=None if is_shared else role)
        if is_shared:
            with self._server(tenant_id, database) as connection:
                quoted = _quoted(role)
                connection.execute(sa.text(f"GRANT CONNECT ON DATABASE {_quoted(database)} TO {quoted}"))
                connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {quoted} AUTHORIZATION {quoted}"))
        url = self._admin_url.set(username=role, password=password, database=database)
        if is_shared:
            url = url.update_query_dict({"options": f"-csearch_path={role}"})
        return url.render_as_string(hide_password=False)

    def drop(self, tenant_id: str) -> None:
        """Remove the tenant's database or schema, and its role; what is gone already stays gone.

        Raises:
            ServiceUnavailableError: the server does not answer or refuses.
        """
        role = role_of(tenant_id)
        quoted = _quoted(role)
        with self._server(tenant_id) as connection:
            shared_exists = _exists(connection, "pg_database", "datname", SHARED_DATABASE)
        if shared_exists:
            with self._server(tenant_id, SHARED_DATABASE) as connection:
                connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {quoted} CASCADE"))
                if _exists(connection, "pg_roles", "rolname", role):
                    shared = _quoted(SHARED_DATABASE)
                    connection.execute(sa.text(f"REVOKE ALL ON DATABASE {shared} FROM {quoted}"))
        with self._server(tenant_id) as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)"))
            connection.execute(sa.text(f"DROP ROLE IF EXISTS {quoted}"))

    @contextmanager
    def _server(self, tenant_id: str, database: str | None = None) -> Iterator[sa.Connection]:
        """A connection without transactions (CREATE DATABASE runs in none), one at a time per server."""
        url = self._admin_url.set(database=database) if database else self._admin_url
        engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT pg_advisory_lock(:id)"), {"id": LOCK_ID})
                yield connection
        except SQLAlchemyError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its database could not be prepared: {reason}; try again"
            ) from error
        finally:
            engine.dispose()


def role_of(tenant_id: str) -> str:
    """The role, and the database or schema that it owns."""
    return f"unmogrow_tenant_{tenant_id}"


def _ensure_role(connection: sa.Connection, role: str, password: str) -> None:
    known = _exists(connection, "pg_roles", "rolname", role)
    verb = "ALTER" if known else "CREATE"
    statement = f"{verb} ROLE {_quoted(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}'"
    connection.execute(sa.text(statement))  # token_urlsafe holds no quote


def _ensure_database(connection: sa.Connection, database: str, *, owner: str | None) -> None:
    if not _exists(connection, "pg_database", "datname", database):
        owned = f" OWNER {_quoted(owner)}" if owner else ""
        connection.execute(sa.text(f"CREATE DATABASE {_quoted(database)}{owned}"))
    connection.execute(sa.text(f"REVOKE ALL ON DATABASE {_quoted(database)} FROM PUBLIC"))


def _exists(connection: sa.Connection, catalog: str, column: str, name: str) -> bool:
    query = sa.select(sa.literal(1)).select_from(sa.text(catalog)).where(sa.column(column) == name)
    return connection.execute(query).first() is not None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
