"""The door as an ASGI application: FastAPI for health, metrics and OpenAPI, a thin front to ingest.

The front answers `POST /v1/events/ingest` and `/v1/events/batch`, and those of every other contract version,
without FastAPI's layers (41 instead of 119 µs per request) by the same `HotPath` that the documented routes call.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ingest_api.answers import Answer, problem
from ingest_api.documentation import (
    DESCRIPTION,
    METRICS_DOCUMENTATION,
    SECURITY_SCHEMES,
    batch_documentation,
    event_components,
    single_documentation,
)
from ingest_api.event_log.stores import open_event_log
from ingest_api.hot_path import ROUTES, ClientGoneError, HotPath
from ingest_api.keys import KeyCache, KeySource
from ingest_api.metrics import DoorMetrics
from resources.errors import AuthenticationError
from resources.registry import Registry
from resources.scraping import check_scraper
from resources.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from ingest_api.event_log.protocol import EventLog
    from resources.settings import Settings

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Api(FastAPI):
    """FastAPI whose OpenAPI document also holds the event schemas, and says which tokens are sent, and how."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        components = document.setdefault("components", {})
        components["securitySchemes"] = SECURITY_SCHEMES
        components["schemas"] = {**components.get("schemas", {}), **event_components()}
        return document


class Door:
    """The ASGI application. `api` is the FastAPI application behind the front."""

    def __init__(self, api: FastAPI, hot_path: HotPath) -> None:
        self.api = api
        self._hot_path = hot_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the ingest requests; pass everything else on."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in ROUTES:
            await self.api(scope, receive, send)
            return
        try:
            answer = await self._hot_path.answer(scope["path"], dict(scope["headers"]), receive)
        except ClientGoneError:
            return
        await send(
            {"type": "http.response.start", "status": int(answer.status), "headers": answer.raw_headers()}
        )
        await send({"type": "http.response.body", "body": answer.body})


def create_app(
    settings: Settings, registry: KeySource | None = None, event_log: EventLog | None = None
) -> Door:
    """The door of these settings. A given log stays the caller's to close; its own is opened at start-up."""
    metrics = DoorMetrics()
    keys = KeyCache(registry or Registry(settings.registry_url), settings.key_cache_s)
    hot_path = HotPath(settings, keys, metrics)
    hot_path.event_log = event_log

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if hot_path.event_log is not None:
            yield
            return
        own_log = open_event_log(settings)
        hot_path.event_log = own_log
        try:
            yield
        finally:
            hot_path.event_log = None
            await own_log.close()

    api = _Api(
        title="UnMoGrowP ingest",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_ingest_routes(api, hot_path)
    _add_operations_routes(api, hot_path, metrics, settings.scrape_token())
    api.add_exception_handler(HTTPException, _http_problem)
    return Door(api, hot_path)


def app_from_environment() -> Door:
    """The door of this process's settings: the factory uvicorn's workers call."""
    return create_app(load_settings())


def _add_ingest_routes(api: FastAPI, hot_path: HotPath) -> None:
    async def answered(request: Request) -> Response:
        answer = await hot_path.answer(request.url.path, dict(request.headers.raw), request.receive)
        return _response(answer)

    async def ingest_event(request: Request) -> Response:
        """Take one event. 202 once it is durable."""
        return await answered(request)

    async def ingest_batch(request: Request) -> Response:
        """Take many events, each with its own verdict. 202 once all are durable."""
        return await answered(request)

    for path, route in ROUTES.items():
        if route.is_batch:
            api.post(path, **batch_documentation(route.version))(ingest_batch)
        else:
            api.post(path, **single_documentation(route.version))(ingest_event)


def _add_operations_routes(api: FastAPI, hot_path: HotPath, metrics: DoorMetrics, scrape_token: str) -> None:
    @api.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @api.get("/health/ready", tags=["operations"])
    async def ready() -> Response:
        """The event log takes events."""
        log = hot_path.event_log
        if log is None or not log.is_writable():
            return _response(
                problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "the event log takes nothing now")
            )
        return JSONResponse({"status": "ready"})

    @api.get("/metrics", **METRICS_DOCUMENTATION)
    async def prometheus(request: Request) -> Response:
        """Prometheus exposition of this worker."""
        try:
            check_scraper(request.headers.get("authorization", ""), scrape_token)
        except AuthenticationError as error:
            return _response(problem(HTTPStatus.UNAUTHORIZED, "unauthorized", str(error)))
        text, content_type = metrics.exposition()
        return Response(text, media_type=content_type)


async def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    phrase = HTTPStatus(status).phrase
    response = _response(problem(status, phrase.lower().replace(" ", "_"), f"{phrase}: see /openapi.json"))
    response.headers.update(headers or {})
    return response


def _response(answer: Answer) -> Response:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type.decode())
