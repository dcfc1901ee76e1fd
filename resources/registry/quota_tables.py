"""Tables of quotas, of what is told about them, and of invoices. The registry's other tables are in `tables`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, Date, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from resources.registry.tables import Base, UtcDateTime


class QuotaRow(Base):
    """One row per quota of a tenant that is not its plan's."""

    __tablename__ = "registry_quotas"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"), primary_key=True)
    quota: Mapped[str] = mapped_column(String(30), primary_key=True)
    limit: Mapped[int] = mapped_column("limit_value", BigInteger)


class QuotaAlertRow(Base):
    """One row per tenant, quota, period and share of the limit that was reached: told once, kept."""

    __tablename__ = "registry_quota_alerts"
    __table_args__ = (
        Index("ix_registry_quota_alerts_once", "tenant_id", "quota", "period", "share_percent", unique=True),
    )

    alert_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"))
    quota: Mapped[str] = mapped_column(String(30))
    period: Mapped[str] = mapped_column(String(10))
    share_percent: Mapped[int] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(BigInteger)
    limit: Mapped[int] = mapped_column("limit_value", BigInteger)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime())


class PulledBytesRow(Base):
    """One row per tenant and day of UTC: bytes of exports that were handed out."""

    __tablename__ = "registry_pulled_bytes"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"), primary_key=True)
    date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    pulled_bytes: Mapped[int] = mapped_column(BigInteger)


class InvoiceRow(Base):
    """One row per final invoice. Triggers refuse UPDATE and DELETE: what was billed stays."""

    __tablename__ = "registry_invoices"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("registry_tenants.tenant_id"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    closed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime())
