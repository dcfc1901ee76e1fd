"""`/api/v1/auth`: sign in, stay signed in, who am I, sign out. Thin: `sessions` decides."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter, Request, Response

from tenant_plane.plane import DOCUMENTED_SECURITY, Plane, PlaneDep, SignedIn, check_same_origin
from tenant_plane.sessions import Principal
from tenant_plane.views import PasswordChange, SignIn, WhoAmI

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


@router.post("", response_model_exclude_none=True)
def sign_in(body: SignIn, request: Request, response: Response, plane: PlaneDep) -> WhoAmI:
    """Open a session of 15 minutes; `mode: bearer` puts its token in the answer instead of a cookie."""
    check_same_origin(request)
    client = request.client.host if request.client else "unknown"
    principal, token = plane.sessions.sign_in(body.user, body.password, client)
    if body.mode == "bearer":
        return _who(plane, principal, token)
    _set_cookie(request, response, plane, token)
    return _who(plane, principal)


@router.post("/refresh", response_model_exclude_none=True, dependencies=DOCUMENTED_SECURITY)
def refresh(request: Request, response: Response, plane: PlaneDep, principal: SignedIn) -> WhoAmI:
    """A new token for a running session, in the way the old one came."""
    renewed, token = plane.sessions.refresh(principal)
    if "authorization" in request.headers:
        return _who(plane, renewed, token)
    _set_cookie(request, response, plane, token)
    return _who(plane, renewed)


@router.get("", response_model_exclude_none=True, dependencies=DOCUMENTED_SECURITY)
def who_am_i(plane: PlaneDep, principal: SignedIn) -> WhoAmI:
    """The session's person."""
    return _who(plane, principal)


@router.post("/password", status_code=204, dependencies=DOCUMENTED_SECURITY)
def change_password(body: PasswordChange, plane: PlaneDep, principal: SignedIn) -> None:
    """Change one's own password; one's other sessions end."""
    plane.sessions.brake_guessing(principal)
    plane.accounts.change_own_password(principal, body.current, body.new)


@router.delete("", status_code=204, dependencies=DOCUMENTED_SECURITY)
def sign_out(response: Response, plane: PlaneDep, principal: SignedIn) -> None:
    """End the session; all its tokens stop working now."""
    plane.sessions.sign_out(principal)
    response.delete_cookie(plane.cookie, path="/", httponly=True, samesite="strict")


def _who(plane: Plane, principal: Principal, token: str | None = None) -> WhoAmI:
    return WhoAmI(
        tenant_id=plane.settings.id,
        user=principal.user,
        role=principal.role,
        expires_at=dt.datetime.fromtimestamp(principal.expires_at_s, dt.UTC),
        token=token,
    )


def _set_cookie(request: Request, response: Response, plane: Plane, token: str) -> None:
    response.set_cookie(
        plane.cookie,
        token,
        max_age=plane.settings.session_ttl_s,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",  # the embedded stack serves plain HTTP on the loopback alone
    )
