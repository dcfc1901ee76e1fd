"""Tables of destinations, their circuits, and deliveries that are not done. The registry's other tables: `tables`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Date, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from resources.registry.tables import Base, UtcDateTime


class DestinationRow(Base):
    """One row per destination ever registered beside a tenant's plane; secrets are sealed, gone when removed."""

    __tablename__ = "registry_destinations"

    destination_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    sealed_secrets: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime())
    created_by: Mapped[str] = mapped_column(String(200))
    removed_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime())


class CircuitRow(Base):
    """One row per destination (or plane) that has failed since its last success."""

    __tablename__ = "registry_circuits"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"), primary_key=True)
    destination_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    opens: Mapped[int] = mapped_column(Integer)
    opened_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime())
    retry_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime())
    reason: Mapped[str] = mapped_column(Text)


class DeliveryRow(Base):
    """One row per (destination, mart, date) that failed and is not delivered since: waiting, or dead."""

    __tablename__ = "registry_deliveries"
    __table_args__ = (Index("ix_registry_deliveries_state_next_try_at", "state", "next_try_at"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"), primary_key=True)
    destination_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    mart: Mapped[str] = mapped_column(String(63), primary_key=True)
    date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(String(16), unique=True)
    state: Mapped[str] = mapped_column(String(10))
    content_sha256: Mapped[str] = mapped_column(String(64))
    restatement: Mapped[int] = mapped_column(Integer)
    idempotency_key: Mapped[str] = mapped_column(String(255))
    run_id: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    first_failed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime())
    last_failed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime())
    next_try_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime())
