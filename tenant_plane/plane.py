"""The parts of one running plane, and how a request gets at them and at who is asking.

Belongs here: the `Plane` bundle and FastAPI dependencies (cookie, bearer, app key, push headers, body).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import sqlalchemy as sa
from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.exceptions import HTTPException

from resources.errors import AuthenticationError, AuthorizationError
from resources.plane_settings import TenantPlaneSettings
from tenant_plane.accounts import ADMINISTRATOR, Accounts
from tenant_plane.mart_store import MartStore
from tenant_plane.metrics import PlaneMetrics
from tenant_plane.push import Push, PushLedger, verified_signature
from tenant_plane.relay import Relay
from tenant_plane.score_store import ScoreStore
from tenant_plane.sessions import APP_KEY_PREFIX, Principal, Sessions, app_key_is_active

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# for the OpenAPI document alone: `signed_in` reads both itself, because the cookie's name holds the tenant
DOCUMENTED_SECURITY = [
    Depends(HTTPBearer(auto_error=False, description="session token, app key, or the global plane's token")),
    Depends(APIKeyCookie(name="umg_session", auto_error=False, description="umg_session_<tenant id>")),
]


@dataclass(frozen=True)
class Plane:
    """Everything one tenant's plane is made of."""

    settings: TenantPlaneSettings
    engine: sa.Engine
    sessions: Sessions
    accounts: Accounts
    marts: MartStore
    scores: ScoreStore
    ledger: PushLedger
    relay: Relay
    metrics: PlaneMetrics

    @property
    def cookie(self) -> str:
        """The session cookie's name: cookies ignore ports, and planes of one machine differ by port alone."""
        return f"umg_session_{self.settings.id}"


def get_plane(request: Request) -> Plane:
    """The plane that serves this request."""
    plane = request.app.state.plane
    if not isinstance(plane, Plane):
        raise HTTPException(503, "the plane is starting: try again")
    return plane


PlaneDep = Annotated[Plane, Depends(get_plane)]


def signed_in(request: Request, plane: PlaneDep) -> Principal:
    """The person asking, by bearer token or cookie.

    Raises:
        AuthenticationError: nobody is signed in.
        AuthorizationError: another site's page is using the cookie.
    """
    token = _bearer(request)
    if token is None:
        token = request.cookies.get(plane.cookie)
        if token is not None:
            check_same_origin(request)
    if token is None:
        raise AuthenticationError("nobody is signed in: POST /api/v1/auth")
    return plane.sessions.verify(token)


SignedIn = Annotated[Principal, Depends(signed_in)]


def administrator(principal: SignedIn) -> Principal:
    """The person asking, who manages the tenant's users.

    Raises:
        AuthorizationError: their role only reads.
    """
    if principal.role != ADMINISTRATOR:
        raise AuthorizationError("this is for the tenant's administrators: ask one of them")
    return principal


Administrator = Annotated[Principal, Depends(administrator)]


def event_sender(request: Request, plane: PlaneDep) -> None:
    """Let the tenant's app (its key) or a signed-in administrator send events.

    Raises:
        AuthenticationError: neither.
        AuthorizationError: a person who only reads.
    """
    token = _bearer(request)
    if token is not None and token.startswith(APP_KEY_PREFIX):
        if not app_key_is_active(plane.engine, token):
            raise AuthenticationError("the app key is unknown or revoked: mint a new one")
        return
    administrator(signed_in(request, plane))


def global_plane(request: Request, plane: PlaneDep) -> None:
    """Let only the global plane through: its service token and this tenant's id.

    Raises:
        AuthenticationError: another token, or none.
        AuthorizationError: no X-Tenant-ID (a wrong one never gets here).
    """
    if not _has_service_token(request, plane):
        raise AuthenticationError("this is for the global plane's service token alone")
    if "x-tenant-id" not in request.headers:
        raise AuthorizationError(f"a push must name its tenant: send X-Tenant-ID: {plane.settings.id}")


def metrics_reader(request: Request, plane: PlaneDep) -> None:
    """Let the global plane's Prometheus (by the service token) or a signed-in person read the counters.

    Raises:
        AuthenticationError: neither; the counters tell how much business the tenant does.
    """
    if not _has_service_token(request, plane):
        signed_in(request, plane)


def _has_service_token(request: Request, plane: Plane) -> bool:
    expected = plane.settings.service_token.get_secret_value()
    return hmac.compare_digest((_bearer(request) or "").encode(), expected.encode())


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The raw body.

    Raises:
        HTTPException: 413 as soon as it is too large, 415 when it is compressed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "send the body uncompressed: no Content-Encoding is understood here")
    declared = request.headers.get("content-length", "")
    parts: list[bytes] = []
    size = int(declared) if declared.isdecimal() else 0
    received = 0
    if size <= limit_bytes:
        async for part in request.stream():
            received += len(part)
            if received > limit_bytes:
                break
            parts.append(part)
    if max(size, received) > limit_bytes:
        raise HTTPException(413, f"the body is over {limit_bytes} bytes: send less at a time")
    return b"".join(parts)


async def read_push(request: Request, plane: Plane) -> tuple[Push, bytes]:
    """The body of a push after its signature was verified.

    Raises:
        AuthenticationError: the signature is not the global plane's, or too old.
        HTTPException: 400 without an Idempotency-Key, 413 when too large.
    """
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= 256:  # noqa: PLR2004 - the column's width
        raise HTTPException(400, "a push needs an Idempotency-Key of 1 to 256 characters")
    body = await read_body(request, plane.settings.push_max_bytes)
    signature = verified_signature(
        request.headers.get("x-signature", ""),
        key=plane.settings.signing_key.get_secret_value().encode(),
        method=request.method,
        path=request.url.path,
        body=body,
        now_s=time.time(),
    )
    return Push(request.url.path, key, hashlib.sha256(body).digest(), signature), body


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def check_same_origin(request: Request) -> None:
    """Refuse a change that another origin's page asks for.

    SameSite=Strict does not part the tenants of one domain from each other; the Origin header does.

    Raises:
        AuthorizationError: the Origin header names another host.
    """
    origin = request.headers.get("origin")
    if request.method in SAFE_METHODS or origin is None:
        return
    if urlsplit(origin).netloc != request.headers.get("host"):
        raise AuthorizationError("a page of another origin may not use this session")
