"""`/v1/tenants/{tenant}/traces/{conversion}`: why a conversion was credited as it was.

The platform's people read any tenant's, a tenant its own. Reading is `resources.traces`'s.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from control_plane.context import Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from control_plane.trace_messages import TraceOut
from resources.traces import read_trace

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/traces",
    tags=["traces"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/{conversion_id}", openapi_extra=needs("trace:read"))
def show_trace(
    plane: Plane,
    tenant_id: TenantId,
    conversion_id: Annotated[
        str,
        Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="event id of the install or session"),
    ],
) -> TraceOut:
    """The conversion, its candidate touches with verdict and reason (at most 500), and the rules that decided."""
    return TraceOut.model_validate(read_trace(plane.clickhouse, plane.registry, tenant_id, conversion_id))
