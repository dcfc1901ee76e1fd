"""The lander's own HTTP: `/health/live`, `/health/ready`, `/metrics`, for the operator and Prometheus alone.

The standard library's server in a thread: landing is plain blocking calls, and four requests a minute need no
event loop beside them. Nothing tenants may ask is here.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import orjson

from ingest_api.answers import Answer, problem
from resources.errors import AuthenticationError
from resources.scraping import check_scraper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest_api.lander_metrics import LanderMetrics

logger = logging.getLogger(__name__)
STUCK_AFTER_S = 300.0  # 300 times what a full batch of 100,000 rows takes here
REQUEST_TIMEOUT_S = 10.0  # a client that sends its request slower holds a thread for no longer


class LanderEndpoints:
    """What each path answers."""

    def __init__(self, metrics: LanderMetrics, scrape_token: str) -> None:
        self._metrics = metrics
        self._scrape_token = scrape_token

    def answer(self, path: str, authorization: str) -> Answer:
        """The answer to a GET."""
        routes: dict[str, Callable[[str], Answer]] = {
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/metrics": self._prometheus,
        }
        route = routes.get(path.partition("?")[0])
        if route is None:
            known = ", ".join(routes)
            return problem(HTTPStatus.NOT_FOUND, "not_found", f"there are {known} here")
        return route(authorization)

    def _live(self, _: str) -> Answer:
        return Answer(HTTPStatus.OK, orjson.dumps({"status": "live"}))

    def _ready(self, _: str) -> Answer:
        metrics = self._metrics
        if metrics.failures_in_a_row:
            why = f"the last {metrics.failures_in_a_row} landings failed: HOME/status/lander.json says why"
        elif time.monotonic() - metrics.last_success_at > STUCK_AFTER_S:
            why = f"no landing has ended for {STUCK_AFTER_S:.0f} s: the lake or the vault hangs"
        else:
            why = ""
        if why:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_landing", f"{why}; nothing is lost")
        return Answer(HTTPStatus.OK, orjson.dumps({"status": "ready"}))

    def _prometheus(self, authorization: str) -> Answer:
        try:
            check_scraper(authorization, self._scrape_token)
        except AuthenticationError as error:
            return problem(HTTPStatus.UNAUTHORIZED, "unauthorized", str(error))
        text, content_type = self._metrics.exposition()
        return Answer(HTTPStatus.OK, text, content_type.encode())


@contextmanager
def serving(endpoints: LanderEndpoints, host: str, port: int) -> Iterator[int | None]:
    """Serve in a thread; gives the port. None where it is taken: landing goes on without, and the log says so."""
    try:
        server = _Server((host, port), _handler(endpoints))
    except OSError as error:
        logger.error(
            "no metrics or health of this lander: %s:%d cannot be opened (%s); set UNMOGROWP_LANDER_PORT",
            host,
            port,
            error.strerror,
        )
        yield None
        return
    thread = threading.Thread(target=server.serve_forever, name="lander-http", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(endpoints: LanderEndpoints) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            answer = endpoints.answer(self.path, self.headers.get("authorization", ""))
            self.send_response(answer.status)
            for name, value in answer.raw_headers():
                self.send_header(name.decode(), value.decode())
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """A scrape every few seconds is no news."""

    return Handler
