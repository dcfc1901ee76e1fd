"""What the clients have in common: how they are made, what they are made of, what they count.

Belongs here: the constructor, with every option, and what needs neither a thread nor a loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from unmogrowp.batching import BATCH_BYTES, BATCH_EVENTS, Refusal
from unmogrowp.buffer import DiskBuffer
from unmogrowp.delivery import REQUEST_TIMEOUT_S, RETRY_FOR_S
from unmogrowp.engine import Engine, Options, Stats
from unmogrowp.errors import ClosedError, DoorUnavailableError, PermanentError
from unmogrowp.transport import Door, Reply, Unreachable, problem_text
from unmogrowp.waiting import Buffer, MemoryBuffer, Position, RefusedBody

CONNECTIONS = 4
# What tracking costs, CPU of the calling thread and events/s, 386-byte events, two cores busy with other work:
#   memory   track 12 µs, 32k/s · track_many of 100: 7 µs, 48k/s
#   disk     track 180 µs, 320/s (a sync each) · track_many of 100: 10 µs, 16k/s · of 1,000: 8 µs, 32k/s
#            64 asyncio tasks that share syncs: 30 µs, 10k/s · 512: 23 µs, 20k/s
#   to a door on the same cores, flushed: 19-45k/s, 11-13 µs · `send` of finished lines: 150-220k/s, 2.3 µs
MEMORY_BUDGET_BYTES = 64 * 1024 * 1024  # 190,000 usual events
DISK_BUDGET_BYTES = 256 * 1024 * 1024  # 700,000 usual events
BRIEF_CLOSE_S = 5.0  # of a close that loses nothing (disk), or that an error or the program's end is behind
READY_TIMEOUT_S = 5.0


class BaseClient:
    """One tenant's way to one door.

    Args:
        url: the door's address, `http(s)://host:port`.
        tenant_id: the tenant; every event is its.
        token: its write token; shown in no text.
        buffer_dir: where events wait on disk, for this client alone; without it they wait in memory.
        budget_bytes: how much may wait; 64 MiB in memory, 256 MiB on disk.
        batch_max_events: events in one request.
        batch_max_bytes: bytes in one request, unpacked; also the most one event may have.
        flush_interval_s: how long the first event waits for neighbours.
        full_wait_s: how long `track` waits for room when the budget is used up.
        timeout_s: of one request.
        retry_for_s: how long `flush`, `close` and `send` wait for a door that is away.
        connections: how many requests `send` makes at a time.
        on_quarantined: told of each event that the door keeps apart, with its reason.
        on_refused: told of each body that the door will never take.
        on_acknowledged: told how many records were acknowledged.

    Raises:
        ConfigurationError: one of these cannot work. BufferLockedError: another client has the directory.
    """

    def __init__(
        self,
        url: str,
        tenant_id: str,
        token: str,
        *,
        buffer_dir: Path | str | None = None,
        budget_bytes: int | None = None,
        batch_max_events: int = BATCH_EVENTS,
        batch_max_bytes: int = BATCH_BYTES,
        flush_interval_s: float = 1.0,
        full_wait_s: float = 10.0,
        timeout_s: float = REQUEST_TIMEOUT_S,
        retry_for_s: float = RETRY_FOR_S,
        connections: int = CONNECTIONS,
        on_quarantined: Callable[[Refusal], object] | None = None,
        on_refused: Callable[[RefusedBody], object] | None = None,
        on_acknowledged: Callable[[int], object] | None = None,
    ) -> None:
        self._door = Door(url, tenant_id, token)
        options = Options(
            batch_max_events=batch_max_events,
            batch_max_bytes=batch_max_bytes,
            flush_interval_s=flush_interval_s,
            full_wait_s=full_wait_s,
            on_quarantined=on_quarantined,
            on_refused=on_refused,
            on_acknowledged=on_acknowledged,
        )
        self._is_durable = buffer_dir is not None
        self._engine = Engine(self._door, _buffer(buffer_dir, tenant_id, budget_bytes), options)
        self._timeout_s, self._retry_for_s, self._connections = timeout_s, retry_for_s, connections
        self._process_id = os.getpid()
        self._is_closed = False
        self._open()

    def _open(self) -> None:
        """Make what a subclass sends with."""
        raise NotImplementedError

    @property
    def pending_bytes(self) -> int:
        """Bytes of events that the door has not acknowledged yet."""
        return self._engine.buffer.pending_bytes

    def stats(self) -> Stats:
        """What was tracked, accepted, quarantined, refused; what waits; what went wrong last."""
        return self._engine.stats()

    def take_refused(self) -> list[RefusedBody]:
        """What the door refused for good and was not taken before; they are the caller's now."""
        return self._engine.buffer.take_refused()

    def _close_s(self, timeout_s: float | None) -> float:
        """How long a close may take: what is on disk need not be waited for."""
        if timeout_s is not None:
            return timeout_s
        return self._brief_s if self._is_durable else self._retry_for_s

    @property
    def _brief_s(self) -> float:
        return min(BRIEF_CLOSE_S, self._retry_for_s)

    def _http_options(self) -> dict[str, Any]:
        """For both kinds of httpx client. Proxies and other settings of the environment are ignored."""
        return {
            "base_url": self._door.base_url,
            "headers": self._door.http_headers(),
            "timeout": self._timeout_s,
            "limits": httpx.Limits(max_connections=self._connections + 1),  # one more for the sender
            "trust_env": False,
        }

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError(f"tenant {self._door.tenant_id}: this client is closed; make a new one")
        if os.getpid() != self._process_id:
            raise ClosedError(
                f"tenant {self._door.tenant_id}: this client was made before the fork and sends nothing here; "
                "make one in each process"
            )

    def _is_flushed(self, until: Position, attempts: int) -> bool:
        """Whether a flush is over: all sent, or a try begun after its start met a permanent error."""
        engine = self._engine
        is_refused = engine.failed_attempt > attempts and isinstance(engine.problem, PermanentError)
        return engine.is_sent(until) or is_refused

    def _require_ready(self, reply: Reply | Unreachable) -> None:
        if isinstance(reply, Reply) and reply.status == httpx.codes.OK:
            return
        problem = reply.problem if isinstance(reply, Unreachable) else problem_text(reply)
        raise DoorUnavailableError(
            f"tenant {self._door.tenant_id}: the door at {self._door.base_url} is not ready ({problem})"
        )


def _buffer(buffer_dir: Path | str | None, tenant_id: str, budget_bytes: int | None) -> Buffer:
    if buffer_dir is None:
        return MemoryBuffer(tenant_id, budget_bytes=budget_bytes or MEMORY_BUDGET_BYTES)
    return DiskBuffer(Path(buffer_dir), tenant_id, budget_bytes=budget_bytes or DISK_BUDGET_BYTES)
