"""What SKAdNetwork conversion values stand for: a tenant's documents per app, versioned by the day they hold from.

A document is `schemas/skan/conversions.json`; `resources.skan.conversions` validates and reads it. Versions are
added and never changed: what a day's postbacks meant stays known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.errors import ConversionSchemaError, TenantStateError
from resources.registry.records import SkanSchemaVersion
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.states import TenantState
from resources.registry.tables import SkanSchemaRow
from resources.skan.conversions import ConversionSchema


class SkanStore(Sessions):
    """Questions and changes of conversion documents."""

    def add_skan_schema(
        self,
        tenant_id: str,
        document: Mapping[str, Any],
        effective_from: dt.date,
        actor: str,
        reason: str | None = None,
    ) -> SkanSchemaVersion:
        """Write down what an app's conversion values stand for from a day on.

        The document that is in force on that day anyway, and stays in force, is no new version.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: the tenant is being deleted or is deleted.
            ConversionSchemaError: the document is not valid, or its money is not the tenant's.
        """
        schema = ConversionSchema.of(document)
        with self.writing() as session:
            tenant = tenant_row(session, tenant_id, lock=True)
            if tenant.state in {TenantState.DELETING, TenantState.DELETED}:
                raise TenantStateError(f"tenant {tenant_id} is {tenant.state} and takes no documents")
            if schema.currency != tenant.currency:
                raise ConversionSchemaError(
                    f"/currency must be {tenant.currency}, in which tenant {tenant_id} counts its money: "
                    "convert the document's amounts",
                    "/currency",
                )
            versions = _rows(session, tenant_id, schema.app_id)
            latest = versions[-1] if versions else None
            if (
                latest
                and latest.content_hash == schema.content_hash
                and latest.effective_from <= effective_from
            ):
                return _version(latest)
            row = SkanSchemaRow(
                tenant_id=tenant_id,
                store_app_id=schema.app_id,
                version=latest.version + 1 if latest else 1,
                content_hash=schema.content_hash,
                document=dict(document),
                effective_from=effective_from,
                created_at=now_utc(),
                created_by=actor,
                reason=reason,
            )
            session.add(row)
            before = _audited(latest) if latest else {}
            add_audit(
                session,
                actor,
                "skan_schema.added",
                tenant_id,
                reason=reason,
                before=before,
                after=_audited(row),
            )
            return _version(row)

    def skan_schemas(self, tenant_id: str, store_app_id: int | None = None) -> tuple[SkanSchemaVersion, ...]:
        """Every version, by app and version; of one app when given.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        with self.reading() as session:
            tenant_row(session, tenant_id)
            return tuple(_version(row) for row in _rows(session, tenant_id, store_app_id))


def _rows(session: Session, tenant_id: str, store_app_id: int | None) -> list[SkanSchemaRow]:
    query = select(SkanSchemaRow).where(SkanSchemaRow.tenant_id == tenant_id)
    if store_app_id is not None:
        query = query.where(SkanSchemaRow.store_app_id == store_app_id)
    return list(session.scalars(query.order_by(SkanSchemaRow.store_app_id, SkanSchemaRow.version)))


def _audited(row: SkanSchemaRow) -> dict[str, Any]:
    """What the audit trail keeps: the document is in its own table for ever, named here by its hash."""
    return {
        "app_id": row.store_app_id,
        "version": row.version,
        "content_hash": row.content_hash,
        "effective_from": row.effective_from.isoformat(),
    }


def _version(row: SkanSchemaRow) -> SkanSchemaVersion:
    return SkanSchemaVersion(
        tenant_id=row.tenant_id,
        store_app_id=row.store_app_id,
        version=row.version,
        content_hash=row.content_hash,
        document=row.document,
        effective_from=row.effective_from,
        created_at=row.created_at,
        created_by=row.created_by,
        reason=row.reason,
    )
