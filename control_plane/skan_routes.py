"""`/v1/tenants/{tenant}/skan-schemas`: what the conversion values in a tenant's postbacks stand for.

The administrator writes; a tenant reads its own with its export key. Nothing is computed again here: dates that
are materialised already keep their rows until they are materialised once more (`unmogrowp backfill`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from control_plane.context import Admin, Plane, ReadTenant
from control_plane.problems import responses
from control_plane.skan_messages import SkanSchemaList, SkanSchemaOut, SkanSchemaRequest
from resources.registry.records import TENANT_ID_PATTERN

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/skan-schemas", tags=["skan"], responses=responses(401, 403, 404, 422)
)

TenantId = Annotated[str, Path(pattern=TENANT_ID_PATTERN, examples=["t123"])]


@router.get("")
def list_skan_schemas(
    plane: Plane,
    tenant_id: ReadTenant,
    app: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="App Store id; without it, every app")
    ] = None,
) -> SkanSchemaList:
    """Every version. On a day the highest of an app that is effective by then applies."""
    found = plane.registry.skan_schemas(tenant_id, app)
    return SkanSchemaList(items=[SkanSchemaOut.model_validate(one) for one in found])


@router.post("", responses=responses(400, 409, 413))
def add_skan_schema(
    tenant_id: TenantId, body: SkanSchemaRequest, plane: Plane, actor: Admin
) -> SkanSchemaOut:
    """Read an app's postbacks by this document from a day on; where it is so already, that version is the answer."""
    added = plane.registry.add_skan_schema(tenant_id, body.document, body.effective_from, actor, body.reason)
    return SkanSchemaOut.model_validate(added)
