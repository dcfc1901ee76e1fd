"""Claim: one tenant's day is read out of `clean.events` without reading the others.

Milliseconds of `Lake.read_slices` for one (tenant, date) of 10,000 rows among twelve (3 tenants × 4 days). The
metadata are loaded anew each time, as an asset does.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.harness import Result, Size, default_settings, measured
from resources.errors import ContractError
from resources.lake import Lake

TABLE = "clean.events"
TENANTS = ("bench_a", "bench_b", "bench_c")
DAYS = 4
SLICE_ROWS = 10_000
ROUNDS = 9


def run(workdir: Path, size: Size) -> list[Result]:
    """Milliseconds of reading one slice."""
    lake = Lake(default_settings(workdir / "slices"))
    today = dt.datetime.now(dt.UTC).date()
    days = [today - dt.timedelta(days=back) for back in range(DAYS)]
    count = size.of(SLICE_ROWS)
    try:
        lake.ensure_tables()
        for tenant_id in TENANTS:
            rows = pa.concat_tables([_rows(lake.arrow_schema(TABLE), tenant_id, day, count) for day in days])
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # that the slices are empty yet is as it should be
                lake.replace_slices(TABLE, rows, tenant_id=tenant_id, dates=days, run_id="bench")
        reads_ms = [_read_ms(lake, TENANTS[1], days[1], count) for _ in range(ROUNDS + 1)]
    finally:
        lake.catalog.engine.dispose()
    return [measured("slice_read_ms", reads_ms[1:], "ms")]  # the first read pays for imports


def _read_ms(lake: Lake, tenant_id: str, day: dt.date, expected_rows: int) -> float:
    started_s = time.perf_counter()
    frame = lake.read_slices(TABLE, tenant_id, [day])
    elapsed_ms = (time.perf_counter() - started_s) * 1e3
    if frame.height != expected_rows:
        raise ContractError(
            f"tenant {tenant_id}, {day}: {frame.height} rows read where {expected_rows} were written: "
            "the lake is at fault, no figure is given"
        )
    return elapsed_ms


def _rows(schema: pa.Schema, tenant_id: str, day: dt.date, count: int) -> pa.Table:
    """A day's sessions and clicks; columns that most events leave empty are empty here too."""
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
    moments = [midnight + dt.timedelta(seconds=number * 86_000 / count) for number in range(count)]
    columns: dict[str, Any] = {
        "tenant_id": [tenant_id] * count,
        "event_date": [day] * count,
        "event_id": [str(uuid.uuid4()) for _ in range(count)],
        "event_type": ["click" if number % 2 == 0 else "session" for number in range(count)],
        "event_time": moments,
        "received_at": moments,
        "land_seq": range(count),
        "app_id": ["com.example.game"] * count,
        "device_id": [f"p1_{number // 10:032x}" for number in range(count)],
        "source": ["net_alpha" if number % 2 == 0 else None for number in range(count)],
        "campaign": [f"spring_{number % 20}" if number % 2 == 0 else None for number in range(count)],
        "duration_ms": [None if number % 2 == 0 else number for number in range(count)],
    }
    empty = [None] * count
    return pa.table(
        {field.name: pa.array(columns.get(field.name, empty), field.type) for field in schema}, schema
    )
