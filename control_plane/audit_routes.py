"""`/v1/audit`: the whole audit trail, and whether it is as it was written. A tenant's part is `tenant_routes`'."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query

from control_plane.context import Plane
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import AuditPage, AuditVerdict, ChainFaultOut, ChainHead, audit_page
from control_plane.problems import responses
from resources.registry import AuditFilter
from resources.registry.records import TENANT_ID_PATTERN

router = APIRouter(
    prefix="/v1/audit", tags=["audit"], route_class=GuardedRoute, responses=responses(401, 403, 422, 503)
)


@router.get("", openapi_extra=needs("audit:list"))
def list_audit(
    *,
    plane: Plane,
    tenant: Annotated[str | None, Query(pattern=TENANT_ID_PATTERN)] = None,
    actor: Annotated[str | None, Query(max_length=200, description="as entries have it: user:ann")] = None,
    action: Annotated[
        str | None, Query(pattern=r"^[a-z_.]{1,50}$", description="a whole name, or the part before a dot")
    ] = None,
    since: Annotated[dt.datetime | None, Query(description="this moment or later")] = None,
    until: Annotated[dt.datetime | None, Query(description="before this moment")] = None,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """Every entry, oldest first: who did what, why, and what was refused."""
    wanted = AuditFilter(tenant, actor, action, _in_utc(since), _in_utc(until))
    return audit_page(plane.registry.audit(after_id=after, limit=limit + 1, wanted=wanted), limit)


@router.get("/verify", openapi_extra=needs("audit:verify"))
def verify_audit(plane: Plane) -> AuditVerdict:
    """Walk the whole trail: what was edited, removed, added or cut off. Note the head: a later look can name it."""
    verdict = plane.registry.verify_audit()
    head = None if verdict.head is None else ChainHead(audit_id=verdict.head.audit_id, hash=verdict.head.hash)
    return AuditVerdict(
        is_whole=verdict.is_whole,
        entries=verdict.entries,
        head=head,
        fault_count=verdict.fault_count,
        faults=[ChainFaultOut.model_validate(fault) for fault in verdict.faults],
    )


def _in_utc(moment: dt.datetime | None) -> dt.datetime | None:
    """A moment without a zone is taken as UTC."""
    return moment.replace(tzinfo=dt.UTC) if moment is not None and moment.tzinfo is None else moment
