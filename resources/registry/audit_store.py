"""The audit trail in the registry: entries are added and read, never changed (triggers see to it)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from resources.registry.records import AuditEntry
from resources.registry.sessions import Sessions, add_audit
from resources.registry.tables import AuditRow


class AuditStore(Sessions):
    """Adding to and reading the audit trail."""

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
        self, tenant_id: str | None = None, *, after_id: int = 0, limit: int = 100
    ) -> tuple[AuditEntry, ...]:
        """Entries with an id above `after_id`, oldest first; of one tenant when given."""
        query = select(AuditRow).where(AuditRow.audit_id > after_id).order_by(AuditRow.audit_id).limit(limit)
        if tenant_id is not None:
            query = query.where(AuditRow.tenant_id == tenant_id)
        with self.reading() as session:
            return tuple(
                AuditEntry(
                    row.audit_id,
                    row.at,
                    row.actor,
                    row.action,
                    row.tenant_id,
                    row.reason,
                    row.before,
                    row.after,
                )
                for row in session.scalars(query)
            )
