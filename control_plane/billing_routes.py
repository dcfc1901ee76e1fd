"""`/v1/tenants/{tenant}/usage` and `…/invoices`: what a tenant used, and what it costs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path, Query

from control_plane.context import ControlPlane, Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import WrittenDate
from control_plane.problems import responses
from control_plane.quota_messages import InvoiceList, InvoiceOut, UsageDayOut, UsageOut, invoice_out
from resources.billing import MONTH_PATTERN
from resources.errors import ContractError
from resources.invoices import Billing
from resources.lake_filters import day_shifted
from resources.usage import usage_of

ACTOR = "billing"  # closes a month that has become final, whoever reads it first
DAYS_SHOWN = 31
DAYS_MAX = 366

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}",
    tags=["billing"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/usage", openapi_extra=needs("usage:read"))
def show_usage(
    tenant_id: TenantId,
    plane: Plane,
    first: Annotated[WrittenDate | None, Query(alias="from", description="event date, UTC")] = None,
    last: Annotated[WrittenDate | None, Query(alias="to", description="without it, today")] = None,
) -> UsageOut:
    """What was metered of each event date, ascending; without `from`, of the last 31 days."""
    until = last or dt.datetime.now(dt.UTC).date()
    begin = first or day_shifted(until, 1 - DAYS_SHOWN)
    if not begin <= until or (until - begin).days >= DAYS_MAX:
        raise ContractError(f"`from` is no later than `to`, and they are at most {DAYS_MAX} days")
    days = usage_of(plane.clickhouse, tenant_id, begin, until)
    return UsageOut(tenant_id=tenant_id, days=[UsageDayOut.model_validate(day) for day in days])


@router.get("/invoices", openapi_extra=needs("invoice:read"))
def list_invoices(tenant_id: TenantId, plane: Plane) -> InvoiceList:
    """Every month since the tenant was requested, the newest first; the running ones are drafts."""
    found = _billing(plane).invoices(tenant_id, dt.datetime.now(dt.UTC).date())
    return InvoiceList(items=[invoice_out(billed) for billed in found])


@router.get("/invoices/{month}", openapi_extra=needs("invoice:read"))
def show_invoice(
    tenant_id: TenantId,
    plane: Plane,
    month: Annotated[str, Path(pattern=MONTH_PATTERN, examples=["2026-11"])],
) -> InvoiceOut:
    """One month's invoice."""
    return invoice_out(_billing(plane).invoice(tenant_id, month, dt.datetime.now(dt.UTC).date()))


def _billing(plane: ControlPlane) -> Billing:
    return Billing(plane.registry, plane.clickhouse, plane.settings.late_days, ACTOR)
