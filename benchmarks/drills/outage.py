"""The outage drill: the lander is away while events pile up, then catches up, in the memory it always takes.

Two landers, each a process of its own over the same log: the first keeps up with batch after batch, the second
finds many batches at once. What is compared is the most memory that each ever held (the kernel's high-water mark),
because a lander that read its whole backlog would show there and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.drills.verdict import raw_events
from benchmarks.servers import TENANT, Door, running_door, running_lander
from benchmarks.traffic import make_events, requests_of, send_all
from ingest_api.event_log.segment_files import directory_bytes
from resources.errors import ServiceUnavailableError
from resources.lake import Lake

EVENTS_PER_REQUEST = 500
STEADY_BATCHES = 5  # by then caches and the allocator have what they keep
BATCHES = 20
PARTS = 4  # of distinct devices; the load repeats them, because a lander mostly meets known ones
GROWTH_MAX = 1.2
LAND_TIMEOUT_S = 600.0
POLL_S = 0.05


def run(workdir: Path, *, batches: int, batch_events: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Keep up with STEADY_BATCHES, then catch up with `batches`, each of `batch_events`."""
    with running_door(workdir / "home", land_max_rows=batch_events, land_interval_s=1) as door:
        parts = [make_events(TENANT, batch_events, part) for part in range(PARTS)]
        load = [
            requests_of(events, EVENTS_PER_REQUEST, TENANT, door.token, is_packed=True) for events in parts
        ]
        with running_lander(door) as lander:
            for number in range(STEADY_BATCHES):
                say(f"keeping up: batch {number + 1} of {STEADY_BATCHES}")
                _send(door, load, number)
                _wait_for(door, (number + 1) * batch_events)
            steady_mb = peak_mb(lander.pid)
        say(f"the lander is away while {batches} batches come in")
        for number in range(batches):
            _send(door, load, number)
        backlog_bytes = directory_bytes(door.settings.event_log_dir)
        total = (STEADY_BATCHES + batches) * batch_events
        started_s = time.monotonic()
        with running_lander(door) as lander:
            say(f"catching up with {backlog_bytes} bytes")
            _wait_for(door, total)
            seconds = time.monotonic() - started_s
            catching_up_mb = peak_mb(lander.pid)
        faults = _faults(door, total)
    growth = catching_up_mb / steady_mb
    return {
        "drill": "outage",
        "batch_events": batch_events,
        "batches": batches,
        "backlog_bytes": backlog_bytes,
        "seconds": round(seconds, 1),
        "events_per_s": round(batches * batch_events / seconds),
        "peak_mb_keeping_up": round(steady_mb, 1),
        "peak_mb_catching_up": round(catching_up_mb, 1),
        "growth": round(growth, 3),
        "faults": {**faults, "grew_by_more_than_a_fifth": int(growth > GROWTH_MAX)},
        "details": [],
    }


def peak_mb(pid: int) -> float:
    """The most resident memory a process ever held, in MB (10^6 bytes); Linux."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e6


def _send(door: Door, load: Sequence[Sequence[bytes]], number: int) -> None:
    send_all(door.server.port, load[number % len(load)])


def _wait_for(door: Door, rows: int) -> None:
    """Return once that many rows are in raw.events."""
    lake = Lake(door.settings)
    deadline_s = time.monotonic() + LAND_TIMEOUT_S
    try:
        while (landed := _landed(lake)) < rows:
            if time.monotonic() > deadline_s:
                raise ServiceUnavailableError(f"{landed} of {rows} events landed in {LAND_TIMEOUT_S:g} s")
            time.sleep(POLL_S)
    finally:
        lake.close()


def _landed(lake: Lake) -> int:
    snapshot = lake.table("raw.events").current_snapshot()
    return int(snapshot.summary["total-records"] or 0) if snapshot and snapshot.summary else 0


def _faults(door: Door, total: int) -> dict[str, int]:
    """Every delivery landed once: as many rows as were sent, none with the receipt of another, no number twice."""
    lake = Lake(door.settings)
    try:
        rows = raw_events(lake).select("event_id", "received_at", "land_seq")
    finally:
        lake.close()
    distinct = rows.select("event_id", "received_at").n_unique()
    return {
        "events_missing": max(0, total - distinct),
        "events_landed_twice": rows.height - distinct,
        "land_seq_repeated_or_skipped": len({*range(rows.height)} ^ set(rows["land_seq"])),
    }
