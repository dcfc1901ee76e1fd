"""The circuits of deliveries' receivers, kept where every process sees them. When one opens, `circuits` says."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import delete, select, update

from resources.registry.circuits import Circuit, CircuitState
from resources.registry.delivery_store import DeliveryState
from resources.registry.delivery_tables import CircuitRow, DeliveryRow
from resources.registry.sessions import Sessions, now_utc


@dataclass(frozen=True, slots=True)
class CircuitRecord:
    """A circuit with whose it is."""

    tenant_id: str
    destination_id: str
    circuit: Circuit


class CircuitStore(Sessions):
    """Asking before something is sent, and telling what became of it."""

    def circuits(self, tenant_id: str | None = None) -> list[CircuitRecord]:
        """The circuits that are not closed without a failure, of one tenant or of all."""
        query = select(CircuitRow).order_by(CircuitRow.tenant_id, CircuitRow.destination_id)
        if tenant_id is not None:
            query = query.where(CircuitRow.tenant_id == tenant_id)
        with self.reading() as session:
            return [
                CircuitRecord(row.tenant_id, row.destination_id, _circuit(row))
                for row in session.scalars(query)
            ]

    def admit(
        self, tenant_id: str, destination_id: str, now: dt.datetime | None = None
    ) -> dt.datetime | None:
        """None when something may be sent now, which may be the one probe; else until when not."""
        moment = now or now_utc()
        with self.reading() as session:
            row = session.get(CircuitRow, (tenant_id, destination_id))
            if row is None or row.retry_at is None:
                return None
            if moment < row.retry_at:
                return row.retry_at
        with self.writing() as session:
            row = session.get(CircuitRow, (tenant_id, destination_id))
            if row is None or row.retry_at is None:
                return None
            if moment < row.retry_at:  # another process probes
                return row.retry_at
            row.retry_at = _circuit(row).probing(moment).retry_at
            return None

    def circuit_failed(
        self,
        tenant_id: str,
        destination_id: str,
        reason: str,
        weight: int = 1,
        now: dt.datetime | None = None,
    ) -> CircuitState:
        """Count a failure; where the circuit is then."""
        moment = now or now_utc()
        with self.writing() as session:
            row = session.get(CircuitRow, (tenant_id, destination_id))
            if row is None:
                row = CircuitRow(tenant_id=tenant_id, destination_id=destination_id)
                circuit = Circuit()
                session.add(row)
            else:
                circuit = _circuit(row)
            after = circuit.failed(moment, reason, weight)
            row.failures, row.opens, row.reason = after.failures, after.opens, after.reason
            row.opened_at, row.retry_at = after.opened_at, after.retry_at
            return after.state(moment)

    def circuit_succeeded(self, tenant_id: str, destination_id: str) -> None:
        """Close the circuit; what waited for it is due now."""
        with self.reading() as session:
            if session.get(CircuitRow, (tenant_id, destination_id)) is None:
                return
        with self.writing() as session:
            session.execute(
                delete(CircuitRow).where(
                    CircuitRow.tenant_id == tenant_id, CircuitRow.destination_id == destination_id
                )
            )
            session.execute(
                update(DeliveryRow)
                .where(
                    DeliveryRow.tenant_id == tenant_id,
                    DeliveryRow.destination_id == destination_id,
                    DeliveryRow.state == DeliveryState.WAITING,
                )
                .values(next_try_at=now_utc())
            )


def _circuit(row: CircuitRow) -> Circuit:
    return Circuit(row.failures, row.opens, row.opened_at, row.retry_at, row.reason)
