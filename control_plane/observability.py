"""What is counted of requests here, how large they may be; and `/health`, `/metrics`. No business."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from control_plane.context import Plane, require_scraper
from control_plane.problems import responses
from resources.registry import Registry, TenantState
from resources.registry.sessions import now_utc
from resources.serving.requests import Note, RequestMiddleware

BODY_MAX_BYTES = 64 * 1024  # the largest request of this API, a rule set, is 40,000 bytes and its spaces

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
    app.add_middleware(RequestMiddleware, note=_requests_counted(collectors), body_max_bytes=BODY_MAX_BYTES)


def _requests_counted(collectors: CollectorRegistry) -> Note:
    seconds = Histogram(
        "unmogrowp_http_request_seconds", "Time to answer", ["method", "route"], registry=collectors
    )
    answers = Counter(
        "unmogrowp_http_responses", "Answers", ["method", "route", "status"], registry=collectors
    )

    def note(method: str, route: str, status: int, took_s: float) -> None:
        seconds.labels(method, route).observe(took_s)
        answers.labels(method, route, str(status)).inc()

    return note
