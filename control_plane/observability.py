"""Around every request: metrics, the body limit `traceparent`; and `/health`, `/metrics`. No business."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.context import Plane, require_scraper
from control_plane.problems import responses
from resources.registry import Registry, TenantState
from resources.registry.sessions import now_utc

BODY_MAX_BYTES = 64 * 1024  # the largest request of this API, a rule set, is 40,000 bytes and its spaces
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, version 00

router = APIRouter(tags=["operations"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses=responses(503))
def ready(plane: Plane) -> dict[str, str]:
    """Whether the registry's database answers."""
    plane.registry.ping()
    return {"status": "ok"}


@router.get(
    "/metrics", response_class=Response, dependencies=[Depends(require_scraper)], responses=responses(401)
)
def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)


class TenantsByState(Collector):
    """Gauge of tenants per state, counted when Prometheus asks."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One sample per state, zeros included."""
        gauge = GaugeMetricFamily("unmogrowp_tenants", "Tenants by state", labels=["state"])
        states = [tenant.state for tenant in self._registry.list()]
        for state in TenantState:
            gauge.add_metric([str(state)], states.count(state))
        yield gauge

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering must not need the database."""
        return ()


class UndeliveredExports(Collector):
    """Gauges of deliveries that wait or are dead, and of circuits that are not closed, per tenant and destination."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """A sample where there is something to tell: a receiver without one is well."""
        labels = ["tenant", "destination", "state"]
        deliveries = GaugeMetricFamily(
            "unmogrowp_undelivered_exports", "Exports that failed and are not delivered", labels=labels
        )
        for (tenant, destination, state), count in self._registry.delivery_counts().items():
            deliveries.add_metric([tenant, destination, str(state)], count)
        yield deliveries
        circuits = GaugeMetricFamily("unmogrowp_export_circuits", "Failures in a row", labels=labels)
        now = now_utc()
        for one in self._registry.circuits():
            where = str(one.circuit.state(now))
            circuits.add_metric([one.tenant_id, one.destination_id, where], one.circuit.failures)
        yield circuits

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering must not need the database."""
        return ()


def install(app: FastAPI, registry: Registry) -> None:
    """Give `app` its own metrics, and put the middleware around it."""
    collectors = CollectorRegistry()
    collectors.register(TenantsByState(registry))
    collectors.register(UndeliveredExports(registry))
    app.state.metrics = collectors
    app.include_router(router)
    app.add_middleware(RequestMiddleware, collectors=collectors)


class RequestMiddleware:
    """Times every request under its route's template, limits its body, and passes `traceparent` back."""

    def __init__(self, app: ASGIApp, collectors: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "unmogrowp_http_request_seconds",
            "Time to answer",
            ["method", "route"],
            registry=collectors,
        )
        self._answers = Counter(
            "unmogrowp_http_responses", "Answers", ["method", "route", "status"], registry=collectors
        )

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
            self._seconds.labels(method, route).observe(time.perf_counter() - began_s)
            self._answers.labels(method, route, str(status)).inc()


def _limited(receive: Receive) -> Receive:
    seen_bytes = 0

    async def receive_within_limit() -> Message:
        nonlocal seen_bytes
        message = await receive()
        seen_bytes += len(message.get("body", b""))
        if seen_bytes > BODY_MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {BODY_MAX_BYTES} bytes; send less")
        return message

    return receive_within_limit


def _pass_trace(scope: Scope, message: Message) -> None:
    given = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    if _TRACEPARENT.fullmatch(given):
        MutableHeaders(scope=message)["traceparent"] = given
