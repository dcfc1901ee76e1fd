"""`/v1/tenants/{tenant}/quotas`, `…/quota-alerts`, and `/v1/quota-alerts` of all tenants for the platform's people.

Enforcing is elsewhere: events at the door, pulled bytes and users where they are asked for.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from control_plane.context import Actor, Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from control_plane.quota_messages import QuotaAlertPage, QuotaChange, QuotasOut, alert_page, quotas_out

After = Annotated[int, Query(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}",
    tags=["quotas"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)
platform_router = APIRouter(
    prefix="/v1/quota-alerts",
    tags=["quotas"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 422, 503),
)


@router.get("/quotas", openapi_extra=needs("quota:read"))
def show_quotas(tenant_id: TenantId, plane: Plane) -> QuotasOut:
    """The tenant's limits."""
    return quotas_out(tenant_id, plane.registry.get(tenant_id).plan, plane.registry.quotas(tenant_id))


@router.patch("/quotas", openapi_extra=needs("quota:set"), responses=responses(400, 413))
def set_quotas(tenant_id: TenantId, body: QuotaChange, plane: Plane, actor: Actor) -> QuotasOut:
    """Set limits for this tenant; the door enforces them within `UNMOGROWP_KEY_CACHE_S` seconds."""
    limits = plane.registry.set_quotas(tenant_id, body.limits.changes(), actor, body.reason)
    return quotas_out(tenant_id, plane.registry.get(tenant_id).plan, limits)


@router.get("/quota-alerts", openapi_extra=needs("quota:read"))
def list_quota_alerts(
    tenant_id: TenantId, plane: Plane, after: After = 0, limit: Limit = 100
) -> QuotaAlertPage:
    """When the tenant reached 80 and 100 % of a quota, oldest first."""
    return alert_page(plane.registry.quota_alerts(tenant_id, after_id=after, limit=limit + 1), limit)


@platform_router.get("", openapi_extra=needs("quota:list_alerts"))
def list_all_quota_alerts(plane: Plane, after: After = 0, limit: Limit = 100) -> QuotaAlertPage:
    """The same of every tenant."""
    return alert_page(plane.registry.quota_alerts(after_id=after, limit=limit + 1), limit)
