"""Claim: taking an event durably costs a small multiple of what any Python server does with a request.

CPU of the door's process (parse, token, JSON Schema, fdatasync before each 202) per event: one and 100 to a
request as plain JSON, 500 as SDKs send them (NDJSON under zstd); the yardstick is the same single requests to a
no-op on the same server.
`acked_events_per_s_500` is wall clock with the load generator on the same cores: a floor, not a ceiling.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Result, Size, cpu_seconds, measured
from benchmarks.servers import TENANT, Server, running_door, running_noop
from benchmarks.traffic import make_events, requests_of, send_all

ROUNDS = 5
WARM_UP_SHARE = 10  # a tenth of a round first: compiled contracts, grown buffers, open connections
# Events of one round by events per request: each takes the door 0.2–0.5 CPU s, far above the clock's noise.
ROUND_EVENTS = {1: 6_000, 100: 60_000, 500: 200_000}
PACKED_AT = 500  # events per request from which on senders pack


class _Round(NamedTuple):
    cpu_us_per_event: float
    events_per_s: float


def run(workdir: Path, size: Size) -> list[Result]:
    """The door's and the no-op's figures."""
    with running_door(workdir / "door") as door, running_noop(workdir) as noop:
        events = make_events(TENANT, max(size.of(count) for count in ROUND_EVENTS.values()))
        rounds: dict[int, list[_Round]] = {}
        for per_request, count in ROUND_EVENTS.items():
            sent = events[: size.of(count)]
            requests = requests_of(sent, per_request, TENANT, door.token, is_packed=per_request == PACKED_AT)
            if per_request == 1:
                rounds[1], noop_rounds = _rounds([door.server, noop], requests, len(sent))
            else:
                [rounds[per_request]] = _rounds([door.server], requests, len(sent))
    yardsticks = {1: "noop_cpu_us_per_request"}
    return [
        *(
            _cpu_result(f"door_cpu_us_per_event_{count}", done, yardsticks.get(count))
            for count, done in rounds.items()
        ),
        _cpu_result("noop_cpu_us_per_request", noop_rounds),
        measured("acked_events_per_s_500", [one.events_per_s for one in rounds[500]], "events/s"),
    ]


def _cpu_result(name: str, rounds: list[_Round], yardstick: str | None = None) -> Result:
    return measured(name, [one.cpu_us_per_event for one in rounds], "us", yardstick)


def _rounds(servers: list[Server], requests: list[bytes], event_count: int) -> list[list[_Round]]:
    """The rounds of each server; they take turns, so that other work on the machine meets both."""
    for server in servers:
        send_all(server.port, requests[: len(requests) // WARM_UP_SHARE + 1])
    turns = [[_round(server, requests, event_count) for server in servers] for _ in range(ROUNDS)]
    return [[turn[at] for turn in turns] for at in range(len(servers))]


def _round(server: Server, requests: list[bytes], event_count: int) -> _Round:
    cpu_before_s, started_s = cpu_seconds(server.pid), time.perf_counter()
    send_all(server.port, requests)
    seconds = time.perf_counter() - started_s
    cpu_s = cpu_seconds(server.pid) - cpu_before_s
    return _Round(cpu_s / event_count * 1e6, event_count / seconds)
