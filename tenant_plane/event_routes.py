"""`/api/v1/events/ingest`: the tenant's own app sends its events here. Thin: `relay` does the work."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tenant_plane.plane import DOCUMENTED_SECURITY, PlaneDep, event_sender, read_body
from tenant_plane.relay import check_tenant

router = APIRouter(prefix="/api/v1/events", tags=["events"], dependencies=DOCUMENTED_SECURITY)
_EVENTS = {
    "oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}],
    "description": "One event or an array of events, each valid against schemas/events/v1.",
}


@router.post(
    "/ingest",
    status_code=202,
    dependencies=[Depends(event_sender)],
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _EVENTS}}}},
)
async def ingest(request: Request, plane: PlaneDep) -> Response:
    """Relay one event, or an array, to the global plane with the write-only token.

    The answer is the door's own; while the door is away it is 202 `{"buffered": true}` once the body is safe
    on disk here, and 503 when the buffer is full.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type != "application/json":
        raise HTTPException(415, "send application/json: one event, or an array of events")
    body = await read_body(request, plane.settings.event_body_max_bytes)
    try:
        is_batch = await run_in_threadpool(check_tenant, body, plane.settings.id)
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON events: {error}") from error
    traceparent = request.headers.get("traceparent")
    answer = await plane.relay.accept(body, is_batch=is_batch, traceparent=traceparent)
    headers = {} if answer.retry_after is None else {"Retry-After": answer.retry_after}
    return Response(answer.body, answer.status, headers, answer.content_type)
