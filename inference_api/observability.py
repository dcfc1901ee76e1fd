"""What is counted of requests here, how large they may be; and `/health`, `/metrics`. No scoring."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from inference_api.problems import responses
from resources.scraping import check_scraper
from resources.serving.requests import RequestMiddleware

BODY_MAX_BYTES = 1024 * 1024  # 1,000 items of this contract are about 350 KB
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)  # around the 2-4 ms of one item

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

    def request(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one answered request."""
        self.seconds.labels(route).observe(took_s)
        self.answers.labels(method, route, str(status)).inc()


def install(app: FastAPI, metrics_: InferenceMetrics, scrape_token: str) -> None:
    """Give `app` its metrics and operational routes, and put the middleware around it."""
    app.state.metrics = metrics_
    app.state.scrape_token = scrape_token
    app.include_router(router)
    app.add_middleware(RequestMiddleware, note=metrics_.request, body_max_bytes=BODY_MAX_BYTES)
