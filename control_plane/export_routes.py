"""`/v1/exports…`: finished marts of the tenant that `X-Tenant-ID` names, for it and whoever may read them."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from control_plane.context import DecidedTenant, Plane
from control_plane.export_formats import MEDIA_TYPES, Format, streamed, wanted_format
from control_plane.export_shelf import MART_PATTERN, export_of, exports_of, open_part
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import ExportFile, ExportOut, ExportPage
from control_plane.problems import responses
from resources.registry.records import TENANT_ID_PATTERN

_FILE_CONTENT = {
    MEDIA_TYPES["parquet"]: {"schema": {"type": "string", "format": "binary"}},
    MEDIA_TYPES["arrow"]: {"schema": {"type": "string", "format": "binary"}},
    MEDIA_TYPES["json"]: {"schema": {"type": "array", "items": {"type": "object"}}},
    MEDIA_TYPES["csv"]: {"schema": {"type": "string"}},
}
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
        200: {"content": _FILE_CONTENT, "description": "the rows of one file of the export"},
        **responses(404, 406, 429, 503),
    },
)
def pull_export(
    mart: Annotated[str, Path(pattern=MART_PATTERN, examples=["installs"])],
    date: dt.date,
    *,
    plane: Plane,
    tenant_id: DecidedTenant,
    request: Request,
    part: Annotated[int, Query(ge=0, le=999_999, description="which of the export's files")] = 0,
    kind: Annotated[
        Format | None, Query(alias="format", description="wins over `Accept`; without both, parquet")
    ] = None,
) -> Response:
    """One file of the tenant's export of this mart and date; `X-Export-Parts` says how many there are.

    Streamed in the format that `format` or `Accept` asks for; the rows are the same in each. CSV is for programs: text
    that a spreadsheet would run as a formula stays as it is.
    """
    chosen = kind or wanted_format(request.headers.get("accept", "*/*"))
    if chosen is None:
        raise HTTPException(
            406, f"an export comes as one of {', '.join(MEDIA_TYPES.values())}; accept one of them"
        )
    export = export_of(plane.exports, tenant_id, mart, date)
    file = None if export is None else open_part(plane.exports, tenant_id, export, part)
    if export is None or file is None:
        raise HTTPException(404, "there is no such export; list the exports to see what there is")
    now = dt.datetime.now(dt.UTC)
    with ExitStack() as until_streamed:
        until_streamed.callback(file.close)
        plane.registry.charge_pulled_bytes(tenant_id, now.date(), export.files[part].size_bytes, now)
        until_streamed.pop_all()
    sha256 = export.files[part].sha256
    headers = {
        "ETag": f'"{sha256}"' if chosen == "parquet" else f'"{sha256}-{chosen}"',
        "Vary": "Accept",
        "X-Export-Parts": str(len(export.files)),
        "X-Export-Restatement": str(export.restatement),
        "X-Export-Rows": str(export.files[part].rows),
    }
    return StreamingResponse(streamed(file, chosen), media_type=MEDIA_TYPES[chosen], headers=headers)
