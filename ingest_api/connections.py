"""HTTP connections of the door: slow clients are cut off, heads are bounded, malformed requests get a problem.

uvicorn parses HTTP and closes connections that idle after an answer; it waits for ever for a head, for a body,
and for a client that reads no answers. `connection_guard` has those deadlines. What a request may be is `arrival`'s.

An ingest request that arrives in one piece is handed to the hot path as it is (ADR 10): no parser, no scope, no task.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ingest_api.answers import Answer, problem
from ingest_api.connection_guard import GUARD, ConnectionGuard, Waiting
from ingest_api.joined_writes import JoinedWrites
from ingest_api.whole_requests import PlainHead, plain_head

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState


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
        self._is_taken = False  # the hot path has a request of ours that is not answered yet
        self._answered_at_s = 0.0  # on the loop's clock: the last answer to a request it took
        self._held: list[bytes] = []  # what came behind it
        self._head: tuple[PlainHead, bytes] | None = None  # came alone; its body is to come
        self._is_shutting_down = False

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
        """Take a request that came whole; else parse on, and see what is missing now."""
        if self._is_taken:
            self._held.append(data)
            self.flow.pause_reading()
        elif self._head is not None:
            (head, raw), self._head = self._head, None
            if len(data) != head.body_bytes or not self._takes(head, data):
                self._parse(raw + data)
        elif not self._is_between_requests() or not self._begins_with(data):
            self._parse(data)

    def _is_between_requests(self) -> bool:
        cycle = self.cycle
        has_answered = cycle is None or (cycle.response_complete and not cycle.more_body)
        return has_answered and self._head_bytes == 0 and not self.flow.write_paused

    def _begins_with(self, data: bytes) -> bool:
        """Whether these bytes are one whole request and the hot path has it, or its head and we wait for the body."""
        guard = self._guard
        head = plain_head(data, max_bytes=guard.head_max_bytes, max_fields=guard.head_max_fields)
        if head is None or self.transport.is_closing():
            return False
        if len(data) == head.size_bytes and head.body_bytes <= guard.awaited_max_bytes:
            self._head = head, data
            guard.expect(self, Waiting.BODY)
            return True
        is_whole = len(data) == head.size_bytes + head.body_bytes
        return is_whole and self._takes(head, data[head.size_bytes :])

    def _takes(self, head: PlainHead, body: bytes) -> bool:
        """Whether the hot path takes the request."""
        self._is_taken = True
        if not self._guard.hot_path.take(head.with_body(body), self._reply):
            self._is_taken = False
            return False
        self._guard.settle(self)
        return True

    def _reply(self, answer: Answer) -> None:
        """Answer the request that the hot path took, and go on with what came behind it."""
        self._is_taken = False
        if self.transport.is_closing():
            return
        self.transport.write(self._response(answer))
        self.server_state.total_requests += 1
        self._answered_at_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._arm_keep_alive(self.timeout_keep_alive)
        if self._is_shutting_down:
            self.transport.close()
        elif self._held:
            data, self._held = b"".join(self._held), []
            self.flow.resume_reading()
            self.data_received(data)

    def _response(self, answer: Answer) -> bytes:
        fields = [*self.server_state.default_headers, *answer.raw_headers()]
        if self._is_shutting_down:
            fields.append((b"connection", b"close"))
        lines = [name + b": " + value for name, value in fields]
        return STATUS_LINE[answer.status] + b"\r\n".join([*lines, b"", answer.body])

    def _arm_keep_alive(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(after_s, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Answer what has begun first."""
        if self._is_taken:
            self._is_shutting_down = True
            return
        if self._head is not None:
            (_, raw), self._head = self._head, None
            self._parse(raw)
        super().shutdown()

    def _parse(self, data: bytes) -> None:
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
        """Close an idle connection; one that never read its answer would not let itself be closed.

        Requests that the hot path takes do not touch the timer, it costs a microsecond: here it is put right.
        """
        idle_s = self.loop.time() - self._answered_at_s
        if self._is_taken or idle_s < self.timeout_keep_alive:
            self._arm_keep_alive(
                self.timeout_keep_alive if self._is_taken else self.timeout_keep_alive - idle_s
            )
        elif self.transport.get_write_buffer_size():
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
        return self._current is None and self._head_bytes == 0 and self._head is None

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
