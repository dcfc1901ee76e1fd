"""The one place where a request is let in or refused. Routes say what they do (`needs`), policies who may.

A route without an action does not come into being, and `check_guarded` finds one that was made of something else:
then the process does not start. The order is: who calls, may it do this, is the tenant there; only then is the
body read. Refusals and reads of a tenant's data go into the audit trail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from control_plane.access_policy import access_policy
from control_plane.callers import Caller, caller_of_claims, caller_of_key
from control_plane.context import ControlPlane, control_plane_of
from control_plane.kept_answers import answered_once
from resources.errors import (
    AuthenticationError,
    AuthorizationError,
    ContractError,
    ServiceUnavailableError,
)
from resources.notices import Notice
from resources.registry import key_id_of
from resources.registry.access_trail import ANYBODY, note_refusal, refusal
from resources.registry.records import TENANT_ID_PATTERN

ACTION = "x-action"  # in the OpenAPI document
KEY_PREFIX = "umg_"
# what shows a tenant's data to somebody: kept in the audit trail, whoever it is
CROSS_PLANE_READS = frozenset(
    {"trace:read", "ledger:read", "quarantine:read", "export:list", "export:pull", "rules:read", "skan:read"}
)
_SOME_KEY = caller_of_key("0" * 16, "export", "t1")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def needs(action: str) -> dict[str, Any]:
    """A route's `openapi_extra`: its action, and which credentials open it.

    Raises:
        LookupError: the policy's schema knows no such action.
    """
    policy = access_policy()
    if action not in policy.actions:
        raise LookupError(
            f"{action!r} is no action of control_plane/policies; add it there, and who may do it"
        )
    schemes: list[dict[str, list[str]]] = [{"accessToken": []}]
    if policy.actions[action].is_of_tenant and policy.allows(_SOME_KEY, action, _SOME_KEY.key_tenant):
        schemes.append({"exportKey": []})
    return {ACTION: action, "security": schemes}


class GuardedRoute(APIRoute):
    """A route that names its action. Nothing of the request but its head is looked at before the decision."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Refuse to be without an action.

        Raises:
            TypeError: `openapi_extra` is not made by `needs`.
        """
        extra = options.get("openapi_extra") or {}
        if ACTION not in extra:
            raise TypeError(f"{endpoint.__name__} at {path} names no action: add openapi_extra=needs(…)")
        self.action: str = extra[ACTION]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """FastAPI's handler behind the decision; a POST is done once per idempotency key."""
        answer, action = super().get_route_handler(), self.action

        async def guarded(request: Request) -> Response:
            plane = control_plane_of(request)
            await run_in_threadpool(let_in, plane, request, action)
            if request.method == "POST":
                return await answered_once(plane, request, answer)
            return await answer(request)

        return guarded


def check_guarded(routers: Iterable[APIRouter]) -> None:
    """Pass when every route of the routers is guarded.

    Raises:
        TypeError: one is not.
    """
    for router in routers:
        for route in router.routes:
            if not isinstance(route, GuardedRoute):
                raise TypeError(
                    f"the route {getattr(route, 'path', route)} names no action; use GuardedRoute"
                )


def let_in(plane: ControlPlane, request: Request, action: str) -> None:
    """Decide, and leave caller and tenant in the request's state.

    Raises:
        AuthenticationError: nobody known calls.
        AuthorizationError: the policy does not allow it.
        ContractError: what it names as a tenant is no id of one.
        TenantNotFoundError: a caller who may do this to any tenant names one that is not there.
        ServiceUnavailableError: who calls cannot be found out now, or the audit trail takes no entry.
    """
    tenant_id = _tenant_named(request, is_of_tenant=plane.policy.actions[action].is_of_tenant)
    request.state.tenant_id = tenant_id
    try:
        caller = authenticated(plane, request)
    except AuthenticationError as error:
        note_refusal(plane.denials, refusal(ANYBODY, action, tenant_id, str(error)))
        raise
    if not plane.policy.allows(caller, action, tenant_id):
        note_refusal(plane.denials, refusal(caller.actor, action, tenant_id, "no policy allows it"))
        if caller.is_key and tenant_id is not None and tenant_id != caller.key_tenant:
            raise AuthorizationError("this key is another tenant's; ask for the tenant it belongs to")
        raise AuthorizationError(f"you may not do {action} here; `unmogrowp roles` shows who may")
    if tenant_id is not None:
        if re.fullmatch(TENANT_ID_PATTERN, tenant_id) is None:
            raise ContractError("name a tenant, in the path or as X-Tenant-ID; the id given is none")
        plane.registry.get(tenant_id)
        if action in CROSS_PLANE_READS:
            _note_read(plane, Notice(caller.actor, action, tenant_id))
    request.state.caller = caller


def authenticated(plane: ControlPlane, request: Request) -> Caller:
    """Who calls, by the request's bearer credential.

    Raises:
        AuthenticationError: it is missing or opens nothing.
        ServiceUnavailableError: whether it is good cannot be found out now.
    """
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise AuthenticationError(
            "present an access token or a tenant's export key as `Authorization: Bearer …`"
        )
    if credential.startswith(KEY_PREFIX):
        tenant_id = plane.registry.tenant_of_key("export", credential)
        if tenant_id is None:
            raise AuthenticationError(
                "this key opens nothing here; mint a key of kind export for an active tenant"
            )
        return caller_of_key(key_id_of(credential), "export", tenant_id)
    claims = plane.verifier.claims(credential)
    settings = plane.settings
    caller = caller_of_claims(claims, settings.oidc_roles_claim, settings.oidc_tenant_claim)
    plane.revocations.check(caller, float(claims["iat"]))
    return caller


def _tenant_named(request: Request, *, is_of_tenant: bool) -> str | None:
    """The tenant that a request is about; '' where it should name one and does not."""
    if not is_of_tenant:
        return None
    return str(request.path_params.get("tenant_id", request.headers.get("x-tenant-id", "")))


def _note_read(plane: ControlPlane, notice: Notice) -> None:
    try:
        plane.reads.add(notice)
    except SQLAlchemyError as error:
        raise ServiceUnavailableError(
            "the audit trail takes no entry now, so nothing is shown; try again"
        ) from error
