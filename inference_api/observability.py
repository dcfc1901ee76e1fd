"""Around every request: metrics, the body limit, `traceparent`; and `/health`, `/metrics`. No scoring."""

from __future__ import annotations

import re
import time
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_api.problems import responses
from resources.scraping import check_scraper

BODY_MAX_BYTES = 1024 * 1024  # 1,000 items of this contract are about 350 KB
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)  # around the 2-4 ms of one item
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, version 00

_metrics_scheme = HTTPBearer(
    auto_error=False, scheme_name="metricsToken", description="HOME/secrets/metrics.token"
)

router = APIRouter(tags=["operations"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses=responses(503))
def ready(request: Request) -> dict[str, str]:
    """Whether keys and models can be looked up."""
    request.app.state.inference.ping()
    return {"status": "ok"}


def require_scraper(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_metrics_scheme)]
) -> None:
    """Let Prometheus pass.

    Raises:
        AuthenticationError: the scrape token is missing or wrong.
    """
    given = "" if credentials is None else f"Bearer {credentials.credentials}"
    check_scraper(given, request.app.state.scrape_token)


@router.get(
    "/metrics", response_class=Response, dependencies=[Depends(require_scraper)], responses=responses(401)
)
def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


class InferenceMetrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "unmogrowp_inference_request_seconds",
            "Time to answer",
            ["route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.answers = Counter(
            "unmogrowp_inference_responses", "Answers", ["method", "route", "status"], registry=self.registry
        )
        self.scored = Counter(
            "unmogrowp_inference_scored_users",
            "Users scored",
            ["tenant_id", "model_version"],
            registry=self.registry,
        )


def install(app: FastAPI, metrics_: InferenceMetrics, scrape_token: str) -> None:
    """Give `app` its metrics and operational routes, and put the middleware around it."""
    app.state.metrics = metrics_
    app.state.scrape_token = scrape_token
    app.include_router(router)
    app.add_middleware(RequestMiddleware, metrics=metrics_)


class RequestMiddleware:
    """Times every request under its route's template, limits its body, and passes `traceparent` back."""

    def __init__(self, app: ASGIApp, metrics: InferenceMetrics) -> None:
        self._app = app
        self._metrics = metrics

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

        try:
            await self._app(scope, _limited(receive), send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope.get("route") is not None else "ANY"
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began_s)
            self._metrics.answers.labels(method, route, str(status)).inc()


def _limited(receive: Receive) -> Receive:
    seen_bytes = 0

    async def receive_within_limit() -> Message:
        nonlocal seen_bytes
        message = await receive()
        seen_bytes += len(message.get("body", b""))
        if seen_bytes > BODY_MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {BODY_MAX_BYTES} bytes; send fewer items")
        return message

    return receive_within_limit


def _pass_trace(scope: Scope, message: Message) -> None:
    given = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    if _TRACEPARENT.fullmatch(given):
        MutableHeaders(scope=message)["traceparent"] = given
