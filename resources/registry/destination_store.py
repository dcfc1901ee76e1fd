"""Destinations beside a tenant's plane in the registry. Secrets come sealed and go with the destination.

What a destination's config may say, and how its secrets are sealed, is `resources.destinations`'s.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from resources.errors import DestinationNotFoundError, TenantStateError
from resources.registry.delivery_tables import CircuitRow, DeliveryRow, DestinationRow
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.states import TenantState

PLANE = "plane"  # the id under which circuits and deliveries know a tenant's own plane
DESTINATIONS_MAX = 10  # of a tenant: each export goes to every one of them


@dataclass(frozen=True, slots=True)
class Destination:
    """One destination of a tenant. Its secrets stay sealed, and out of `repr`."""

    destination_id: str
    tenant_id: str
    kind: str
    config: Mapping[str, Any]
    created_at: dt.datetime
    created_by: str
    sealed_secrets: bytes = field(repr=False)


def new_destination_id() -> str:
    """An id that nobody has; secrets are sealed for it before the destination is written down."""
    return secrets.token_hex(8)


class DestinationStore(Sessions):
    """Questions and changes of destinations."""

    def add_destination(
        self,
        tenant_id: str,
        *,
        destination_id: str,
        kind: str,
        config: Mapping[str, Any],
        sealed_secrets: bytes,
        actor: str,
    ) -> Destination:
        """Write a destination down.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: the tenant is being deleted, or has as many destinations as it may.
        """
        with self.writing() as session:
            tenant = tenant_row(session, tenant_id, lock=True)
            if tenant.state in {TenantState.DELETING, TenantState.DELETED}:
                raise TenantStateError(f"tenant {tenant_id} is {tenant.state} and gets no destinations")
            if len(_live(session, tenant_id)) >= DESTINATIONS_MAX:
                raise TenantStateError(
                    f"tenant {tenant_id} has {DESTINATIONS_MAX} destinations already; remove one first"
                )
            row = DestinationRow(
                destination_id=destination_id,
                tenant_id=tenant_id,
                kind=kind,
                config=dict(config),
                sealed_secrets=sealed_secrets,
                created_at=now_utc(),
                created_by=actor,
            )
            session.add(row)
            add_audit(session, actor, "destination.added", tenant_id, after=_audited(row))
            return _destination(row, sealed_secrets)

    def destinations(self, tenant_id: str) -> list[Destination]:
        """The tenant's destinations, oldest first.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        with self.reading() as session:
            tenant_row(session, tenant_id)
            rows = _live(session, tenant_id)
            return [_destination(row, row.sealed_secrets) for row in rows if row.sealed_secrets]

    def destination(self, tenant_id: str, destination_id: str) -> Destination:
        """One destination of the tenant.

        Raises:
            DestinationNotFoundError: the tenant has none of that id.
        """
        with self.reading() as session:
            row = _row(session, tenant_id, destination_id)
            return _destination(row, row.sealed_secrets or b"")

    def replace_destination_secrets(
        self, tenant_id: str, destination_id: str, sealed_secrets: bytes, actor: str
    ) -> None:
        """Put other sealed secrets into the place of the destination's.

        Raises:
            DestinationNotFoundError: the tenant has none of that id.
        """
        with self.writing() as session:
            row = _row(session, tenant_id, destination_id)
            row.sealed_secrets = sealed_secrets
            add_audit(session, actor, "destination.secret_rotated", tenant_id, after=_audited(row))

    def note_destination_test(self, tenant_id: str, destination_id: str, outcome: str, actor: str) -> None:
        """Keep in the audit trail that somebody had something sent there, and what came of it."""
        with self.writing() as session:
            row = _row(session, tenant_id, destination_id)
            after = {"destination_id": row.destination_id, "outcome": outcome}
            add_audit(session, actor, "destination.tested", tenant_id, after=after)

    def remove_destination(self, tenant_id: str, destination_id: str, actor: str) -> None:
        """Forget a destination's secrets, its circuit, and what was still to be delivered to it.

        Raises:
            DestinationNotFoundError: the tenant has none of that id.
        """
        with self.writing() as session:
            _remove(session, _row(session, tenant_id, destination_id), actor)

    def remove_all_destinations(self, tenant_id: str, actor: str) -> int:
        """Remove every destination of a tenant that goes, and what waits for its plane; how many there were."""
        with self.writing() as session:
            rows = _live(session, tenant_id)
            for row in rows:
                _remove(session, row, actor)
            _forget(session, tenant_id, PLANE)
            return len(rows)


def _live(session: Session, tenant_id: str) -> list[DestinationRow]:
    query = select(DestinationRow).where(
        DestinationRow.tenant_id == tenant_id, DestinationRow.removed_at.is_(None)
    )
    return list(session.scalars(query.order_by(DestinationRow.created_at, DestinationRow.destination_id)))


def _row(session: Session, tenant_id: str, destination_id: str) -> DestinationRow:
    row = session.get(DestinationRow, destination_id)
    if row is None or row.tenant_id != tenant_id or row.removed_at is not None:
        raise DestinationNotFoundError(
            f"tenant {tenant_id} has no such destination; list its destinations to see which there are"
        )
    return row


def _remove(session: Session, row: DestinationRow, actor: str) -> None:
    row.sealed_secrets, row.removed_at = None, now_utc()
    _forget(session, row.tenant_id, row.destination_id)
    add_audit(session, actor, "destination.removed", row.tenant_id, before=_audited(row))


def _forget(session: Session, tenant_id: str, destination_id: str) -> None:
    """Circuit and deliveries of a receiver."""
    for table in (CircuitRow, DeliveryRow):
        mine = (table.tenant_id == tenant_id, table.destination_id == destination_id)
        session.execute(delete(table).where(*mine))


def _audited(row: DestinationRow) -> dict[str, Any]:
    return {"destination_id": row.destination_id, "kind": row.kind, **row.config}


def _destination(row: DestinationRow, sealed_secrets: bytes) -> Destination:
    return Destination(
        destination_id=row.destination_id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        config=row.config,
        created_at=row.created_at,
        created_by=row.created_by,
        sealed_secrets=sealed_secrets,
    )
