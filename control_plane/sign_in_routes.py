"""The local issuer over HTTP: discovery, keys, the token endpoint. Open to anybody; absent with an issuer elsewhere.

The token endpoint takes a form, as OAuth has it, and answers errors with problem documents that carry OAuth's
`error` too. It takes no idempotency key: a refresh token is good once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from control_plane.context import ControlPlane, Plane
from control_plane.local_issuer import IssuedTokens, LocalIssuer
from control_plane.problems import responses
from resources.errors import AuthenticationError
from resources.registry.access_trail import ANYBODY, note_refusal, refusal
from resources.registry.passwords import PASSWORD_MAX_CHARS

FORM = "application/x-www-form-urlencoded"
router = APIRouter(tags=["sign-in"])


class TokenRequest(BaseModel):
    """The form of the token endpoint."""

    grant_type: Literal["password", "refresh_token"]
    username: str = Field(default="", max_length=128)
    password: str = Field(default="", max_length=PASSWORD_MAX_CHARS)
    refresh_token: str = Field(default="", max_length=200)


class TokenResponse(BaseModel):
    """Tokens, in OAuth's spelling (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="seconds")
    refresh_token: str = Field(description="good once: the answer to it has the next")
    refresh_expires_in: int = Field(description="seconds; then the password is asked for again")


def local_issuer(plane: Plane) -> LocalIssuer:
    """The local issuer, where tokens come from it.

    Raises:
        HTTPException: 404, another issuer's tokens count here.
    """
    if plane.issuer is None:
        raise HTTPException(404, "tokens come from another issuer here; see UNMOGROWP_OIDC_ISSUER")
    return plane.issuer


Issuer = Annotated[LocalIssuer, Depends(local_issuer)]


@router.get("/.well-known/openid-configuration", responses=responses(404))
def discovery(issuer: Issuer) -> dict[str, Any]:
    """Where keys and tokens are (OpenID Connect Discovery)."""
    return issuer.metadata()


@router.get("/.well-known/jwks.json", responses=responses(404))
def keys(issuer: Issuer) -> dict[str, Any]:
    """The public keys of access tokens (RFC 7517)."""
    return issuer.jwks()


@router.post(
    "/oauth/token",
    responses=responses(400, 401, 404, 413, 429),
    openapi_extra={
        "requestBody": {"required": True, "content": {FORM: {"schema": TokenRequest.model_json_schema()}}}
    },
)
async def issue_tokens(request: Request, plane: Plane, issuer: Issuer, response: Response) -> TokenResponse:
    """Sign in with user name and password, or refresh (`grant_type=refresh_token`)."""
    form = _form_of(await request.body())
    client = "" if request.client is None else request.client.host
    # waiting for one of the two password checks holds no thread that other requests need
    limiter: CapacityLimiter = request.app.state.password_checks
    tokens = await to_thread.run_sync(_issued, plane, issuer, form, client, limiter=limiter)
    response.headers["Cache-Control"] = "no-store"
    return TokenResponse(
        access_token=tokens.access_token,
        token_type="Bearer",  # noqa: S106 - the kind of the token
        expires_in=tokens.expires_in_s,
        refresh_token=tokens.refresh_token,
        refresh_expires_in=tokens.refresh_expires_in_s,
    )


def _form_of(body: bytes) -> TokenRequest:
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=20)
        return TokenRequest.model_validate({name: values[0] for name, values in fields.items()})
    except (ValueError, ValidationError) as error:
        raise HTTPException(400, f"send grant_type=password or refresh_token as {FORM}") from error


def _issued(plane: ControlPlane, issuer: LocalIssuer, form: TokenRequest, client: str) -> IssuedTokens:
    try:
        if form.grant_type == "refresh_token":
            return issuer.refresh(form.refresh_token)
        return issuer.sign_in(form.username, form.password, client)
    except AuthenticationError as error:
        reason = str(error).partition(":")[0]
        note_refusal(plane.denials, refusal(ANYBODY, "session:start", None, reason))
        raise
