"""Claim: landing an event exactly once costs a small multiple of merely turning it into Parquet.

CPU of the real lander per event (log read, JSON, pseudonyms, originals sealed into the vault, Parquet, Iceberg
commit) over a log that the real door wrote. The yardstick is DuckDB reading the same events as NDJSON and
writing zstd Parquet: no pseudonyms, no vault, no commit. One device in ten is new in each landing. Beside it dlt, the
usual Python library for this, takes the same NDJSON (read by PyArrow, its fast way) into an Iceberg table.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow.json import read_json

from benchmarks.harness import Result, Size, cpu_seconds, measured
from benchmarks.servers import TENANT, Door, LandedRows, Server, running_door, running_lander
from benchmarks.traffic import make_events, requests_of, send_all
from resources.library_environment import silence_library_telemetry

ROUNDS = 5
WARM_UP_ROUNDS = 2  # the first pays for imports and meets every device for the first time
AFTER_COMMIT_S = 0.3  # deleting what has landed, telling how it stands: of the landing too
LANDING_EVENTS = 100_000  # the default of `land_max_rows`: a lander with a backlog
EVENTS_PER_REQUEST = 500
COPY_TO_PARQUET = (
    "COPY (SELECT * FROM read_ndjson($source)) "
    "TO $target (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
)


def run(workdir: Path, size: Size) -> list[Result]:
    """The lander's, DuckDB's and dlt's CPU per event; they take turns, so that other work meets all of them."""
    per_landing = size.of(LANDING_EVENTS)
    home = workdir / "landing"
    with (
        running_door(home, land_max_rows=per_landing) as door,
        running_lander(door) as lander,
        _copying(workdir / "duckdb") as copy,
    ):
        land, load = _Landing(door, lander), _loading(workdir / "dlt")
        turns: list[tuple[float, ...]] = []
        for number in range(WARM_UP_ROUNDS + ROUNDS):
            events = make_events(TENANT, per_landing, number)
            turns.append((land.cpu_us(events), _cpu_us(copy, events), _cpu_us(load, events)))
    landed, copied, loaded = zip(*turns[WARM_UP_ROUNDS:], strict=True)
    return [
        measured("lander_cpu_us_per_event", landed, "us", "duckdb_cpu_us_per_event"),
        measured("duckdb_cpu_us_per_event", copied, "us"),
        measured("dlt_cpu_us_per_event", loaded, "us", "duckdb_cpu_us_per_event"),
    ]


Work = Callable[[bytes], None]


def _cpu_us(work: Work, events: Sequence[bytes]) -> float:
    """CPU µs per event that this process spends on their NDJSON, in all its threads."""
    lines = b"\n".join(events)
    cpu_before_s = time.process_time()
    work(lines)
    return (time.process_time() - cpu_before_s) / len(events) * 1e6


class _Landing:
    """The real lander's process, held while the door takes events, so that it lands them as one batch."""

    def __init__(self, door: Door, lander: Server) -> None:
        self._door, self._pid = door, lander.pid
        self._landed = LandedRows(door)
        self._sent = 0

    def cpu_us(self, events: Sequence[bytes]) -> float:
        """CPU µs per event of the lander's process."""
        requests = requests_of(events, EVENTS_PER_REQUEST, TENANT, self._door.token, is_packed=True)
        os.kill(self._pid, signal.SIGSTOP)
        try:
            send_all(self._door.server.port, requests)
            cpu_before_s = cpu_seconds(self._pid)
        finally:
            os.kill(self._pid, signal.SIGCONT)
        self._sent += len(events)
        self._landed.wait_for(self._sent)
        time.sleep(AFTER_COMMIT_S)
        return (cpu_seconds(self._pid) - cpu_before_s) / len(events) * 1e6


@contextmanager
def _copying(workdir: Path) -> Iterator[Work]:
    """DuckDB's NDJSON → Parquet, file to file."""
    workdir.mkdir()
    source, target = workdir / "events.ndjson", workdir / "events.parquet"

    with duckdb.connect() as connection:

        def copy(lines: bytes) -> None:
            source.write_bytes(lines)
            connection.execute(COPY_TO_PARQUET, {"source": str(source), "target": str(target)})

        yield copy


def _loading(workdir: Path) -> Work:
    """NDJSON → Iceberg by dlt."""
    silence_library_telemetry()
    import dlt  # noqa: PLC0415 - of the development group, and it reads the environment when imported
    from dlt.destinations import filesystem  # noqa: PLC0415 - as above

    pipeline = dlt.pipeline(
        "bench",
        destination=filesystem(bucket_url=(workdir / "lake").as_uri()),
        dataset_name="raw",
        pipelines_dir=str(workdir / "pipelines"),
    )

    def load(lines: bytes) -> None:
        source: Any = pa.BufferReader(lines)
        table = read_json(source)
        pipeline.run(table, table_name="events", table_format="iceberg", write_disposition="append")

    return load
