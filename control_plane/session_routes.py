"""`/v1/me`, `/v1/roles`, `/v1/revocations`: who one is, what roles may do, whose tokens no longer count."""

from __future__ import annotations

from fastapi import APIRouter, Response

from control_plane.access_policy import role_table
from control_plane.context import Actor, Authenticated, Plane
from control_plane.guard import GuardedRoute, needs
from control_plane.problems import responses
from control_plane.user_messages import Me, RevocationRequest, RoleTableOut

router = APIRouter(
    prefix="/v1", tags=["sessions"], route_class=GuardedRoute, responses=responses(401, 403, 422, 503)
)


@router.get("/me", openapi_extra=needs("session:show"))
def show_me(caller: Authenticated) -> Me:
    """Who this access token speaks for, and its roles."""
    tenants = {tenant: sorted(roles) for tenant, roles in sorted(caller.tenant_roles.items())}
    return Me(actor=caller.actor, platform_roles=sorted(caller.platform_roles), tenant_roles=tenants)


@router.delete("/me/session", status_code=204, openapi_extra=needs("session:end"))
def end_session(caller: Authenticated, plane: Plane) -> Response:
    """Sign out: the refresh token ends now, access tokens of this sign-in within ten seconds everywhere."""
    if caller.session_id is not None:
        plane.registry.end_session(caller.session_id, caller.actor)
    return Response(status_code=204)


@router.get("/roles", openapi_extra=needs("role:list"))
def list_roles(plane: Plane) -> RoleTableOut:
    """What each role may do, as the policy has it."""
    return RoleTableOut.model_validate(role_table(plane.policy).document())


@router.post(
    "/revocations", status_code=204, openapi_extra=needs("session:revoke"), responses=responses(400, 409, 413)
)
def revoke(body: RevocationRequest, plane: Plane, actor: Actor) -> Response:
    """Refuse every access token that a user has now, whichever issuer it is from. New ones count."""
    plane.registry.revoke(f"user:{body.subject}", actor, body.reason)
    return Response(status_code=204)
