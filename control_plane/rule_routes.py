"""`/v1/tenants/{tenant}/rules`: versions of a tenant's attribution rules.

The platform writes; a tenant reads its own. Nothing is computed again here: dates that
are materialised already keep their rows until they are materialised once more (`unmogrowp backfill`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from control_plane.context import Actor, Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from control_plane.rule_messages import RuleRequest, RuleVersionOut, RuleVersionPage

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/rules",
    tags=["rules"],
    route_class=GuardedRoute,
    responses=responses(401, 403, 404, 422, 503),
)

VersionNumber = Annotated[int, Path(ge=0, le=2**31 - 1, description="0 is the platform's defaults")]


@router.get("", openapi_extra=needs("rules:read"))
def list_rules(
    plane: Plane,
    tenant_id: TenantId,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RuleVersionPage:
    """The versions written down, oldest first. On an event date the highest that is effective by then applies."""
    found = plane.registry.rule_versions(tenant_id, after_version=after, limit=limit + 1)
    page = found[:limit]
    following = page[-1].version if len(found) > limit else None
    return RuleVersionPage(items=[RuleVersionOut.model_validate(one) for one in page], next=following)


@router.get("/{version}", openapi_extra=needs("rules:read"))
def show_rules(plane: Plane, tenant_id: TenantId, version: VersionNumber) -> RuleVersionOut:
    """One version."""
    return RuleVersionOut.model_validate(plane.registry.rule_version(tenant_id, version))


@router.post("", openapi_extra=needs("rules:write"), responses=responses(400, 409, 413))
def add_rules(tenant_id: TenantId, body: RuleRequest, plane: Plane, actor: Actor) -> RuleVersionOut:
    """Put rules in force from an event date on; where they are in force already, that version is the answer."""
    added = plane.registry.add_rules(
        tenant_id, body.rules, body.effective_from, actor, body.reason, based_on=body.based_on
    )
    return RuleVersionOut.model_validate(added)
