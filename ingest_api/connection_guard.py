"""The deadlines of one worker's connections: who waits for its client, and until when. Cutting off is `connections`'.

Only a connection that waits for its client has a deadline, and one task looks at all of them (measured: 1 ms for
10,000 that wait).
"""

from __future__ import annotations

import asyncio
import logging
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ingest_api.answers import Answer
    from ingest_api.connections import DoorProtocol
    from ingest_api.hot_path import HotPath
    from ingest_api.metrics import DoorMetrics
    from resources.settings import Settings

logger = logging.getLogger(__name__)
GUARD = "connection_guard"  # in the application's lifespan state, where every connection finds it
SWEEP_INTERVAL_S = 0.25
# A body behind a head that came alone: clients send the two apart. A larger one comes in parts (uvloop reads 256 KiB
# at a time) and is the parser's to gather.
AWAITED_MAX_BYTES = 128 * 1024
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

    def __init__(self, settings: Settings, metrics: DoorMetrics, hot_path: HotPath) -> None:
        self.hot_path = hot_path
        self.head_max_bytes = settings.head_max_bytes
        self.head_max_fields = settings.head_max_fields
        self.awaited_max_bytes = min(AWAITED_MAX_BYTES, settings.body_max_bytes)
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
