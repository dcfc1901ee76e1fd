"""`/v1/users`: the platform's own users, their roles and passwords. A tenant's are `member_routes`'.

With an issuer elsewhere (`UNMOGROWP_OIDC_ISSUER`) users and roles are that issuer's, and all of this is 409.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.exceptions import HTTPException

from control_plane.context import Actor, Plane
from control_plane.guard import GuardedRoute, needs
from control_plane.messages import Reason
from control_plane.problems import responses
from control_plane.user_messages import (
    NewPassword,
    NewUser,
    PlatformRoleName,
    PlatformRoleRequest,
    UserOut,
    UserPage,
    UserRequest,
)
from resources.registry.user_store import USER_NAME_PATTERN, User

UserName = Annotated[str, Path(pattern=USER_NAME_PATTERN, examples=["ann@example.com"])]
After = Annotated[str, Query(pattern=r"^[a-z0-9._@+-]{0,128}$")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def require_local_issuer(plane: Plane) -> None:
    """Pass where users are ours to manage.

    Raises:
        HTTPException: 409, they are the issuer's.
    """
    if plane.issuer is None:
        raise HTTPException(409, "users and roles are managed at the OIDC issuer; see UNMOGROWP_OIDC_ISSUER")


router = APIRouter(
    prefix="/v1/users",
    tags=["users"],
    route_class=GuardedRoute,
    dependencies=[Depends(require_local_issuer)],
    responses=responses(401, 403, 409, 422, 503),
)


@router.get("", openapi_extra=needs("user:list"))
def list_users(plane: Plane, after: After = "", limit: Limit = 100) -> UserPage:
    """Every user by name, tenants' too."""
    return user_page(plane.registry.users(after=after, limit=limit + 1), limit)


@router.post("", status_code=201, openapi_extra=needs("user:create"), responses=responses(400, 413))
def create_user(body: UserRequest, plane: Plane, actor: Actor, response: Response) -> NewUser:
    """A new user of the platform; the password is shown this once."""
    user, password = plane.registry.create_user(body.name, None, tuple(body.roles), actor)
    response.headers["Cache-Control"] = "no-store"
    return NewUser(user=UserOut.model_validate(user), password=password)


@router.get("/{name}", openapi_extra=needs("user:show"), responses=responses(404))
def show_user(name: UserName, plane: Plane) -> UserOut:
    """One user."""
    return UserOut.model_validate(plane.registry.user(name))


@router.post("/{name}/disable", openapi_extra=needs("user:disable"), responses=responses(400, 404, 413))
def disable_user(name: UserName, plane: Plane, actor: Actor, body: Reason | None = None) -> UserOut:
    """Shut a user out: sessions end now, access tokens within ten seconds everywhere."""
    reason = body.reason if body is not None else None
    return UserOut.model_validate(plane.registry.disable_user(name, actor, reason=reason))


@router.post("/{name}/enable", openapi_extra=needs("user:enable"), responses=responses(400, 404, 413))
def enable_user(name: UserName, plane: Plane, actor: Actor, body: Reason | None = None) -> UserOut:
    """Let a disabled user sign in again."""
    reason = body.reason if body is not None else None
    return UserOut.model_validate(plane.registry.enable_user(name, actor, reason=reason))


@router.post("/{name}/password", openapi_extra=needs("user:reset_password"), responses=responses(404))
def reset_password(name: UserName, plane: Plane, actor: Actor, response: Response) -> NewPassword:
    """A new password, shown this once; the user's sign-ins end."""
    response.headers["Cache-Control"] = "no-store"
    return NewPassword(name=name, password=plane.registry.reset_password(name, actor))


@router.post("/{name}/roles", openapi_extra=needs("user:give_role"), responses=responses(400, 404, 413))
def give_role(name: UserName, body: PlatformRoleRequest, plane: Plane, actor: Actor) -> UserOut:
    """Give a user of the platform a role; its access tokens are renewed with it."""
    return UserOut.model_validate(plane.registry.give_role(name, body.role, actor))


@router.delete("/{name}/roles/{role}", openapi_extra=needs("user:take_role"), responses=responses(404))
def take_role(name: UserName, role: PlatformRoleName, plane: Plane, actor: Actor) -> UserOut:
    """Take a role from a user of the platform."""
    return UserOut.model_validate(plane.registry.take_role(name, role, actor))


def user_page(found: tuple[User, ...], limit: int) -> UserPage:
    """A page of users, of which one more than `limit` was asked for."""
    page = found[:limit]
    following = page[-1].name if len(found) > limit else None
    return UserPage(items=[UserOut.model_validate(user) for user in page], next=following)
