"""Claim: door and lander keep up with a steady stream into Iceberg, personal values and all, in bounded memory.

The real door and the real lander, each a process of its own, with the load generator on the same cores. The
generator waits while more than a few landings are not in the lake yet, so the figure is what came into the lake per
second from the first request to the last row, and the backlog is flat by construction. Latency is measured while
the lander works, at half that rate, from the moment a request was due.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import quantiles

from benchmarks.harness import Result, Size, measured, resident_mb
from benchmarks.servers import TENANT, LandedRows, Server, running_door, running_lander
from benchmarks.traffic import make_events, requests_of, send_all, send_at_rate

EVENTS_PER_REQUEST = 500
DISTINCT_EVENTS = 200_000  # sent again and again: to the door and the lander a repeat is work like any other
SUSTAINED_EVENTS = 3_000_000
WARM_UP_EVENTS = 200_000  # a landing that pays for imports and meets every device for the first time
BACKLOG_EVENTS = 300_000  # three landings: one under way, one that waits, and room to not run dry
LATENCY_S = 10.0
POLL_S = 0.1


def run(workdir: Path, size: Size) -> list[Result]:
    """Events per second into the lake, p99 at half of that, and the resident memory of both processes."""
    events = make_events(TENANT, _requests_for(size.of(DISTINCT_EVENTS)) * EVENTS_PER_REQUEST)
    with (
        running_door(workdir / "sustained", land_interval_s=1) as door,
        running_lander(door) as lander,
    ):
        requests = requests_of(events, EVENTS_PER_REQUEST, TENANT, door.token, is_packed=True)
        peak = _Peak([door.server, lander])
        landed = LandedRows(door)
        warm_up = _requests_for(size.of(WARM_UP_EVENTS))
        send_all(door.server.port, _repeated(requests, warm_up))
        landed.wait_for(warm_up * EVENTS_PER_REQUEST)
        count = _requests_for(size.of(SUSTAINED_EVENTS))
        started_s = time.perf_counter()
        sent_before = warm_up * EVENTS_PER_REQUEST
        send_all(door.server.port, _held_back(_repeated(requests, count), landed, sent_before))
        landed.wait_for((warm_up + count) * EVENTS_PER_REQUEST)
        events_per_s = count * EVENTS_PER_REQUEST / (time.perf_counter() - started_s)
        half_rate = events_per_s / 2 / EVENTS_PER_REQUEST
        paced = _repeated(requests, max(2, round(half_rate * LATENCY_S * min(1.0, size.scale))))
        latencies_s = send_at_rate(door.server.port, paced, half_rate)
        peak_mb = peak.stop()
    p99_ms = quantiles(latencies_s, n=100)[98] * 1e3
    return [
        measured("sustained_events_per_s_iceberg", [events_per_s], "events/s"),
        measured("p99_ms_half_load", [p99_ms], "ms"),
        measured("rss_mb", [peak_mb], "MB"),
    ]


def _requests_for(event_count: int) -> int:
    """Full requests that hold at least so many events."""
    return -(-event_count // EVENTS_PER_REQUEST)


def _repeated(requests: Sequence[bytes], count: int) -> list[bytes]:
    return [requests[number % len(requests)] for number in range(count)]


def _held_back(requests: Sequence[bytes], landed: LandedRows, before: int) -> Iterator[bytes]:
    """The requests, none while more events wait than the lander should be behind; `before` were sent earlier."""
    checked_s = 0.0
    for number, request in enumerate(requests):
        if time.perf_counter() - checked_s > POLL_S:
            landed.wait_for(before + number * EVENTS_PER_REQUEST - BACKLOG_EVENTS)
            checked_s = time.perf_counter()
        yield request


class _Peak:
    """The most memory the servers held together, sampled in a thread."""

    def __init__(self, servers: Sequence[Server], sample: Callable[[int], float] = resident_mb) -> None:
        self._servers, self._sample = servers, sample
        self._peak_mb = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """The peak, in MB."""
        self._stopped.set()
        self._thread.join()
        return self._peak_mb

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            self._peak_mb = max(self._peak_mb, sum(self._sample(server.pid) for server in self._servers))
