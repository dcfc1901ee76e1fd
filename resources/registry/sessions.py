"""Transactions of the registry and the two helpers every store needs: find a tenant, add an audit entry.

Writers go one after the other, on SQLite by its write lock and on PostgreSQL by an advisory one: that makes the
audit trail one chain, and there are few of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from resources.errors import AuditTrailError, ServiceUnavailableError, TenantNotFoundError
from resources.registry import engine as engines
from resources.registry.audit_chain import entry_hash, head_signature, stored_json
from resources.registry.tables import AuditHeadRow, AuditRow, TenantRow

SIGNING_KEY = "audit_signing_key"  # in a session's `info`


class Sessions:
    """Opens short transactions on the registry's database; the base of its stores."""

    def __init__(self, database_url: str, audit_key: Callable[[], bytes] | None = None) -> None:
        """Open no connection yet.

        Args:
            database_url: of SQLite or PostgreSQL.
            audit_key: gives the key that signs the audit trail's head, when first needed. Without it the head
                is left unsigned, which `verify_audit` reports: only tests do without.
        """
        self._engine = engines.open_engine(database_url)
        self._writing_engine = self._engine.execution_options(**{engines.WRITES: True})
        self._audit_key = audit_key

    @cached_property
    def signing_key(self) -> bytes | None:
        """What signs the audit trail's head, if anything."""
        return None if self._audit_key is None else self._audit_key()

    def migrate(self) -> None:
        """Bring the schema to the newest revision; several processes may call this at once."""
        engines.migrate(self._engine, self._audit_key and (lambda: self.signing_key))

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
        info = {SIGNING_KEY: lambda: self.signing_key}
        with Session(self._writing_engine, expire_on_commit=False, info=info) as session, session.begin():
            engines.wait_for_turn(session.connection())
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
    """Add an audit entry to the transaction, so that it exists exactly when the change does.

    Raises:
        AuditTrailError: the trail's head is missing: somebody removed it.
    """
    head = session.get(AuditHeadRow, 1)
    if head is None:
        raise AuditTrailError(
            "the audit trail has no head: somebody removed it; restore a backup of the registry"
        )
    entry: dict[str, Any] = {
        "audit_id": head.audit_id + 1,
        "at": now_utc(),
        "actor": actor,
        "action": action,
        "tenant_id": tenant_id,
        "reason": reason,
        "before": stored_json(before),
        "after": stored_json(after),
        "previous_hash": head.hash,
    }
    newest_hash = entry_hash(**entry)
    session.add(AuditRow(**entry, hash=newest_hash))
    key = session.info[SIGNING_KEY]()
    head.audit_id, head.hash = head.audit_id + 1, newest_hash
    head.signature = "" if key is None else head_signature(key, head.audit_id, newest_hash)


def now_utc() -> dt.datetime:
    """The moment now, in UTC."""
    return dt.datetime.now(dt.UTC)
