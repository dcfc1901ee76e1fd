"""What the background sender does, as effects that both clients run: linger, take a batch, deliver, settle.

Belongs here: order, lingering, refusals, counting. Not here: HTTP and trying again (`delivery`), storage
(`waiting`, `buffer`), threads and tasks (the clients).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unmogrowp.batching import BATCH_BYTES, BATCH_EVENTS, Batch, Refusal
from unmogrowp.delivery import Steps, Tell, Wait, deliver
from unmogrowp.errors import (
    BufferFullError,
    ClientError,
    ConfigurationError,
    DoorUnavailableError,
    PermanentError,
    RefusedError,
    TooLargeError,
)
from unmogrowp.events import line_of
from unmogrowp.transport import Door, batch_post, body_post
from unmogrowp.waiting import Buffer, Group, Kind, Parcel, Position, RefusedBody

LOG = logging.getLogger(__name__)
LONGEST_PAUSE_S = 30.0  # while the door is away: 2 requests a minute, and the first event after it is back
TIDY_AFTER_S = 1.0  # a drained segment is deleted when nothing came for so long


@dataclass(frozen=True)
class Options:
    """How a client batches and whom it tells. Callbacks are for the sender's thread, or the loop: be quick."""

    batch_max_events: int = BATCH_EVENTS
    batch_max_bytes: int = BATCH_BYTES
    flush_interval_s: float = 1.0
    full_wait_s: float = 10.0
    on_quarantined: Callable[[Refusal], object] | None = None
    on_refused: Callable[[RefusedBody], object] | None = None
    on_acknowledged: Callable[[int], object] | None = None

    def __post_init__(self) -> None:
        if min(self.batch_max_events, self.batch_max_bytes) < 1 or self.flush_interval_s < 0:
            raise ConfigurationError("batch limits begin at 1, and flush_interval_s at 0: give larger ones")


@dataclass(frozen=True)
class Stats:
    """Counts since the client was made; `pending_bytes` is now. `last_problem` is None after a success."""

    tracked: int = 0
    accepted: int = 0
    quarantined: int = 0
    refused: int = 0
    acknowledged: int = 0
    requests: int = 0
    failed_requests: int = 0
    lost_frames: int = 0
    pending_bytes: int = 0
    last_problem: str | None = None

    def document(self) -> dict[str, Any]:
        """The numbers as JSON."""
        return asdict(self)


class Engine:
    """One tenant's stream of records to the door. Any thread adds; one runs `sending`."""

    def __init__(self, door: Door, buffer: Buffer, options: Options) -> None:
        self.door, self.buffer, self.options = door, buffer, options
        self.problem: ClientError | None = None
        self.attempts = self.failed_attempt = 0  # how many were begun, and which of them failed last
        self.progressed: Callable[[], None] = lambda: None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # of what both sides write: counts, lingering
        self._waiting_events, self._waiting_since_s = 0, 0.0
        self._is_idle = False
        self._urgent_until: Position = (-1, 0)
        self._refusals_to_report = 0

    def line(self, event: Mapping[str, Any]) -> tuple[str, bytes]:
        """An event's id and line; raises InvalidEventError."""
        return line_of(event, self.door.tenant_id, max_bytes=self.options.batch_max_bytes)

    def add(self, kind: Kind, records: Sequence[bytes]) -> tuple[Group, bool]:
        """Queue records for `buffer.commit`, and whether the sender must be woken; raises BufferFullError."""
        try:
            group = self.buffer.add(kind, records)
        except BufferFullError as error:
            if self.problem is None:
                raise
            raise BufferFullError(f"{error} ({self.problem})") from error
        with self._lock:
            before = self._waiting_events
            if before == 0:
                self._waiting_since_s = time.monotonic()
            self._waiting_events += len(records)
            self._counts["tracked"] += len(records)
            is_full = before < self.options.batch_max_events <= self._waiting_events
            return group, self._is_idle or is_full

    def hurry(self) -> Position:
        """Send without lingering what is committed now; the position where that is done."""
        self._urgent_until = self.buffer.tail
        return self._urgent_until

    def is_sent(self, until: Position) -> bool:
        """Whether everything before the position is acknowledged or refused."""
        return self.buffer.head >= until or self.buffer.pending_bytes == 0

    def raise_refusals(self) -> None:
        """Raise RefusedError once for what the door refused since the last call."""
        with self._lock:
            count, self._refusals_to_report = self._refusals_to_report, 0
        if count:
            raise RefusedError(
                f"tenant {self.door.tenant_id}: the door refused {count} events for good; take_refused() gives "
                "them with its reasons"
            )

    def unsent(self, reason: str) -> ClientError:
        """Why a flush did not finish: the credential, or a door that is away."""
        problem = self.problem
        if isinstance(problem, PermanentError):
            return problem
        detail = f"; {problem}" if problem else ""
        return DoorUnavailableError(f"tenant {self.door.tenant_id}: {reason}{detail}; flush again later")

    def stats(self) -> Stats:
        """Counts and what waits."""
        problem = self.problem
        with self._lock:
            counts = dict(self._counts)
        return Stats(
            **counts,
            lost_frames=self.buffer.lost_frames,
            pending_bytes=self.buffer.pending_bytes,
            last_problem=str(problem) if problem else None,
        )

    def sending(self) -> Steps[None]:
        """Send everything that is ever added, in order, until the runner stops."""
        while True:
            linger_s = self._linger_s()
            if linger_s > 0:
                yield Wait(linger_s)
                continue
            with self._lock:
                self._waiting_events = 0
            parcel = self.buffer.peek(self.options.batch_max_events, self.options.batch_max_bytes)
            if parcel is not None:
                yield from self._send(parcel)
                continue
            self._is_idle = True  # before the look at what waits: what is added later wakes
            yield Wait(TIDY_AFTER_S)
            if self.buffer.pending_bytes == 0:
                self.buffer.tidy()
                yield Wait(None)
            self._is_idle = False

    def _linger_s(self) -> float:
        """How long neighbours may still join what waits."""
        with self._lock:
            count, since_s = self._waiting_events, self._waiting_since_s
        options = self.options
        is_full = count >= options.batch_max_events or self.buffer.pending_bytes >= options.batch_max_bytes
        if count == 0 or is_full or self.buffer.head < self._urgent_until:
            return 0.0
        return since_s + options.flush_interval_s - time.monotonic()

    def _send(self, parcel: Parcel) -> Steps[None]:
        if parcel.kind is Kind.EVENT:
            yield from self._send_events(Batch(parcel.records))
        else:
            yield from self._send_body(parcel.records[0], is_batch=parcel.kind is Kind.BATCH_BODY)
        self.problem = None
        self.buffer.done(parcel)
        self.progressed()

    def _send_events(self, batch: Batch) -> Steps[None]:
        post = batch_post(batch.lines)
        try:
            answer = yield from deliver(
                post,
                lambda reply: self.door.answer(reply, batch.lines),
                self._failed,
                longest_pause_s=LONGEST_PAUSE_S,
            )
        except TooLargeError as error:
            if len(batch.lines) == 1:
                yield from self._refuse(batch.lines, error)
                return
            for half in batch.halves():
                yield from self._send_events(half)
            return
        except RefusedError as error:
            yield from self._refuse(batch.lines, error)
            return
        self._count(requests=1, accepted=answer.accepted, quarantined=answer.quarantined)
        if self.options.on_quarantined is not None:
            for each in answer.refused:
                yield Tell(_guarded(self.options.on_quarantined), each)
        yield from self._acknowledge(len(batch.lines))

    def _send_body(self, body: bytes, *, is_batch: bool) -> Steps[None]:
        post = body_post(body, is_batch=is_batch)
        try:
            yield from deliver(post, self.door.checked, self._failed, longest_pause_s=LONGEST_PAUSE_S)
        except RefusedError as error:
            yield from self._refuse([body], error)
            return
        self._count(requests=1)
        yield from self._acknowledge(1)

    def _failed(self, error: ClientError) -> None:
        """Never give up on what waits, but on bytes that the door will never take."""
        self._count(requests=1, failed_requests=1)
        if isinstance(error, RefusedError):
            raise error
        if type(self.problem) is not type(error):
            LOG.warning("%s", error)
        self.problem = error
        self.failed_attempt = self.attempts
        self.progressed()

    def _acknowledge(self, records: int) -> Steps[None]:
        self._count(acknowledged=records)
        if self.options.on_acknowledged is not None:
            yield Tell(_guarded(self.options.on_acknowledged), records)

    def _refuse(self, records: Sequence[bytes], error: RefusedError) -> Steps[None]:
        LOG.error("%s", error)
        refusal = RefusedBody(error.status, error.answer, b"\n".join(records))
        self.buffer.keep_refused(refusal)
        self._count(refused=len(records))
        with self._lock:
            self._refusals_to_report += len(records)
        if self.options.on_refused is not None:
            yield Tell(_guarded(self.options.on_refused), refusal)

    def _count(self, **more: int) -> None:
        with self._lock:
            self._counts.update(more)


def _guarded(function: Callable[[Any], object]) -> Callable[[Any], None]:
    """The caller's function; what it raises is logged, so that it cannot stop the sending."""

    def call(argument: Any) -> None:
        try:
            function(argument)
        except Exception:
            LOG.exception("a callback of the client failed")

    return call
