"""`/v1/tenants/{tenant}/ledger` and `…/quarantine`: what became of a tenant's deliveries.

The platform's people read any tenant's, a tenant its own. Bodies of refused events are never
here: opening one is `unmogrowp quarantine show`, which writes into the audit trail.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query

from control_plane.context import Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.ledger_messages import LedgerOut, QuarantineOut
from control_plane.problems import responses
from resources.lake_filters import day_shifted

AFTER_PATTERN = r"^(\d{1,17}/\w{1,64})?$"
REASON_CODE_PATTERN = r"^[a-z_]{1,63}$"
# Each asked day reads the ids of the whole late window around it: 31 days cost about what one does, 365 do not.
DAYS_MAX = 31

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}",
    tags=["ledger"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/ledger", openapi_extra=needs("ledger:read"))
def show_ledger(
    plane: Plane,
    tenant_id: TenantId,
    date: Annotated[dt.date | None, Query(description="event date, UTC; without it, today")] = None,
    days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="that many dates, up to `date`")] = 1,
) -> LedgerOut:
    """Received = clean + duplicate + not yet clean + quarantined, per event date and hour of receipt."""
    from resources.ledger_reader import ledger_now  # noqa: PLC0415 - polars: 0.4 CPU s of import

    last = date or dt.datetime.now(dt.UTC).date()
    dates = sorted({day_shifted(last, -number) for number in range(days)})
    ledger = ledger_now(plane.lake, tenant_id, dates, plane.settings.late_days)
    return LedgerOut.model_validate({"tenant_id": tenant_id, "days": [day.document() for day in ledger]})


@router.get("/quarantine", openapi_extra=needs("quarantine:read"))
def list_quarantine(
    *,
    plane: Plane,
    tenant_id: TenantId,
    first: Annotated[dt.date | None, Query(alias="from", description="first day received, UTC")] = None,
    last: Annotated[dt.date | None, Query(alias="to", description="last day received, UTC")] = None,
    reason: Annotated[str | None, Query(pattern=REASON_CODE_PATTERN)] = None,
    limit: Annotated[int, Query(ge=0, le=1000, description="rows, newest first")] = 100,
    after: Annotated[str, Query(pattern=AFTER_PATTERN, description="`next` of the page before")] = "",
) -> QuarantineOut:
    """Refused events: counts of all by reason, and a page of them, newest first, without what they held."""
    from resources import quarantine  # noqa: PLC0415 - as above

    wanted = quarantine.QuarantineFilter(tenant_id, first, last, reason)
    return QuarantineOut.model_validate(quarantine.list_quarantine(plane.lake, wanted, limit, after))
