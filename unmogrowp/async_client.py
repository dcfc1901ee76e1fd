"""The client for asyncio: one task sends, any task of the same loop tracks.

Belongs here: the task, its waking and stopping, waiting for it. What it does is `engine`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from unmogrowp.base import READY_TIMEOUT_S, BaseClient
from unmogrowp.batching import Batch, BatchAnswer, SendReport
from unmogrowp.delivery import GiveUp, Wait, deliver_batch, in_thread, reply_of, run_async
from unmogrowp.errors import BufferFullError, ClientError, DoorUnavailableError
from unmogrowp.sync_client import LONGEST_SEND_PAUSE_S, RESTART_AFTER_S
from unmogrowp.transport import READY_PATH, Post, Reply, Unreachable, body_post
from unmogrowp.waiting import Group, Kind

LOG = logging.getLogger(__name__)


class AsyncClient(BaseClient):
    """As `Client`, for one event loop: an async context manager. `BaseClient` lists the options."""

    def _open(self) -> None:
        self._http = httpx.AsyncClient(**self._http_options())
        self._woken, self._progress = asyncio.Event(), asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._commit: tuple[Group, asyncio.Task[None]] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        try:  # the error on its way out says more than one of closing
            await self.close(self._brief_s)
        except ClientError as closing:
            LOG.error("%s; %d events are lost", closing, len(closing.events))

    def start(self) -> None:
        """Begin sending in the running loop, also what waited on disk from before; tracking does it too."""
        self._check_open()
        if self._sender is None:
            loop = asyncio.get_running_loop()

            def progressed() -> None:
                loop.call_soon_threadsafe(self._progress.set)

            self._engine.progressed = progressed
            name = f"unmogrowp-{self._door.tenant_id}"
            self._sender = loop.create_task(self._run_sender(), name=name)

    async def track(self, event: Mapping[str, Any]) -> str:
        """Take one event and return its id; as `Client.track`. Tasks that track at once share one sync."""
        event_id, line = self._engine.line(event)
        await self._add(Kind.EVENT, [line])
        return event_id

    async def track_many(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """Take all of these events or none, with one sync to disk for all; else as `track`."""
        taken = [self._engine.line(event) for event in events]
        if taken:
            await self._add(Kind.EVENT, [line for _, line in taken])
        return [event_id for event_id, _ in taken]

    async def relay(
        self, body: bytes, *, is_batch: bool, headers: Mapping[str, str] | None = None
    ) -> Reply | None:
        """Hand on a JSON body that somebody else made, byte for byte: one event, or an array of them.

        The door's own answer when nothing waits and it answers now; else None, once the body is where events
        wait, to follow in order. Its id must be in it: it may be sent again.

        Raises:
            BufferFullError: the door is away and there is no room.
        """
        self.start()
        if self.pending_bytes == 0:
            reply = await self._post(body_post(body, is_batch=is_batch, headers=headers))
            if isinstance(reply, Reply) and reply.status < httpx.codes.INTERNAL_SERVER_ERROR:
                return reply
            problem = reply.problem if isinstance(reply, Unreachable) else reply.status
            LOG.warning("tenant %s: the door is away (%s)", self._door.tenant_id, problem)
        await self._add(Kind.BATCH_BODY if is_batch else Kind.SINGLE_BODY, [body])
        return None

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything tracked before is acknowledged; raises as `Client.flush`."""
        self._check_open()
        self.start()
        await self._flush(self._retry_for_s if timeout_s is None else timeout_s)

    async def close(self, timeout_s: float | None = None) -> None:
        """Flush and end; waits and raises as `Client.close`."""
        if self._is_closed:
            return
        if self.pending_bytes:
            self.start()
        self._is_closed = True
        failure: ClientError | None = None
        try:
            await self._flush(self._close_s(timeout_s))
        except ClientError as error:
            failure = error
        finally:
            unsent = await self._end()
        if failure is not None:
            failure.events = unsent
            if not (self._is_durable and isinstance(failure, DoorUnavailableError)):
                raise failure

    async def require_ready(self) -> None:
        """Ask the door once whether it takes events; raises DoorUnavailableError when not."""
        try:
            answer = await self._http.get(READY_PATH, timeout=READY_TIMEOUT_S)
        except httpx.RequestError as error:
            self._require_ready(Unreachable(f"{type(error).__name__}: {error}"))
        else:
            self._require_ready(reply_of(answer))

    async def send(
        self, batches: Iterable[Batch], on_acknowledged: Callable[[Batch, BatchAnswer], None] | None = None
    ) -> SendReport:
        """Send finished lines now, beside what is tracked; order, memory and errors as `Client.send`."""
        self._check_open()
        report, started_s = SendReport(), time.monotonic()
        waiting: deque[tuple[Batch, asyncio.Task[BatchAnswer]]] = deque()
        turn = asyncio.Semaphore(self._connections)

        async def settle() -> None:
            batch, task = waiting[0]
            answer = await task
            waiting.popleft()
            report.add(batch, answer)
            if on_acknowledged is not None:
                on_acknowledged(batch, answer)

        try:
            for batch in batches:
                waiting.append((batch, asyncio.create_task(self._send_batch(batch, turn))))
                if len(waiting) >= 2 * self._connections:
                    await settle()
            while waiting:
                await settle()
        finally:
            rest = [task for _, task in waiting]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        report.seconds = time.monotonic() - started_s
        return report

    async def _send_batch(self, batch: Batch, turn: asyncio.Semaphore) -> BatchAnswer:
        async with turn:
            give_up = GiveUp(self._door, self._retry_for_s)
            steps = deliver_batch(self._door, batch.lines, give_up, longest_pause_s=LONGEST_SEND_PAUSE_S)
            return await run_async(steps, self._post, lambda effect: asyncio.sleep(effect.seconds or 0.0))

    async def _add(self, kind: Kind, records: Sequence[bytes]) -> None:
        self.start()
        deadline_s = time.monotonic() + self._engine.options.full_wait_s
        while True:
            try:
                group, must_wake = self._engine.add(kind, records)
                break
            except BufferFullError:
                before = self._engine.buffer.head
                left_s = deadline_s - time.monotonic()
                if not await self._until(lambda: self._engine.buffer.head > before, left_s):  # noqa: B023 - called in this turn
                    raise
        if not group.is_done:
            await self._committed(group)
        if must_wake:
            self._woken.set()

    async def _committed(self, group: Group) -> None:
        """One thread syncs for all tasks of the group; a cancelled task does not cancel it."""
        if self._commit is None or self._commit[0] is not group:
            task = asyncio.create_task(asyncio.to_thread(self._engine.buffer.commit, group))
            self._commit = group, task
        await asyncio.shield(self._commit[1])

    async def _flush(self, timeout_s: float) -> None:
        engine = self._engine
        until, attempts = engine.hurry(), engine.attempts
        if not engine.is_sent(until):
            self._woken.set()
            await self._until(lambda: self._is_flushed(until, attempts), timeout_s)
            if not engine.is_sent(until):
                raise engine.unsent(f"not everything was sent within {timeout_s:g} s")
        engine.raise_refusals()

    async def _until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        """Whether it comes true in time; looked at after every step of the sender."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(timeout_s, 0.0)):
                while not is_true():
                    self._progress.clear()
                    await self._progress.wait()
        return is_true()

    async def _run_sender(self) -> None:
        while True:
            try:
                await run_async(self._engine.sending(), self._post_as_sender, self._wait)
            except Exception:  # the sender must not die while events wait
                LOG.exception("tenant %s: the sender failed and starts again", self._door.tenant_id)
                await asyncio.sleep(RESTART_AFTER_S)

    async def _post(self, request: Post) -> Reply | Unreachable:
        try:
            answer = await self._http.post(request.path, content=request.body, headers=request.headers)
        except httpx.RequestError as error:
            return Unreachable(f"{type(error).__name__}: {error}")
        return reply_of(answer)

    async def _post_as_sender(self, request: Post) -> Reply | Unreachable:
        self._engine.attempts += 1
        return await self._post(request)

    async def _wait(self, effect: Wait) -> None:
        if not effect.may_be_woken:
            await asyncio.sleep(effect.seconds or 0.0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(effect.seconds):
                await self._woken.wait()
        self._woken.clear()

    async def _end(self) -> list[bytes]:
        """Stop the sender and let go of everything; what is lost if the caller does not keep it."""
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        if self._commit is not None:
            await asyncio.wait([self._commit[1]])
        await self._http.aclose()
        return await in_thread(self._engine.buffer.close)
