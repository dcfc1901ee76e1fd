"""Transactions of the registry and the two helpers every store needs: find a tenant, add an audit entry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from resources.errors import ServiceUnavailableError, TenantNotFoundError
from resources.registry import engine as engines
from resources.registry.tables import AuditRow, TenantRow


class Sessions:
    """Opens short transactions on the registry's database; the base of its stores."""

    def __init__(self, database_url: str) -> None:
        self._engine = engines.open_engine(database_url)
        self._writing_engine = self._engine.execution_options(**{engines.WRITES: True})

    def migrate(self) -> None:
        """Bring the schema to the newest revision; several processes may call this at once."""
        engines.migrate(self._engine)

    def ping(self) -> None:
        """Pass when the database answers.

        Raises:
            ServiceUnavailableError: it does not.
        """
        try:
            with self.reading() as session:
                session.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise ServiceUnavailableError("the registry's database does not answer; try again") from error

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that may write: committed at the end, rolled back on an exception."""
        with Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            yield session


def tenant_row(session: Session, tenant_id: str, *, lock: bool = False) -> TenantRow:
    """The tenant's row; with `lock`, nobody else changes it until this transaction ends.

    Raises:
        TenantNotFoundError: there is no such tenant.
    """
    row = session.get(TenantRow, tenant_id, with_for_update=lock or None)
    if row is None:
        raise TenantNotFoundError(
            f"tenant {tenant_id!r} is not in the registry; request it first, or list the known ones"
        )
    return row


def add_audit(
    session: Session,
    actor: str,
    action: str,
    tenant_id: str | None,
    *,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an audit entry to the transaction, so that it exists exactly when the change does."""
    session.add(
        AuditRow(
            at=now_utc(),
            actor=actor,
            action=action,
            tenant_id=tenant_id,
            reason=reason,
            before=dict(before or {}),
            after=dict(after or {}),
        )
    )


def now_utc() -> dt.datetime:
    """The moment now, in UTC."""
    return dt.datetime.now(dt.UTC)
