"""`python -m resources.embedded.clickhouse_server --path DIR --host H --port N`: ClickHouse over HTTP.

What belongs here: sockets, authentication and the process. What does not: the protocol's meaning
(`clickhouse_protocol`) and the engine (`clickhouse_engine`). ADR 0001 says what a real server does beside.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import functools
import hmac
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resources.embedded.clickhouse_engine import Engine, new_query_id
from resources.embedded.clickhouse_protocol import (
    EngineError,
    RequestOptions,
    answer_headers,
    decode_body,
    encode_body,
    parse_form,
    parse_options,
)
from resources.embedded.clickhouse_statement import parse_statement
from resources.errors import UnMoGrowPError

T = TypeVar("T")

AUTHENTICATION_FAILED = 516
USER = "default"

# Requests that run at once; more wait. Each may use every core: 16 keep small queries moving beside big ones.
_MAX_RUNNING_REQUESTS = 16
# Clients recycle connections after 600 s. Closing earlier would race with their next insert, which they
# cannot resend (it may have run).
_KEEP_ALIVE_S = 900
_SHUTDOWN_GRACE_S = 10


class ClickHouseHttp:
    """The HTTP endpoints over one engine."""

    def __init__(self, engine: Engine, password: str | None) -> None:
        self._engine = engine
        self._password = password
        self._limiter = anyio.CapacityLimiter(_MAX_RUNNING_REQUESTS)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "clickhouse_requests", "Requests by ClickHouse error code", ["code"], registry=self.registry
        )
        self._seconds = Histogram("clickhouse_request_seconds", "Seconds per request", registry=self.registry)
        sessions = Gauge("clickhouse_sessions", "Open sessions", registry=self.registry)
        sessions.set_function(lambda: engine.session_count)

    async def ping(self, _request: Request) -> Response:
        """Liveness, as clients ask for it."""
        return Response("Ok.\n", media_type="text/plain")

    async def live(self, _request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _request: Request) -> Response:
        """The engine answers a query."""
        try:
            statement = parse_statement(b"SELECT 1")
            await self._in_thread(functools.partial(self._engine.run, statement, RequestOptions()))
        except EngineError as error:
            return JSONResponse({"status": "not ready", "detail": error.message}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text."""
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")

    async def query(self, request: Request) -> Response:
        """Run one statement: from the URL's `query`, the body, or both (the body then follows the query)."""
        if request.method == "GET" and not request.url.query:
            return await self.ping(request)
        query_id = request.query_params.get("query_id") or new_query_id()
        started_s = time.perf_counter()
        code = 0
        try:
            authenticate(request.headers, request.query_params, self._password)
            body = await request.body()
            return await self._in_thread(functools.partial(self._answer, request, body, query_id))
        except ClientDisconnect:
            return Response(status_code=400)
        except EngineError as error:
            code = error.code
            headers = answer_headers(query_id=query_id, output_format=None, summary={})
            headers |= {"X-ClickHouse-Exception-Code": str(code), "Content-Type": "text/plain; charset=UTF-8"}
            return Response(f"{error.message}\n", error.http_status, headers)
        finally:
            self._requests.labels(code=str(code)).inc()
            self._seconds.observe(time.perf_counter() - started_s)

    def _answer(self, request: Request, body: bytes, query_id: str) -> Response:
        content_type = request.headers.get("content-type", "")
        pairs = list(request.query_params.items())
        body = decode_body(body, request.headers.get("content-encoding", "").lower())
        if content_type.startswith("multipart/form-data"):
            pairs.extend(parse_form(body, content_type).items())
            body = b""
        options = parse_options(pairs, request.headers)
        text = b"\n".join(part for part in (options.query.encode(), body) if part)
        answer = self._engine.run(parse_statement(text), options, read_only=request.method == "GET")
        headers = answer_headers(
            query_id=query_id, output_format=answer.output_format, summary=answer.summary
        )
        content, coding = encode_body(
            answer.body, request.headers.get("accept-encoding", ""), options.compress_answer
        )
        if coding is not None:
            headers["Content-Encoding"] = coding
        return Response(content, headers=headers)

    async def _in_thread(self, work: functools.partial[T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def authenticate(headers: Mapping[str, str], query: Mapping[str, str], password: str | None) -> None:
    """Let a request in: by Basic, `X-ClickHouse-User`/`-Key` or URL parameters; never from a web page.

    Raises:
        EngineError: the credential is wrong, or a browser sent the request on a page's behalf.
    """
    if "origin" in headers:
        raise EngineError(AUTHENTICATION_FAILED, "requests of web pages are refused: use a ClickHouse client")
    if password is None:
        return
    user = headers.get("x-clickhouse-user", query.get("user", USER))
    given = headers.get("x-clickhouse-key", query.get("password", ""))
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, given = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    right_password = hmac.compare_digest(given.encode(), password.encode())
    if not right_password or user != USER:
        raise EngineError(
            AUTHENTICATION_FAILED,
            f"{USER}: Authentication failed: password is incorrect, or there is no user with such name",
        )


def create_app(
    engine: Engine, *, password: str | None = None, allowed_hosts: tuple[str, ...] = ("*",)
) -> Starlette:
    """The ASGI app over `engine`, which it closes when it shuts down."""
    endpoints = ClickHouseHttp(engine, password)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(engine.close)

    return Starlette(
        routes=[
            Route("/ping", endpoints.ping),
            Route("/health/live", endpoints.live),
            Route("/health/ready", endpoints.ready),
            Route("/metrics", endpoints.metrics),
            Route("/", endpoints.query, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))],
        lifespan=lifespan,
    )


def main(arguments: list[str] | None = None) -> int:
    """Serve one directory until SIGTERM. Exit code 1 and one sentence when it cannot."""
    parser = argparse.ArgumentParser(
        prog="python -m resources.embedded.clickhouse_server", description=__doc__
    )
    parser.add_argument("--path", type=Path, required=True, help="data directory; made when absent")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--password-file", type=Path, help="file holding the password of user `default`")
    parser.add_argument(
        "--files",
        type=Path,
        help="the one directory below which icebergLocal may read; default: where it starts",
    )
    parser.add_argument("--max-memory-bytes", type=int, help="default: half of the memory, at most 8 GiB")
    options = parser.parse_args(arguments)
    try:
        password = options.password_file.read_text().strip() if options.password_file else None
        directory = options.path.resolve()
        if options.files:
            os.chdir(
                options.files
            )  # chDB 26.9 reads files below its working directory only; no setting moves it
        engine = Engine(directory, options.max_memory_bytes)
    except (UnMoGrowPError, OSError, RuntimeError) as error:
        sys.stderr.write(f"clickhouse: {error}\n")
        return 1
    # On a loopback only our own names are answered: a page cannot rebind its name to here and read.
    loopback = options.host in {"127.0.0.1", "localhost", "::1"}
    app = create_app(
        engine, password=password, allowed_hosts=("127.0.0.1", "localhost", "[::1]") if loopback else ("*",)
    )
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_GRACE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
