"""The audit trail in the registry: entries are added and read, never changed (triggers see to it).

How entries are chained is `audit_chain`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from resources.registry.audit_chain import AuditHead, ChainedEntry, ChainVerdict, check_chain
from resources.registry.records import AuditEntry
from resources.registry.sessions import Sessions, add_audit
from resources.registry.tables import AuditHeadRow, AuditRow

ROWS_AT_A_TIME = 1000  # of a walk along the trail: some 500 kB in memory


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; what is None does not matter. `action` is a whole name or a prefix before a dot."""

    tenant_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class AuditStore(Sessions):
    """Adding to, reading and verifying the audit trail."""

    def record(
        self,
        actor: str,
        action: str,
        tenant_id: str | None = None,
        *,
        reason: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one audit entry for something done outside the registry. Never pass secrets or PII."""
        with self.writing() as session:
            add_audit(session, actor, action, tenant_id, reason=reason, before=before, after=after)

    def audit(
        self,
        tenant_id: str | None = None,
        *,
        after_id: int = 0,
        limit: int = 100,
        wanted: AuditFilter | None = None,
    ) -> tuple[AuditEntry, ...]:
        """Entries with an id above `after_id`, oldest first; of one tenant when given, and as `wanted` says."""
        query = _filtered(wanted or AuditFilter())
        if tenant_id is not None:
            query = query.where(AuditRow.tenant_id == tenant_id)
        query = query.where(AuditRow.audit_id > after_id).order_by(AuditRow.audit_id).limit(limit)
        with self.reading() as session:
            return tuple(_entry(row) for row in session.scalars(query))

    def verify_audit(self, known: Mapping[int, str] | None = None) -> ChainVerdict:
        """Walk the whole trail: what was edited, removed, added or cut off.

        Args:
            known: id → hash of entries seen at an earlier look: an older copy of the whole database, put back with
                its head, is found by them alone.
        """
        with Session(self._engine) as session:
            if (
                session.get_bind().dialect.name == "postgresql"
            ):  # else entries written meanwhile have no head yet
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            row = session.get(AuditHeadRow, 1)
            head = None if row is None else AuditHead(row.audit_id, row.hash, row.signature)
            return check_chain(_chained(session), head, self.signing_key, known)


def _filtered(wanted: AuditFilter) -> Select[AuditRow]:
    query = select(AuditRow)
    if wanted.tenant_id is not None:
        query = query.where(AuditRow.tenant_id == wanted.tenant_id)
    if wanted.actor is not None:
        query = query.where(AuditRow.actor == wanted.actor)
    if wanted.action is not None:
        is_below = AuditRow.action.startswith(f"{wanted.action}.", autoescape=True)
        query = query.where((AuditRow.action == wanted.action) | is_below)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    return query


def _chained(session: Session) -> Iterator[ChainedEntry]:
    """Every entry by id, a thousand at a time."""
    query = select(AuditRow).order_by(AuditRow.audit_id).execution_options(yield_per=ROWS_AT_A_TIME)
    for row in session.scalars(query):
        yield ChainedEntry(*(getattr(row, name) for name in ChainedEntry.__slots__))


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(*(getattr(row, name) for name in AuditEntry.__slots__))
