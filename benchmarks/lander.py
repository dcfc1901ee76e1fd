"""Claim: landing an event exactly once costs a small multiple of merely turning it into Parquet.

CPU of the real lander per event (log read, JSON, pseudonyms, originals sealed into the vault, Parquet, Iceberg
commit) over a log that the real door wrote. The yardstick is DuckDB reading the same events as NDJSON and
writing zstd Parquet: no pseudonyms, no vault, no commit. One device in ten is new in each landing. Beside it dlt, the
usual Python library for this, takes the same NDJSON (read by PyArrow, its fast way) into an Iceberg table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow.json import read_json

from benchmarks.harness import Result, Size, measured
from benchmarks.servers import TENANT, Door, running_door
from benchmarks.traffic import make_events, requests_of, send_all
from ingest_api.event_log.segment_reader import SegmentReader
from ingest_api.lander import Lander
from resources.errors import ContractError
from resources.lake import Lake
from resources.settings import silence_library_telemetry
from resources.vault import open_vault

ROUNDS = 3
LANDING_EVENTS = 100_000  # the default of `land_max_rows`: a lander with a backlog
EVENTS_PER_REQUEST = 500
COPY_TO_PARQUET = (
    "COPY (SELECT * FROM read_ndjson($source)) "
    "TO $target (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
)


def run(workdir: Path, size: Size) -> list[Result]:
    """The lander's and DuckDB's CPU per event."""
    per_landing = size.of(LANDING_EVENTS)
    parts = [make_events(TENANT, per_landing, part) for part in range(ROUNDS + 1)]
    with running_door(workdir / "landing", land_max_rows=per_landing) as door:
        for events in parts:
            # one connection: the log then holds the parts one behind the other
            requests = requests_of(events, EVENTS_PER_REQUEST, TENANT, door.token, is_packed=True)
            send_all(door.server.port, requests, 1)
        landed = _landings_us(door, per_landing)
    copied = _copies_us(workdir / "duckdb", parts)
    loaded = _dlt_loads_us(workdir / "dlt", parts)
    return [
        measured("lander_cpu_us_per_event", landed, "us", "duckdb_cpu_us_per_event"),
        measured("duckdb_cpu_us_per_event", copied, "us"),
        measured("dlt_cpu_us_per_event", loaded, "us", "duckdb_cpu_us_per_event"),
    ]


def _landings_us(door: Door, per_landing: int) -> list[float]:
    """CPU µs per event of each landing but the first, which pays for imports and fills the caches."""
    settings = door.settings
    lake, vault = Lake(settings), open_vault(settings)
    try:
        lake.ensure_tables()
        lander = Lander(settings, lake, SegmentReader(settings.event_log_dir), vault)
        costs_us = []
        for _ in range(ROUNDS + 1):
            cpu_before_s = time.process_time()
            report = lander.land_once()
            cpu_s = time.process_time() - cpu_before_s
            if report.rows != per_landing or report.quarantined:
                raise ContractError(
                    f"tenant {TENANT}: a landing took {report.rows} events of {per_landing} and quarantined "
                    f"{report.quarantined}: the figure would mean something else"
                )
            costs_us.append(cpu_s / report.rows * 1e6)
    finally:
        vault.close()
        lake.catalog.engine.dispose()
    return costs_us[1:]


def _copies_us(workdir: Path, parts: Sequence[Sequence[bytes]]) -> list[float]:
    """CPU µs per event of DuckDB's NDJSON → Parquet, part by part; the first warms it up."""
    workdir.mkdir()
    source, target = workdir / "events.ndjson", workdir / "events.parquet"
    costs_us = []
    with duckdb.connect() as connection:
        for events in parts:
            source.write_bytes(b"\n".join(events))
            cpu_before_s = time.process_time()
            connection.execute(COPY_TO_PARQUET, {"source": str(source), "target": str(target)})
            costs_us.append((time.process_time() - cpu_before_s) / len(events) * 1e6)
    return costs_us[1:]


def _dlt_loads_us(workdir: Path, parts: Sequence[Sequence[bytes]]) -> list[float]:
    """CPU µs per event of dlt's NDJSON → Iceberg, part by part; the first warms it up."""
    silence_library_telemetry()
    import dlt  # noqa: PLC0415 - of the development group, and it reads the environment when imported
    from dlt.destinations import filesystem  # noqa: PLC0415

    pipeline = dlt.pipeline(
        "bench",
        destination=filesystem(bucket_url=(workdir / "lake").as_uri()),
        dataset_name="raw",
        pipelines_dir=str(workdir / "pipelines"),
    )
    costs_us = []
    for events in parts:
        source: Any = pa.BufferReader(b"\n".join(events))
        cpu_before_s = time.process_time()
        pipeline.run(
            read_json(source), table_name="events", table_format="iceberg", write_disposition="append"
        )
        costs_us.append((time.process_time() - cpu_before_s) / len(events) * 1e6)
    return costs_us[1:]
