"""The marts of multi-touch credit in a real ClickHouse, with rows written by hand; unread columns are left out."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import SliceTable, replace_slice
from resources.embedded.clickhouse_process import ClickHouseProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY, NEXT = dt.date(2026, 3, 31), dt.date(2026, 4, 1)
SLICE = {"tenant_id": "String", "event_date": "Date", "app_id": "String"}
CONVERSION = {"conversion_type": "String", "event_name": "String"}
CREDITS = SliceTable(
    "attribution_credits",
    {
        **SLICE,
        **CONVERSION,
        "conversion_id": "String",
        "model": "String",
        "position": "UInt16",
        "source": "String",
        "weight": "Float64",
        "revenue_micros": "Int64",
    },
    ("tenant_id", "event_date", "conversion_id", "model", "position"),
    "as the mart",
)
PATHS = SliceTable(
    "journey_paths",
    {
        **SLICE,
        **CONVERSION,
        "path": "Array(String)",
        "conversions": "Int64",
        "nulls": "Int64",
        "value_micros": "Int64",
    },
    ("tenant_id", "event_date", "path"),
    "as the mart",
)
# ATTRIBUTION's closed-form toy (path, conversions, nulls), its purchases worth 7 micros each
TOY = (("ABC", 10, 20), ("A", 5, 30), ("BC", 3, 10), ("AC", 4, 6), ("C", 2, 8))
TOY_EFFECTS = {"A": 0.7109788359788359, "B": 0.5403439153439153, "C": 0.7916666666666667}
TOY_CONVERSIONS = {"A": 8.352217546131435, "B": 6.347685335059891, "C": 9.300097118808678}


@contextlib.contextmanager
def served(directory: Path) -> Iterator[ClickHouse]:
    """A ClickHouse of its own."""
    with (
        ClickHouseProcess(directory) as process,
        contextlib.closing(ClickHouse(f"http://127.0.0.1:{process.port}", database="marts")) as clickhouse,
    ):
        yield clickhouse


def put_toy(clickhouse: ClickHouse, tenant: str, day: dt.date, *, app: str = "app", micros: int = 7) -> None:
    """The toy as the purchases of a day: its journeys, and their linear and last-touch credit."""
    conversion = {"conversion_type": "purchase", "event_name": ""}
    slice_ = {"tenant_id": tenant, "event_date": day, "app_id": app}
    paths = [
        {**slice_, **conversion, "path": list(path), "conversions": n, "nulls": m, "value_micros": n * micros}
        for path, n, m in TOY
    ]
    credits_: list[dict[str, Any]] = []
    for path, count, _ in TOY:
        for number in range(count):
            one = {**slice_, **conversion, "conversion_id": f"{path}{number}"}
            for place, source in enumerate(path, 1):
                part = micros - (len(path) - 1) * (micros // len(path)) if place == 1 else micros // len(path)
                touch = {**one, "position": place, "source": source}
                credits_.append({**touch, "model": "linear", "weight": 1 / len(path), "revenue_micros": part})
            credits_.append({**touch, "model": "last", "weight": 1.0, "revenue_micros": micros})
    put(clickhouse, PATHS, tenant, day, paths)
    put(clickhouse, CREDITS, tenant, day, credits_)


def put(
    clickhouse: ClickHouse, table: SliceTable, tenant: str, day: dt.date, rows: list[dict[str, Any]]
) -> None:
    """Make these rows the table's slice."""
    replace_slice(clickhouse, table, tenant, [day], pa.Table.from_pylist(rows, schema=table.arrow_schema))
