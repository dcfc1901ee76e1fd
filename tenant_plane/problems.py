"""Errors as RFC 9457 `application/problem+json`, and the headers every answer carries.

Belongs here: the map from typed errors to statuses and the middleware around all routes. What went wrong is
said where it happens, in the error's own sentence.
"""

from __future__ import annotations

import http
import json
import logging
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resources.errors import (
    AuthenticationError,
    AuthorizationError,
    ContractError,
    EventLogFullError,
    ServiceUnavailableError,
    TraceNotFoundError,
    UnMoGrowPError,
)
from resources.failure_brake import TooManyFailuresError
from resources.notices import DENIALS_DISTINCT_PER_MINUTE, DENIALS_PER_HOUR, DENIED, Notice, Notices
from resources.serving.heads import TOO_LARGE, is_head_too_large
from resources.serving.requests import counted_method
from tenant_plane.accounts import AccountNotFoundError, AccountRuleError
from tenant_plane.mart_contract import PushTooLargeError
from tenant_plane.metrics import PlaneMetrics

LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
STATUS_OF: dict[type[UnMoGrowPError], int] = {
    TooManyFailuresError: 429,
    PushTooLargeError: 413,
    AuthenticationError: 401,
    TraceNotFoundError: 404,
    AccountNotFoundError: 404,
    AccountRuleError: 409,
    AuthorizationError: 403,
    ContractError: 422,
    EventLogFullError: 503,
    ServiceUnavailableError: 503,
}
RETRY_AFTER_S = 5  # the relay's sender tries again within 0.5-30 s
_DOCUMENT = {
    "description": "What is wrong, and what to do (RFC 9457).",
    "content": {
        MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            }
        }
    },
}
# 422 is named by itself so that FastAPI does not document its own shape for it
RESPONSES: dict[int | str, dict[str, Any]] = {422: _DOCUMENT, "4XX": _DOCUMENT, "5XX": _DOCUMENT}
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def problem(
    status: int, detail: str, *, headers: dict[str, str] | None = None, errors: object = None
) -> Response:
    """One problem document."""
    document = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        document["errors"] = errors
    return Response(json.dumps(document), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""

    @app.exception_handler(UnMoGrowPError)
    async def _ours(_request: Request, error: UnMoGrowPError) -> Response:
        status = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)
        headers: dict[str, str] = {}
        if status == http.HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, TooManyFailuresError):
            headers["Retry-After"] = str(error.retry_after_s)
        elif status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return problem(status, str(error), headers=headers)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, error.detail, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in entry["loc"]), "detail": entry["msg"]}
            for entry in error.errors()[:20]
        ]
        first = errors[0] if errors else {"pointer": "/", "detail": "invalid"}
        return problem(422, f"{first['pointer']}: {first['detail']}", errors=errors)


REFUSALS = frozenset({http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN})


def refusals() -> Notices:
    """Refused requests as lines of the plane's log: it has no way to the platform's audit trail. Bounded as there."""
    return Notices(_log_refusal, distinct_max=DENIALS_DISTINCT_PER_MINUTE, hourly_max=DENIALS_PER_HOUR)


def _log_refusal(notice: Notice, repeats: int) -> None:
    """Nothing that was sent is in the line."""
    again = f" repeats={repeats}" if repeats else ""
    LOG.warning("%s action=%s %s%s", DENIED, notice.action, notice.reason, again)


class PlaneMiddleware:
    """Around every request: the tenant named in `X-Tenant-ID` must be ours; headers, metrics, refusals' log lines.

    It also turns an unexpected exception into a 500 without its text: that may quote data.
    """

    def __init__(self, app: ASGIApp, *, tenant_id: str, metrics: PlaneMetrics, refused: Notices) -> None:
        self._app = app
        self._tenant_id = tenant_id
        self._metrics = metrics
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith(("/api/", "/config.json")):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        named = Headers(scope=scope).get("x-tenant-id", self._tenant_id)
        try:
            if is_head_too_large(scope):
                await problem(431, TOO_LARGE)(scope, receive, send_with_headers)
            elif named != self._tenant_id:
                refusal = problem(403, f"this plane serves {self._tenant_id} alone: send its X-Tenant-ID")
                await refusal(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            failure = problem(500, "the request failed here: see the plane's log")
            await failure(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - started
            method = counted_method(scope)
            self._metrics.request(method, route, status, seconds)
            if status in REFUSALS:
                whose = "its own" if named == self._tenant_id else "another"  # never which one
                self._refused.add(Notice("-", f"{method} {route}", None, f"status={status} tenant={whose}"))
