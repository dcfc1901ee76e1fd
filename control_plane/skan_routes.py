"""`/v1/tenants/{tenant}/skan-schemas`: what the conversion values in a tenant's postbacks stand for.

The platform writes; a tenant reads its own. Nothing is computed again here: dates that
are materialised already keep their rows until they are materialised once more (`unmogrowp backfill`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from control_plane.context import Actor, Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from control_plane.skan_messages import SkanSchemaOut, SkanSchemaPage, SkanSchemaRequest

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/skan-schemas",
    tags=["skan"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("", openapi_extra=needs("skan:read"))
def list_skan_schemas(
    plane: Plane,
    tenant_id: TenantId,
    app: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="App Store id; without it, every app")
    ] = None,
    after: Annotated[
        str, Query(pattern=r"^(\d{1,19}/\d{1,9})?$", description="`next` of the page before")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> SkanSchemaPage:
    """Every version. On a day the highest of an app that is effective by then applies."""
    begin = tuple(int(part) for part in after.split("/")) if after else (0, 0)
    found = [
        one for one in plane.registry.skan_schemas(tenant_id, app) if (one.store_app_id, one.version) > begin
    ]
    page = found[:limit]
    following = f"{page[-1].store_app_id}/{page[-1].version}" if len(found) > limit else None
    return SkanSchemaPage(items=[SkanSchemaOut.model_validate(one) for one in page], next=following)


@router.post("", openapi_extra=needs("skan:write"), responses=responses(400, 409, 413))
def add_skan_schema(
    tenant_id: TenantId, body: SkanSchemaRequest, plane: Plane, actor: Actor
) -> SkanSchemaOut:
    """Read an app's postbacks by this document from a day on; where it is so already, that version is the answer."""
    added = plane.registry.add_skan_schema(tenant_id, body.document, body.effective_from, actor, body.reason)
    return SkanSchemaOut.model_validate(added)
