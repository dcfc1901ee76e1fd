"""`/v1/tenants/{tenant}/users`: a tenant's own users, managed by its administrators or by the platform's.

Whoever acts here finds users of this tenant alone, and gives roles of a tenant alone.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from control_plane.context import Actor, Plane, TenantId
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import Reason
from control_plane.problems import responses
from control_plane.user_messages import (
    MemberRequest,
    NewPassword,
    NewUser,
    TenantRoleName,
    TenantRoleRequest,
    UserOut,
    UserPage,
)
from control_plane.user_routes import After, Limit, UserName, require_local_issuer, user_page

router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/users",
    tags=["users"],
    route_class=GuardedRoute,
    dependencies=[Depends(require_local_issuer)],
    responses=responses(401, 403, 404, 409, 422, 503),
)


@router.get("", openapi_extra=needs("member:list"))
def list_members(tenant_id: TenantId, plane: Plane, after: After = "", limit: Limit = 100) -> UserPage:
    """The tenant's users by name."""
    return user_page(plane.registry.users(tenant_id, after=after, limit=limit + 1), limit)


@router.post("", status_code=201, openapi_extra=needs("member:add"), responses=responses(400, 413))
def add_member(
    tenant_id: TenantId, body: MemberRequest, plane: Plane, actor: Actor, response: Response
) -> NewUser:
    """A new user of the tenant; the password is shown this once."""
    user, password = plane.registry.create_user(body.name, tenant_id, tuple(body.roles), actor)
    response.headers["Cache-Control"] = "no-store"
    return NewUser(user=UserOut.model_validate(user), password=password)


@router.post("/{name}/disable", openapi_extra=needs("member:disable"), responses=responses(400, 413))
def disable_member(
    tenant_id: TenantId, name: UserName, plane: Plane, actor: Actor, body: Reason | None = None
) -> UserOut:
    """Shut a user out: sessions end now, access tokens within ten seconds everywhere."""
    reason = body.reason if body is not None else None
    return UserOut.model_validate(plane.registry.disable_user(name, actor, tenant_id, reason))


@router.post("/{name}/enable", openapi_extra=needs("member:enable"), responses=responses(400, 413))
def enable_member(
    tenant_id: TenantId, name: UserName, plane: Plane, actor: Actor, body: Reason | None = None
) -> UserOut:
    """Let a disabled user sign in again."""
    reason = body.reason if body is not None else None
    return UserOut.model_validate(plane.registry.enable_user(name, actor, tenant_id, reason))


@router.post("/{name}/password", openapi_extra=needs("member:reset_password"))
def reset_member_password(
    tenant_id: TenantId, name: UserName, plane: Plane, actor: Actor, response: Response
) -> NewPassword:
    """A new password, shown this once; the user's sign-ins end."""
    response.headers["Cache-Control"] = "no-store"
    return NewPassword(name=name, password=plane.registry.reset_password(name, actor, tenant_id))


@router.post("/{name}/roles", openapi_extra=needs("member:give_role"), responses=responses(400, 413))
def give_member_role(
    tenant_id: TenantId, name: UserName, body: TenantRoleRequest, plane: Plane, actor: Actor
) -> UserOut:
    """Give a user of the tenant a role in it; its access tokens are renewed with it."""
    return UserOut.model_validate(plane.registry.give_role(name, body.role, actor, tenant_id))


@router.delete("/{name}/roles/{role}", openapi_extra=needs("member:take_role"))
def take_member_role(
    tenant_id: TenantId, name: UserName, role: TenantRoleName, plane: Plane, actor: Actor
) -> UserOut:
    """Take a role in the tenant from one of its users."""
    return UserOut.model_validate(plane.registry.take_role(name, role, actor, tenant_id))
