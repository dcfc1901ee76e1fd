"""Around every request of a service: its time, the limit of its body, its `traceparent`. What is counted is theirs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resources.serving.heads import TOO_LARGE, is_head_too_large
from resources.serving.problems import problem

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, version 00
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
Note = Callable[[str, str, int, float], None]  # method, route's template, status, seconds


class RequestMiddleware:
    """Tells `note` of every request under its route's template, limits its body, and passes `traceparent` back."""

    def __init__(self, app: ASGIApp, note: Note, body_max_bytes: int) -> None:
        self._app = app
        self._note = note
        self._body_max_bytes = body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _pass_trace(scope, message)
            await send(message)

        app = _refuse_head if is_head_too_large(scope) else self._app
        try:
            await app(scope, _limited(receive, self._body_max_bytes), send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = counted_method(scope) if scope.get("route") is not None else "ANY"
            self._note(method, route, status, time.perf_counter() - began_s)


def counted_method(scope: Scope) -> str:
    """The request's method, as a metric's label: who makes methods up must not make up series."""
    return scope["method"] if scope["method"] in _METHODS else "OTHER"


async def _refuse_head(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(431, "The headers are too large", TOO_LARGE)(scope, receive, send)


def _limited(receive: Receive, body_max_bytes: int) -> Receive:
    seen_bytes = 0

    async def receive_within_limit() -> Message:
        nonlocal seen_bytes
        message = await receive()
        seen_bytes += len(message.get("body", b""))
        if seen_bytes > body_max_bytes:
            raise HTTPException(413, f"the body is larger than {body_max_bytes} bytes; send less")
        return message

    return receive_within_limit


def _pass_trace(scope: Scope, message: Message) -> None:
    given = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    if _TRACEPARENT.fullmatch(given):
        MutableHeaders(scope=message)["traceparent"] = given
