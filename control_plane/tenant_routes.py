"""`/v1/tenants…`: asking for tenants and changing what is wanted. A sensor in `assets.tenants` does it.

All of it needs the admin token. Every POST and DELETE may be repeated without doing more than once, except
minting a key, which makes another key.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from control_plane.context import Admin, Plane
from control_plane.messages import (
    AuditOut,
    AuditPage,
    KeyList,
    KeyOut,
    KeyRequest,
    MintedKey,
    Reason,
    TenantOut,
    TenantPage,
    TenantRequest,
    Upgrade,
)
from control_plane.problems import responses
from resources.registry import Tenant, TenantState, key_id_of
from resources.registry.records import TENANT_ID_PATTERN

router = APIRouter(prefix="/v1/tenants", tags=["tenants"], responses=responses(401, 422))

TenantId = Annotated[str, Path(pattern=TENANT_ID_PATTERN, examples=["t123"])]
KeyId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post("", status_code=202, responses=responses(400, 409))
def request_tenant(body: TenantRequest, plane: Plane, actor: Admin, response: Response) -> TenantOut:
    """Ask for a tenant; the same request again answers with the tenant as it is now."""
    tenant = plane.registry.request(body.tenant_id, body.plan, actor, body.currency)
    response.headers["Location"] = f"/v1/tenants/{tenant.tenant_id}"
    return _out(tenant)


@router.get("")
def list_tenants(
    plane: Plane,
    _actor: Admin,
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


@router.get("/{tenant_id}", responses=responses(404))
def show_tenant(tenant_id: TenantId, plane: Plane, _actor: Admin) -> TenantOut:
    """One tenant."""
    return _out(plane.registry.get(tenant_id))


@router.post("/{tenant_id}/suspend", responses=responses(400, 404, 409))
def suspend_tenant(tenant_id: TenantId, plane: Plane, actor: Admin, body: Reason | None = None) -> TenantOut:
    """Close all doors of an active tenant; its data stays."""
    reason = body.reason if body is not None else None
    return _out(plane.registry.transition(tenant_id, TenantState.SUSPENDED, actor=actor, reason=reason))


@router.post("/{tenant_id}/resume", responses=responses(400, 404, 409))
def resume_tenant(tenant_id: TenantId, plane: Plane, actor: Admin, body: Reason | None = None) -> TenantOut:
    """Open a suspended tenant again, or have a failed one provisioned again."""
    reason = body.reason if body is not None else None
    return _out(plane.registry.resume(tenant_id, actor, reason))


@router.post("/{tenant_id}/upgrade", responses=responses(400, 404, 409))
def upgrade_tenant(tenant_id: TenantId, body: Upgrade, plane: Plane, actor: Admin) -> TenantOut:
    """Put a tenant on another plan."""
    return _out(plane.registry.change_plan(tenant_id, body.plan, actor))


@router.delete("/{tenant_id}", status_code=202, responses=responses(404, 409))
def delete_tenant(tenant_id: TenantId, plane: Plane, actor: Admin) -> TenantOut:
    """Ask for a tenant's plane and keys to be removed. Its id is never used again."""
    return _out(plane.registry.request_deletion(tenant_id, actor))


@router.post("/{tenant_id}/keys", status_code=201, responses=responses(400, 404, 409))
def mint_key(
    tenant_id: TenantId, body: KeyRequest, plane: Plane, actor: Admin, response: Response
) -> MintedKey:
    """A new key, shown this once."""
    key = plane.registry.mint_key(tenant_id, body.kind, actor)
    response.headers["Cache-Control"] = "no-store"
    return MintedKey(key_id=key_id_of(key), kind=body.kind, key=key)


@router.get("/{tenant_id}/keys", responses=responses(404))
def list_keys(tenant_id: TenantId, plane: Plane, _actor: Admin) -> KeyList:
    """The tenant's keys, without their secrets."""
    plane.registry.get(tenant_id)
    return KeyList(items=[KeyOut.model_validate(key) for key in plane.registry.keys(tenant_id)])


@router.delete("/{tenant_id}/keys/{key_id}", status_code=204, responses=responses(404))
def revoke_key(tenant_id: TenantId, key_id: KeyId, plane: Plane, actor: Admin) -> None:
    """Revoke a key; doors that cache keys forget it within `UNMOGROWP_KEY_CACHE_S` seconds."""
    if not plane.registry.revoke_key(tenant_id, key_id, actor):
        raise HTTPException(404, f"tenant {tenant_id} has no such key; list its keys")


@router.get("/{tenant_id}/audit", responses=responses(404))
def show_audit(
    tenant_id: TenantId,
    plane: Plane,
    _actor: Admin,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 100,
) -> AuditPage:
    """What was done to the tenant, oldest first."""
    plane.registry.get(tenant_id)
    entries = plane.registry.audit(tenant_id, after_id=after, limit=limit + 1)
    page = entries[:limit]
    following = page[-1].audit_id if len(entries) > limit else None
    return AuditPage(items=[AuditOut.model_validate(entry) for entry in page], next=following)


def _out(tenant: Tenant) -> TenantOut:
    return TenantOut.model_validate(tenant)
