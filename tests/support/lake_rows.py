"""Rows of the lake's tables for tests, and the smallest lander."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pyarrow as pa

from resources.lake import Lake, slices_json

DAY = dt.date(2026, 11, 1)
NEXT = DAY + dt.timedelta(days=1)
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


def score_rows(tenant: str = "t1", dates: tuple[dt.date, ...] = (DAY,), score: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "tenant_id": tenant,
                "as_of": day,
                "model_name": "ltv",
                "model_version": "1",
                "app_id": "app",
                "user_id": f"u{n}",
                "score": score,
                "horizon_days": 3,
            }
            for day in dates
            for n in (2, 1)
        ]
    )


def raw_rows(lake: Lake, ids: list[str], seq: int = 0) -> pa.Table:
    rows = [
        {
            "tenant_id": "t1",
            "received_at": NOON,
            "land_seq": seq + n,
            "event_id": event_id,
            "event_type": "click",
            "event_time": NOON,
            "event_date": DAY,
            "schema_version": "v1",
            "body": "{}",
        }
        for n, event_id in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, schema=lake.arrow_schema("raw.events"))


def append(lake: Lake, ids: list[str], offset: str, expected: str | None) -> int:
    key = "unmogrowp.offset.w0"
    return lake.append_with_offsets(
        "raw.events",
        raw_rows(lake, ids),
        offsets={key: offset},
        expected_offsets={key: expected} if expected else {},
        summary={"unmogrowp.slices": slices_json({"t1": [DAY]})},
    )


def clean_rows(lake: Lake, tenant: str, date: dt.date, purchases_micros: list[int]) -> pa.Table:
    """A purchase per amount."""
    at = dt.datetime.combine(date, dt.time(12), tzinfo=dt.UTC)
    required: dict[str, Any] = {
        "tenant_id": tenant,
        "event_date": date,
        "event_type": "purchase",
        "event_time": at,
        "received_at": at,
        "app_id": "app",
    }
    rows = [
        {**required, "event_id": f"e{n}", "land_seq": n, "revenue_micros": amount}
        for n, amount in enumerate(purchases_micros)
    ]
    return pa.Table.from_pylist(rows, schema=lake.arrow_schema("clean.events"))


def land(lake: Lake, number: int, ids: list[str] | None = None) -> int:
    """The `number`th landing: one event `e<number>` unless others are given, offsets and land_seq as the lander's."""
    landed = lake.offsets("raw.events")
    first_seq = int(landed.get("unmogrowp.offset.land_seq", "0"))
    rows = raw_rows(lake, ids or [f"e{number}"], first_seq)
    return lake.append_with_offsets(
        "raw.events",
        rows,
        offsets={
            "unmogrowp.offset.w0": str(number),
            "unmogrowp.offset.land_seq": str(first_seq + rows.num_rows),
        },
        expected_offsets=landed,
        summary={"unmogrowp.slices": slices_json({"t1": [DAY]})},
    )
