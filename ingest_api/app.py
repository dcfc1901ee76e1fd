"""The door as an ASGI application: FastAPI for health, metrics and OpenAPI, a thin front to ingest.

The front answers `POST /v1/events/ingest` and `/v1/events/batch`, and those of every other contract version,
without FastAPI's layers (41 instead of 119 µs per request) by the same `HotPath` that the documented routes call.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ingest_api.answers import Answer, problem
from ingest_api.arrival import ROUTES, ClientGoneError
from ingest_api.connection_guard import GUARD, ConnectionGuard
from ingest_api.documentation import (
    DESCRIPTION,
    METRICS_DOCUMENTATION,
    SECURITY_SCHEMES,
    batch_documentation,
    event_components,
    single_documentation,
)
from ingest_api.event_log.stores import open_event_log
from ingest_api.hot_path import HotPath
from ingest_api.keys import KeyCache, KeySource
from ingest_api.metrics import DoorMetrics
from ingest_api.quota_keeper import QuotaKeeper, QuotaSource
from ingest_api.refusals import Refusals
from ingest_api.tracing import Traces, traced
from ingest_api.worker_counts import WorkerCounts
from resources.errors import AuthenticationError
from resources.lean_process import share_one_heap
from resources.registry import Registry
from resources.registry.access_trail import denials_of
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


class DoorRegistry(KeySource, QuotaSource, Protocol):
    """What the door needs of the registry."""


class Door:
    """The ASGI application. `api` is the FastAPI application behind the front."""

    def __init__(self, api: FastAPI, hot_path: HotPath, head_max_fields: int) -> None:
        self.api = api
        self._hot_path = hot_path
        self._head_max_fields = head_max_fields
        self._traces = Traces()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the ingest requests; pass everything else on."""
        if scope["type"] == "http" and len(scope["headers"]) > self._head_max_fields:
            answer = problem(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too_many_headers",
                f"a request may have {self._head_max_fields} headers",
            )
        elif scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in ROUTES:
            await self._pass_on(scope, receive, send)
            return
        else:
            try:
                answer = await self._hot_path.answer(scope["path"], scope["headers"], receive)
            except ClientGoneError:
                return
        await send(
            {"type": "http.response.start", "status": int(answer.status), "headers": answer.raw_headers()}
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To FastAPI; its answers name their trace too."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        traceparent = self._traces.of(dict(scope["headers"]))

        async def send_traced(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"traceparent", traceparent)]
            await send(message)

        scope.setdefault("state", {})["traceparent"] = traceparent
        await self.api(scope, receive, send_traced)


class _Running:
    """What a door has while it is served: its log, its counts' file, its connections' guard."""

    def __init__(
        self,
        settings: Settings,
        hot_path: HotPath,
        metrics: DoorMetrics,
        source: QuotaSource,
        refused: Refusals,
    ) -> None:
        self.hot_path = hot_path
        self._source = source
        self._refused = refused
        self.counts: WorkerCounts | None = None
        self._settings = settings
        self._metrics = metrics

    async def start(self, stack: AsyncExitStack) -> dict[str, Any]:
        """Open it all, to be closed with the stack; the state that the server's connections get."""
        if self.hot_path.event_log is None:
            self.hot_path.event_log = log = open_event_log(self._settings)
            stack.push_async_callback(log.close)
            stack.callback(setattr, self.hot_path, "event_log", None)
        self.counts = counts = WorkerCounts(self._settings.status_dir / "door", self._metrics)
        stack.push_async_callback(counts.close)
        await stack.enter_async_context(self._refused.written())
        guard = ConnectionGuard(self._settings, self._metrics, self.hot_path)
        keeper = QuotaKeeper(self.hot_path.quotas, self._source, self._settings)
        await keeper.start()
        stack.push_async_callback(keeper.close)
        for work in (counts.keep_publishing(), guard.watch(), keeper.keep()):
            stack.callback(asyncio.create_task(work).cancel)
        return {GUARD: guard}

    async def exposition(self) -> tuple[bytes, str]:
        """The metrics of all workers."""
        log, counts = self.hot_path.event_log, self.counts
        if log is None or counts is None:
            return self._metrics.exposition()
        return await counts.exposition(await log.usage())


def create_app(
    settings: Settings, registry: DoorRegistry | None = None, event_log: EventLog | None = None
) -> Door:
    """The door of these settings. A given log stays the caller's to close; its own is opened at start-up."""
    metrics = DoorMetrics()
    source = registry or Registry.from_settings(settings)
    keys = KeyCache(source, settings.key_cache_s)
    refused = Refusals(denials_of(source) if isinstance(source, Registry) else None)
    hot_path = HotPath(settings, keys, metrics, refused)
    hot_path.event_log = event_log
    running = _Running(settings, hot_path, metrics, source, refused)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            yield await running.start(stack)

    api = _Api(
        title="UnMoGrowP ingest",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_ingest_routes(api, hot_path)
    _add_operations_routes(api, running, settings.scrape_token())
    api.add_exception_handler(HTTPException, _http_problem)
    return Door(api, hot_path, settings.head_max_fields)


def app_from_environment() -> Door:
    """The door of this process's settings: the factory uvicorn's workers call."""
    share_one_heap()
    return create_app(load_settings())


def _add_ingest_routes(api: FastAPI, hot_path: HotPath) -> None:
    async def answered(request: Request) -> Response:
        answer = await hot_path.answer(request.url.path, request.headers.raw, request.receive)
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


def _add_operations_routes(api: FastAPI, running: _Running, scrape_token: str) -> None:
    @api.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @api.get("/health/ready", tags=["operations"])
    async def ready() -> Response:
        """The event log takes events."""
        log = running.hot_path.event_log
        if log is None or not log.is_writable():
            return _response(
                problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "the event log takes nothing now")
            )
        return JSONResponse({"status": "ready"})

    @api.get("/metrics", **METRICS_DOCUMENTATION)
    async def prometheus(request: Request) -> Response:
        """Prometheus exposition: the sum of all workers of this door."""
        try:
            check_scraper(request.headers.get("authorization", ""), scrape_token)
        except AuthenticationError as error:
            return _response(problem(HTTPStatus.UNAUTHORIZED, "unauthorized", str(error)))
        text, content_type = await running.exposition()
        return Response(text, media_type=content_type)


async def _http_problem(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    phrase = HTTPStatus(status).phrase
    answer = problem(status, phrase.lower().replace(" ", "_"), f"{phrase}: see /openapi.json")
    trace = getattr(request.state, "traceparent", None)
    response = _response(answer._replace(body=traced(answer, trace).body) if trace else answer)
    response.headers.update(headers or {})
    return response


def _response(answer: Answer) -> Response:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type.decode())
