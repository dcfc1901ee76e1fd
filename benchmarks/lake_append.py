"""Claim: an append to the lake costs a small multiple of writing its Parquet file; and how that grows.

10,000 rows into `raw.events` as the lander commits them (sorted, offsets fenced, one snapshot), around commit
10 and, with `--full`, around commit 3,000. The commits between are of ten rows, because what piles up is
metadata: appends expire snapshots as they go, as the lander's do, so both should cost the same.
The yardstick is PyArrow writing the same rows to one Parquet file with the same compression.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Result, Size, default_settings, measured
from benchmarks.traffic import make_events
from resources.lake import OFFSET_PREFIX, SLICES_KEY, Lake, slices_json

TABLE = "raw.events"
TENANT = "bench"
APPEND_ROWS = 10_000
FILLER_ROWS = 10
AROUND = 2  # the median is of this many commits before and after the named one, and that one
EARLY_COMMIT, LATE_COMMIT = 10, 3_000
OFFSET_KEY = f"{OFFSET_PREFIX}bench"


def run(workdir: Path, size: Size) -> list[Result]:
    """Milliseconds of an append, early and (with `is_full`) late in the table's life, and of a Parquet write."""
    lake = Lake(default_settings(workdir / "append"))
    rows = _rows(lake.arrow_schema(TABLE), size.of(APPEND_ROWS))
    last = LATE_COMMIT if size.is_full else EARLY_COMMIT
    try:
        lake.ensure_tables()
        appends_ms, writes_ms = _appended(lake, rows, last + AROUND, workdir / "yardstick.parquet")
    finally:
        lake.catalog.engine.dispose()
    results = [measured("append_ms_commit_10", _around(appends_ms, EARLY_COMMIT), "ms", "parquet_write_ms")]
    if size.is_full:
        late_ms = _around(appends_ms, LATE_COMMIT)
        results.append(measured("append_ms_commit_3000", late_ms, "ms", "parquet_write_ms"))
    return [*results, measured("parquet_write_ms", writes_ms, "ms")]


def _around(appends_ms: list[float], commit: int) -> list[float]:
    return appends_ms[commit - 1 - AROUND : commit + AROUND]


def _appended(lake: Lake, rows: pa.Table, commits: int, yardstick: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of every commit, and of a plain Parquet write beside each of full size."""
    appends_ms: list[float] = []
    writes_ms: list[float] = []
    day = dt.datetime.now(dt.UTC).date()
    summary = {SLICES_KEY: slices_json({TENANT: {day}})}
    offsets: dict[str, str] = {}
    for commit in range(1, commits + 1):
        is_measured = any(abs(commit - named) <= AROUND for named in (EARLY_COMMIT, LATE_COMMIT))
        part = rows if is_measured else rows.slice(0, FILLER_ROWS)
        moved = {OFFSET_KEY: f"0:{commit}"}
        started_s = time.perf_counter()
        lake.append_with_offsets(TABLE, part, offsets=moved, expected_offsets=offsets, summary=summary)
        appends_ms.append((time.perf_counter() - started_s) * 1e3)
        offsets = moved
        if is_measured:
            started_s = time.perf_counter()
            pq.write_table(rows, yardstick, compression="zstd", compression_level=1)
            writes_ms.append((time.perf_counter() - started_s) * 1e3)
    return appends_ms, writes_ms


def _rows(schema: pa.Schema, count: int) -> pa.Table:
    now = dt.datetime.now(dt.UTC)
    columns: dict[str, Any] = {
        "tenant_id": [TENANT] * count,
        "received_at": [now + dt.timedelta(microseconds=number) for number in range(count)],
        "land_seq": range(count),
        "event_id": [str(uuid.uuid4()) for _ in range(count)],
        "event_type": ["click" if number % 2 == 0 else "session" for number in range(count)],
        "event_time": [now] * count,
        "event_date": [now.date()] * count,
        "schema_version": ["v1"] * count,
        "body": [event.decode() for event in make_events(TENANT, count)],
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema)
