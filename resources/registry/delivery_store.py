"""Deliveries that are not done. Sending is `resources.destinations`'s, the receivers' circuits `circuit_store`'s.

A delivery has a row from its first failure until it is delivered: waiting for its next try, or dead once its tries
are used up or the receiver refused it. Newer content of the same (destination, mart, date) takes the row over.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from resources.errors import DeliveryNotFoundError
from resources.registry.circuits import REASON_MAX_CHARS
from resources.registry.delivery_tables import DeliveryRow
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row

TRIES_MAX = 10
RETRY_FIRST = dt.timedelta(seconds=30)
RETRY_MAX = dt.timedelta(minutes=30)  # ten tries are over after two hours and a half
WAITS_MAX = dt.timedelta(hours=24)  # a delivery that an open circuit kept from being tried dies after this


class DeliveryState(StrEnum):
    """What becomes of a delivery that failed."""

    WAITING = "waiting"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """What is delivered where; one row each."""

    tenant_id: str
    destination_id: str
    mart: str
    date: dt.date


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed delivery: of which content, and why. `is_final`: trying again gives the same answer."""

    key: DeliveryKey
    content_sha256: str
    restatement: int
    idempotency_key: str
    run_id: str
    reason: str
    is_final: bool = False
    not_before: dt.datetime | None = None  # the receiver's circuit is open until then, and nothing was tried


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A delivery that failed, as the registry has it."""

    delivery_id: str
    tenant_id: str
    destination_id: str
    mart: str
    date: dt.date
    state: DeliveryState
    content_sha256: str
    restatement: int
    idempotency_key: str
    run_id: str
    reason: str
    attempts: int
    first_failed_at: dt.datetime
    last_failed_at: dt.datetime
    next_try_at: dt.datetime | None


class DeliveryStore(Sessions):
    """Failures, their retries and replays."""

    def delivery_failed(self, failure: Failure, now: dt.datetime | None = None) -> DeliveryState:
        """Note a failure; what becomes of the delivery."""
        moment = now or now_utc()
        with self.writing() as session:
            row = _row(session, failure.key)
            if row is not None and row.idempotency_key != failure.idempotency_key:
                session.delete(row)  # newer content: its own tries
                session.flush()
                row = None
            if row is None:
                row = _new_row(failure, moment)
                session.add(row)
            row.reason = failure.reason[:REASON_MAX_CHARS]
            row.run_id, row.last_failed_at = failure.run_id, moment
            if failure.not_before is None:
                row.attempts += 1
            row.state, row.next_try_at = _what_next(row, failure, moment)
            return DeliveryState(row.state)

    def delivery_done(self, key: DeliveryKey) -> None:
        """The receiver has it: nothing of it waits or is dead any more."""
        with self.reading() as session:
            if _row(session, key) is None:
                return
        with self.writing() as session:
            row = _row(session, key)
            if row is not None:
                session.delete(row)

    def due_tenants(self, now: dt.datetime | None = None) -> list[str]:
        """Tenants with a delivery whose next try has come."""
        query = select(DeliveryRow.tenant_id).where(*_is_due(now or now_utc()))
        with self.reading() as session:
            return sorted(set(session.scalars(query)))

    def due_deliveries(self, tenant_id: str, now: dt.datetime | None = None) -> list[Undelivered]:
        """The tenant's deliveries whose next try has come, oldest failure first."""
        query = select(DeliveryRow).where(DeliveryRow.tenant_id == tenant_id, *_is_due(now or now_utc()))
        with self.reading() as session:
            rows = session.scalars(query.order_by(DeliveryRow.first_failed_at, DeliveryRow.delivery_id))
            return [_undelivered(row) for row in rows]

    def undelivered(
        self, tenant_id: str, state: DeliveryState | None = None, after: str = "", limit: int = 1000
    ) -> list[Undelivered]:
        """Up to `limit` of the tenant's deliveries behind the id `after`, by id.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        query = select(DeliveryRow).where(DeliveryRow.tenant_id == tenant_id, DeliveryRow.delivery_id > after)
        if state is not None:
            query = query.where(DeliveryRow.state == state)
        with self.reading() as session:
            tenant_row(session, tenant_id)
            rows = session.scalars(query.order_by(DeliveryRow.delivery_id).limit(limit))
            return [_undelivered(row) for row in rows]

    def undelivered_one(self, tenant_id: str, delivery_id: str) -> Undelivered:
        """One delivery of the tenant.

        Raises:
            DeliveryNotFoundError: the tenant has none of that id, or it is delivered by now.
        """
        with self.reading() as session:
            return _undelivered(_by_id(session, tenant_id, delivery_id))

    def replay_delivery(self, tenant_id: str, delivery_id: str, actor: str) -> Undelivered:
        """Have a delivery tried again now, with all its tries; its idempotency key stays.

        Raises:
            DeliveryNotFoundError: the tenant has none of that id, or it is delivered by now.
        """
        moment = now_utc()
        with self.writing() as session:
            row = _by_id(session, tenant_id, delivery_id)
            before = {"state": row.state, "attempts": row.attempts}
            row.state, row.attempts = DeliveryState.WAITING, 0
            row.next_try_at = row.first_failed_at = moment  # the day that it may wait begins anew
            what = {
                "delivery_id": row.delivery_id,
                "destination_id": row.destination_id,
                "mart": row.mart,
                "date": row.date.isoformat(),
            }
            add_audit(session, actor, "delivery.replayed", tenant_id, before=before, after=what)
            return _undelivered(row)

    def delivery_counts(self) -> dict[tuple[str, str, DeliveryState], int]:
        """(tenant, destination, state) → how many deliveries."""
        columns = (DeliveryRow.tenant_id, DeliveryRow.destination_id, DeliveryRow.state)
        query = select(*columns, func.count()).group_by(*columns)
        with self.reading() as session:
            rows = session.execute(query).all()
        return {
            (tenant, destination, DeliveryState(state)): count for tenant, destination, state, count in rows
        }


def _is_due(now: dt.datetime) -> tuple[ColumnElement[bool], ...]:
    return (DeliveryRow.state == DeliveryState.WAITING, DeliveryRow.next_try_at <= now)


def _row(session: Session, key: DeliveryKey) -> DeliveryRow | None:
    return session.get(DeliveryRow, (key.tenant_id, key.destination_id, key.mart, key.date))


def _by_id(session: Session, tenant_id: str, delivery_id: str) -> DeliveryRow:
    query = select(DeliveryRow).where(
        DeliveryRow.tenant_id == tenant_id, DeliveryRow.delivery_id == delivery_id
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        raise DeliveryNotFoundError(
            f"tenant {tenant_id} has no such delivery: it was delivered since, or never failed; list them"
        )
    return row


def _new_row(failure: Failure, moment: dt.datetime) -> DeliveryRow:
    key = failure.key
    return DeliveryRow(
        tenant_id=key.tenant_id,
        destination_id=key.destination_id,
        mart=key.mart,
        date=key.date,
        delivery_id=secrets.token_hex(8),
        content_sha256=failure.content_sha256,
        restatement=failure.restatement,
        idempotency_key=failure.idempotency_key,
        attempts=0,
        first_failed_at=moment,
    )


def _what_next(
    row: DeliveryRow, failure: Failure, moment: dt.datetime
) -> tuple[DeliveryState, dt.datetime | None]:
    """Pure: the state after this failure, and when it is tried again."""
    is_used_up = row.attempts >= TRIES_MAX or moment - row.first_failed_at >= WAITS_MAX
    if failure.is_final or is_used_up:
        return DeliveryState.DEAD, None
    if failure.not_before is not None:
        return DeliveryState.WAITING, failure.not_before
    return DeliveryState.WAITING, moment + min(RETRY_FIRST * 2 ** (row.attempts - 1), RETRY_MAX)


def _undelivered(row: DeliveryRow) -> Undelivered:
    names = Undelivered.__slots__
    values = {name: getattr(row, name) for name in names}
    return Undelivered(**{**values, "state": DeliveryState(row.state)})
