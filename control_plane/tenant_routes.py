"""`/v1/tenants…`: asking for tenants and changing what is wanted. A sensor in `assets.tenants` does it.

Every POST and DELETE may be repeated without doing more than once, except minting a key, which makes another key
unless an `Idempotency-Key` comes with it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from control_plane.context import Actor, Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import (
    AuditPage,
    KeyOut,
    KeyPage,
    KeyRequest,
    MintedKey,
    Reason,
    TenantOut,
    TenantPage,
    TenantRequest,
    Upgrade,
    audit_page,
)
from control_plane.problems import responses
from resources.registry import Tenant, TenantState, key_id_of

router = APIRouter(
    prefix="/v1/tenants", tags=["tenants"], route_class=GuardedRoute, responses=responses(401, 403, 422, 503)
)

KeyId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post("", status_code=202, openapi_extra=needs("tenant:request"), responses=responses(400, 409, 413))
def request_tenant(body: TenantRequest, plane: Plane, actor: Actor, response: Response) -> TenantOut:
    """Ask for a tenant; the same request again answers with the tenant as it is now."""
    tenant = plane.registry.request(body.tenant_id, body.plan, actor, body.currency)
    response.headers["Location"] = f"/v1/tenants/{tenant.tenant_id}"
    return _out(tenant)


@router.get("", openapi_extra=needs("tenant:list"))
def list_tenants(
    plane: Plane,
    state: Annotated[list[TenantState] | None, Query()] = None,
    after: Annotated[str, Query(pattern=r"^[a-z0-9_]{0,31}$")] = "",
    limit: Limit = 100,
) -> TenantPage:
    """Tenants by id, in any of the given states."""
    behind = [tenant for tenant in plane.registry.list(*(state or ())) if tenant.tenant_id > after]
    page = behind[:limit]
    return TenantPage(
        items=[_out(tenant) for tenant in page], next=page[-1].tenant_id if len(behind) > limit else None
    )


@router.get("/{tenant_id}", openapi_extra=needs("tenant:show"), responses=responses(404))
def show_tenant(tenant_id: TenantId, plane: Plane) -> TenantOut:
    """One tenant."""
    return _out(plane.registry.get(tenant_id))


@router.post(
    "/{tenant_id}/suspend", openapi_extra=needs("tenant:suspend"), responses=responses(400, 404, 409, 413)
)
def suspend_tenant(tenant_id: TenantId, plane: Plane, actor: Actor, body: Reason | None = None) -> TenantOut:
    """Close all doors of an active tenant; its data stays."""
    reason = body.reason if body is not None else None
    return _out(plane.registry.transition(tenant_id, TenantState.SUSPENDED, actor=actor, reason=reason))


@router.post(
    "/{tenant_id}/resume", openapi_extra=needs("tenant:resume"), responses=responses(400, 404, 409, 413)
)
def resume_tenant(tenant_id: TenantId, plane: Plane, actor: Actor, body: Reason | None = None) -> TenantOut:
    """Open a suspended tenant again, or have a failed one provisioned again."""
    reason = body.reason if body is not None else None
    return _out(plane.registry.resume(tenant_id, actor, reason))


@router.post(
    "/{tenant_id}/upgrade", openapi_extra=needs("tenant:upgrade"), responses=responses(400, 404, 409, 413)
)
def upgrade_tenant(tenant_id: TenantId, body: Upgrade, plane: Plane, actor: Actor) -> TenantOut:
    """Put a tenant on another plan."""
    return _out(plane.registry.change_plan(tenant_id, body.plan, actor))


@router.delete(
    "/{tenant_id}", status_code=202, openapi_extra=needs("tenant:delete"), responses=responses(404, 409)
)
def delete_tenant(tenant_id: TenantId, plane: Plane, actor: Actor) -> TenantOut:
    """Ask for a tenant's plane and keys to be removed. Its id is never used again."""
    return _out(plane.registry.request_deletion(tenant_id, actor))


@router.post(
    "/{tenant_id}/keys",
    status_code=201,
    openapi_extra=needs("key:mint"),
    responses=responses(400, 404, 409, 413),
)
def mint_key(
    tenant_id: TenantId, body: KeyRequest, plane: Plane, actor: Actor, response: Response
) -> MintedKey:
    """A new key, shown this once."""
    key = plane.registry.mint_key(tenant_id, body.kind, actor)
    response.headers["Cache-Control"] = "no-store"
    return MintedKey(key_id=key_id_of(key), kind=body.kind, key=key)


@router.get("/{tenant_id}/keys", openapi_extra=needs("key:list"), responses=responses(404))
def list_keys(
    tenant_id: TenantId,
    plane: Plane,
    after: Annotated[str, Query(pattern="^([0-9a-f]{16})?$")] = "",
    limit: Limit = 100,
) -> KeyPage:
    """The tenant's keys, without their secrets."""
    keys = plane.registry.keys(tenant_id)
    begin = next((at for at, key in enumerate(keys, 1) if key.key_id == after), 0)
    page = keys[begin : begin + limit]
    following = page[-1].key_id if len(keys) > begin + limit else None
    return KeyPage(items=[KeyOut.model_validate(key) for key in page], next=following)


@router.delete(
    "/{tenant_id}/keys/{key_id}",
    status_code=204,
    openapi_extra=needs("key:revoke"),
    responses=responses(404),
)
def revoke_key(tenant_id: TenantId, key_id: KeyId, plane: Plane, actor: Actor) -> None:
    """Revoke a key; doors that cache keys forget it within `UNMOGROWP_KEY_CACHE_S` seconds."""
    if not plane.registry.revoke_key(tenant_id, key_id, actor):
        raise HTTPException(404, f"tenant {tenant_id} has no such key; list its keys")


@router.get("/{tenant_id}/audit", openapi_extra=needs("audit:read"), responses=responses(404))
def show_audit(
    tenant_id: TenantId,
    plane: Plane,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 100,
) -> AuditPage:
    """What was done to the tenant, who read its data and what was refused, oldest first."""
    return audit_page(plane.registry.audit(tenant_id, after_id=after, limit=limit + 1), limit)


def _out(tenant: Tenant) -> TenantOut:
    return TenantOut.model_validate(tenant)
