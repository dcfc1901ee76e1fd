"""The client for threads: one background thread sends, any thread tracks.

Belongs here: the thread, its waking and stopping, waiting for it. What it does is `engine`'s.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx

from unmogrowp.base import READY_TIMEOUT_S, BaseClient
from unmogrowp.batching import Batch, BatchAnswer, SendReport
from unmogrowp.delivery import GiveUp, Wait, deliver_batch, reply_of, run
from unmogrowp.errors import BufferFullError, ClientError, DoorUnavailableError
from unmogrowp.transport import READY_PATH, Post, Reply, Unreachable
from unmogrowp.waiting import Kind

LOG = logging.getLogger(__name__)
LONGEST_SEND_PAUSE_S = 5.0  # `send` gives up after a minute: pauses of half of it would be too few tries
RESTART_AFTER_S = 1.0  # a sender that failed, by a disk that cannot be read, looks again


class _StoppedError(Exception):
    """The client is closing: the sender ends here."""


class Client(BaseClient):
    """Tracks events from any thread and sends them in the background; a context manager.

    Use one per process, tenant and door, made after any fork. `BaseClient` lists the options.
    """

    def _open(self) -> None:
        self._http = httpx.Client(**self._http_options())
        self._state = threading.Condition()
        self._is_woken = self._is_stopping = False
        self._stop_sending = threading.Event()
        self._sender: threading.Thread | None = None
        self._engine.progressed = self._notify
        atexit.register(self._close_at_exit)
        if self.pending_bytes:
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._close_at_exit()  # the error on its way out says more than one of closing

    def track(self, event: Mapping[str, Any]) -> str:
        """Take one event and return its id; eventId, tenantId and timestamp are filled in where missing.

        With a buffer directory the event is on disk when this returns; else it is in memory. It is sent with
        the same id and the same bytes until the door acknowledges it.

        Raises:
            InvalidEventError: the event can never be sent.
            BufferFullError: no room came within `full_wait_s`; the event was not taken.
            ClosedError: the client is closed, or of another process.
        """
        event_id, line = self._engine.line(event)
        self._add([line])
        return event_id

    def track_many(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """Take all of these events or none, with one sync to disk for all; else as `track`."""
        taken = [self._engine.line(event) for event in events]
        if taken:
            self._add([line for _, line in taken])
        return [event_id for event_id, _ in taken]

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything tracked before is acknowledged; `retry_for_s` at most where nothing is said.

        Raises:
            DoorUnavailableError: time is over; what waits keeps waiting.
            AuthenticationError, ForbiddenError, ProtocolError: the door takes nothing from this client.
            RefusedError: the door will never take some events; `take_refused` gives them.
        """
        self._check_open()
        self._flush(self._retry_for_s if timeout_s is None else timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Flush and end. With a buffer directory what is not sent after 5 s waits there for the next client.

        Raises:
            ClientError: without a buffer directory something was not sent; `events` of the error holds it.
            RefusedError: as `flush`.
        """
        if self._is_closed:
            return
        self._check_open()
        self._is_closed = True
        atexit.unregister(self._close_at_exit)
        failure: ClientError | None = None
        try:
            self._flush(self._close_s(timeout_s))
        except ClientError as error:
            failure = error
        unsent = self._end()
        if failure is not None:
            failure.events = unsent
            if not (self._is_durable and isinstance(failure, DoorUnavailableError)):
                raise failure

    def require_ready(self) -> None:
        """Ask the door once whether it takes events.

        Raises:
            DoorUnavailableError: it does not answer, or says no.
        """
        try:
            reply: Reply | Unreachable = reply_of(self._http.get(READY_PATH, timeout=READY_TIMEOUT_S))
        except httpx.RequestError as error:
            reply = Unreachable(f"{type(error).__name__}: {error}")
        self._require_ready(reply)

    def send(
        self, batches: Iterable[Batch], on_acknowledged: Callable[[Batch, BatchAnswer], None] | None = None
    ) -> SendReport:
        """Send finished lines now, beside what is tracked; twice as many batches as connections in memory.

        `on_acknowledged` is called in the order of the batches, in this thread: when it sees a batch, that
        batch and all before it are durable.

        Raises:
            PermanentError: the door refuses (401, 403, 400 …); nothing more is sent.
            DoorUnavailableError: the door took nothing for `retry_for_s`.
        """
        self._check_open()
        report, started_s = SendReport(), time.monotonic()
        waiting: deque[tuple[Batch, Future[BatchAnswer]]] = deque()
        self._stop_sending.clear()

        def settle() -> None:
            batch, future = waiting.popleft()
            answer = future.result()
            report.add(batch, answer)
            if on_acknowledged is not None:
                on_acknowledged(batch, answer)

        pool = ThreadPoolExecutor(self._connections, thread_name_prefix="unmogrowp-send")
        try:
            for batch in batches:
                waiting.append((batch, pool.submit(self._send_batch, batch)))
                if len(waiting) >= 2 * self._connections:
                    settle()
            while waiting:
                settle()
        except BaseException:
            self._stop_sending.set()  # threads that wait to try again give up at once
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        report.seconds = time.monotonic() - started_s
        return report

    def _send_batch(self, batch: Batch) -> BatchAnswer:
        give_up = GiveUp(self._door, self._retry_for_s)
        steps = deliver_batch(self._door, batch.lines, give_up, longest_pause_s=LONGEST_SEND_PAUSE_S)

        def wait(effect: Wait) -> None:
            if self._stop_sending.wait(effect.seconds):
                raise _StoppedError

        return run(steps, self._post, wait)

    def _add(self, lines: Sequence[bytes]) -> None:
        self._check_open()
        deadline_s = time.monotonic() + self._engine.options.full_wait_s
        while True:
            try:
                group, must_wake = self._engine.add(Kind.EVENT, lines)
                break
            except BufferFullError:
                before = self._engine.buffer.head
                with self._state:
                    left_s = deadline_s - time.monotonic()
                    if not self._state.wait_for(lambda: self._engine.buffer.head > before, max(left_s, 0.0)):  # noqa: B023 - called in this turn
                        raise
        self._engine.buffer.commit(group)
        if self._sender is None:
            self._start()
        if must_wake:
            self._wake()

    def _flush(self, timeout_s: float) -> None:
        engine = self._engine
        until, attempts = engine.hurry(), engine.attempts
        if not engine.is_sent(until):
            self._start()
            self._wake()
            with self._state:
                self._state.wait_for(lambda: self._is_flushed(until, attempts), timeout_s)
            if not engine.is_sent(until):
                raise engine.unsent(f"not everything was sent within {timeout_s:g} s")
        engine.raise_refusals()

    def _start(self) -> None:
        with self._state:
            if self._sender is None:
                name = f"unmogrowp-{self._door.tenant_id}"
                self._sender = threading.Thread(target=self._run_sender, name=name, daemon=True)
                self._sender.start()

    def _run_sender(self) -> None:
        while not self._is_stopping:
            try:
                run(self._engine.sending(), self._post_as_sender, self._wait)
            except _StoppedError:
                return
            except Exception:  # the sender must not die while events wait
                LOG.exception("tenant %s: the sender failed and starts again", self._door.tenant_id)
                with self._state:
                    self._state.wait_for(lambda: self._is_stopping, RESTART_AFTER_S)

    def _post(self, request: Post) -> Reply | Unreachable:
        try:
            return reply_of(self._http.post(request.path, content=request.body, headers=request.headers))
        except httpx.RequestError as error:
            return Unreachable(f"{type(error).__name__}: {error}")

    def _post_as_sender(self, request: Post) -> Reply | Unreachable:
        if self._is_stopping:
            raise _StoppedError
        self._engine.attempts += 1
        return self._post(request)

    def _wait(self, effect: Wait) -> None:
        with self._state:
            self._state.wait_for(
                lambda: self._is_stopping or (effect.may_be_woken and self._is_woken), effect.seconds
            )
            if self._is_stopping:
                raise _StoppedError
            self._is_woken = self._is_woken and not effect.may_be_woken

    def _wake(self) -> None:
        with self._state:
            self._is_woken = True
            self._state.notify_all()

    def _notify(self) -> None:
        with self._state:
            self._state.notify_all()

    def _end(self) -> list[bytes]:
        """Stop the sender, after the request it is at, and let go of everything; what is lost if not kept."""
        with self._state:
            self._is_stopping = True
            self._state.notify_all()
        if self._sender is not None:
            self._sender.join()
        self._http.close()
        return self._engine.buffer.close()

    def _close_at_exit(self) -> None:
        """Close, and log what went wrong."""
        try:
            self.close(self._brief_s)
        except ClientError as error:
            LOG.error("%s; %d events are lost", error, len(error.events))
