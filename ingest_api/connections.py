"""HTTP connections of the door: slow clients are cut off, heads are bounded, malformed requests get a problem.

uvicorn parses HTTP and closes connections that idle after an answer; it waits for ever for a head, for a body,
and for a client that reads no answers. Here are those deadlines. What a whole request may be is `arrival`'s.

A request that arrives in one piece costs two comparisons here: only a connection that waits for its client has
a deadline, and one task looks at all of them (measured: 1 ms for 10,000 that wait).
"""

from __future__ import annotations

import asyncio
import logging
import time
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ingest_api.answers import Answer, problem
from ingest_api.joined_writes import JoinedWrites

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from ingest_api.metrics import DoorMetrics
    from resources.settings import Settings

logger = logging.getLogger(__name__)
GUARD = "connection_guard"  # in the application's lifespan state, where every connection finds it
SWEEP_INTERVAL_S = 0.25
CLOSING_S = 5.0  # for the last answer to go out before the connection is broken off


class Waiting(Enum):
    """What a connection waits for its client to do."""

    HEAD = auto()
    BODY = auto()
    CLOSING = auto()


class _Deadline(NamedTuple):
    waiting: Waiting
    at_s: float


class ConnectionGuard:
    """The deadlines of one worker's connections."""

    def __init__(self, settings: Settings, metrics: DoorMetrics) -> None:
        self.head_max_bytes = settings.head_max_bytes
        self._timeouts_s = {
            Waiting.HEAD: settings.head_timeout_s,
            Waiting.BODY: settings.body_timeout_s,
            Waiting.CLOSING: CLOSING_S,
        }
        self._metrics = metrics
        self._deadlines: dict[DoorProtocol, _Deadline] = {}
        self._unread: dict[DoorProtocol, float] = {}  # they do not read their answers

    def expect(self, protocol: DoorProtocol, waiting: Waiting) -> None:
        """Begin to wait; while it waits for the same thing, the deadline stays."""
        current = self._deadlines.get(protocol)
        if current is None or current.waiting is not waiting:
            self._deadlines[protocol] = _Deadline(waiting, time.monotonic() + self._timeouts_s[waiting])

    def settle(self, protocol: DoorProtocol) -> None:
        """The client did what it had to."""
        self._deadlines.pop(protocol, None)

    def expect_reading(self, protocol: DoorProtocol) -> None:
        """The client's answers pile up with us."""
        self._unread[protocol] = time.monotonic() + self._timeouts_s[Waiting.BODY]

    def settle_reading(self, protocol: DoorProtocol) -> None:
        """It reads again."""
        self._unread.pop(protocol, None)

    def forget(self, protocol: DoorProtocol) -> None:
        """The connection is no more."""
        self.settle(protocol)
        self.settle_reading(protocol)

    def refused(self, answer: Answer) -> None:
        """Count an answer that no application gave."""
        self._metrics.answered(answer.status)

    def sweep(self, now_s: float) -> None:
        """Cut off whoever is late."""
        for protocol, (waiting, at_s) in list(self._deadlines.items()):
            if now_s < at_s:
                continue
            if protocol.is_held_up_by_us():
                self._deadlines[protocol] = _Deadline(waiting, now_s + self._timeouts_s[waiting])
            else:
                protocol.cut_off(waiting)
        for protocol, at_s in list(self._unread.items()):
            if now_s >= at_s:
                protocol.cut_off(Waiting.CLOSING)

    async def watch(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            try:
                self.sweep(time.monotonic())
            except Exception:  # one odd connection must not free all others of their deadlines
                logger.exception("a late connection could not be cut off")


class DoorProtocol(HttpToolsProtocol):
    """One connection. Its guard comes from the application's lifespan state."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard: ConnectionGuard = app_state[GUARD]
        self._current: RequestResponseCycle | None = None  # whose head was complete when last looked
        self._head_bytes = 0  # of a head that is not complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a first request."""
        joined = JoinedWrites(cast("asyncio.Transport", transport))  # of a stream, always
        self._joined = joined
        super().connection_made(cast("asyncio.Transport", joined))
        self._guard.expect(self, Waiting.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._guard.forget(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer without a body is complete too."""
        self._joined.flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Parse on, and see what is missing now."""
        if self._head_bytes + len(data) > self._guard.head_max_bytes and self._makes_head_too_large(data):
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                f"request line and headers may have {self._guard.head_max_bytes} bytes together",
            )
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not self._current:  # a head is complete
            self._current = cycle
            self._head_bytes = 0
            if cycle.more_body:
                self._guard.expect(self, Waiting.BODY)
            else:
                self._guard.settle(self)
        elif cycle is None or cycle.response_complete:
            self._head_bytes += 0 if self._is_draining() else len(data)
            self._guard.expect(self, Waiting.HEAD)
        elif not cycle.more_body:
            self._guard.settle(self)

    def pause_writing(self) -> None:
        """Begin to wait until the client reads."""
        super().pause_writing()
        self._guard.expect_reading(self)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        self._guard.settle_reading(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that never read its answer would not let itself be closed."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets a problem like everything else."""
        self._refuse(HTTPStatus.BAD_REQUEST, "bad_request", f"{msg} Nothing was taken.")

    def is_held_up_by_us(self) -> bool:
        """Whether we have stopped reading: then the client cannot be late."""
        return bool(self.flow.read_paused)

    def cut_off(self, waiting: Waiting) -> None:
        """End the connection of a client that is late."""
        if waiting is Waiting.CLOSING:
            self.transport.abort()
        elif self._is_silent() or self._is_draining():
            self._close()
        else:
            part = "headers" if waiting is Waiting.HEAD else "body"
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                "too_slow",
                f"the request's {part} took too long: nothing was taken",
            )

    def _makes_head_too_large(self, data: bytes) -> bool:
        if self._current is not None and (self._current.more_body or not self._current.response_complete):
            return False  # these bytes are a body's
        end = data.find(b"\r\n\r\n")
        return self._head_bytes + (len(data) if end < 0 else end) > self._guard.head_max_bytes

    def _is_silent(self) -> bool:
        return self._current is None and self._head_bytes == 0

    def _is_draining(self) -> bool:
        """Whether a body still comes in whose request was answered before it was complete."""
        cycle = self._current
        return cycle is not None and cycle.response_complete and cycle.more_body

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answer here and close. Never between an earlier request and its answer: then only close."""
        cycle = self.cycle
        is_alone = not self.pipeline and (cycle is None or cycle.response_complete or cycle.more_body)
        if is_alone and not self.transport.is_closing():
            answer = problem(status, code, detail)
            self._guard.refused(answer)
            headers = [*answer.raw_headers(), (b"connection", b"close")]
            lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
            lines += [name + b": " + value for name, value in headers]
            self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._guard.expect(self, Waiting.CLOSING)
