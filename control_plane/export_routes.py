"""`/v1/exports…`: finished marts of the tenant that `X-Tenant-ID` names, for it and whoever may read them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from control_plane.context import DecidedTenant, Plane
from control_plane.export_shelf import MART_PATTERN, export_of, exports_of, read_part
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import ExportFile, ExportOut, ExportPage
from control_plane.problems import responses
from resources.registry.records import TENANT_ID_PATTERN

PARQUET = "application/vnd.apache.parquet"

_TENANT_HEADER = {
    "name": "X-Tenant-ID",
    "in": "header",
    "required": True,
    "description": "whose exports; with an export key its own tenant",
    "schema": {"type": "string", "pattern": TENANT_ID_PATTERN},
}
router = APIRouter(
    prefix="/v1/exports", tags=["exports"], route_class=GuardedRoute, responses=responses(401, 403, 422, 503)
)


@router.get(
    "", openapi_extra=needs("export:list") | {"parameters": [_TENANT_HEADER]}, responses=responses(404)
)
def list_exports(
    plane: Plane,
    tenant_id: DecidedTenant,
    after: Annotated[str, Query(pattern=r"^([a-z0-9_]{1,63}/\d{4}-\d{2}-\d{2})?$")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ExportPage:
    """The tenant's exports by mart and date, each with what its manifest lists."""
    exports, following = exports_of(plane.exports, tenant_id, after, limit)
    items = [
        ExportOut(
            mart=export.mart,
            date=export.date,
            restatement=export.restatement,
            files=[ExportFile.model_validate(file) for file in export.files],
        )
        for export in exports
    ]
    return ExportPage(items=items, next=following)


@router.get(
    "/{mart}/{date}",
    openapi_extra=needs("export:pull") | {"parameters": [_TENANT_HEADER]},
    response_class=Response,
    responses={
        200: {"content": {PARQUET: {}}, "description": "one Parquet file"},
        **responses(404, 429, 503),
    },
)
def pull_export(
    mart: Annotated[str, Path(pattern=MART_PATTERN, examples=["installs"])],
    date: dt.date,
    plane: Plane,
    tenant_id: DecidedTenant,
    part: Annotated[int, Query(ge=0, le=999_999, description="which of the export's files")] = 0,
) -> Response:
    """One file of the tenant's export of this mart and date; `X-Export-Parts` says how many there are."""
    export = export_of(plane.exports, tenant_id, mart, date)
    content = None if export is None else read_part(plane.exports, tenant_id, export, part)
    if export is None or content is None:
        raise HTTPException(404, "there is no such export; list the exports to see what there is")
    now = dt.datetime.now(dt.UTC)
    plane.registry.charge_pulled_bytes(tenant_id, now.date(), len(content), now)
    headers = {
        "ETag": f'"{export.files[part].sha256}"',
        "X-Export-Parts": str(len(export.files)),
        "X-Export-Restatement": str(export.restatement),
    }
    return Response(content, media_type=PARQUET, headers=headers)
