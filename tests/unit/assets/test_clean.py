"""Clean slices: the first landed delivery counts, values keep their types, the suite tells the truth."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl

from assets.checks.clean import suite_failures
from assets.clean import ID_COLUMNS, CleanSlices, clean_slices
from assets.partitions import RunSlices
from schemas import table_schemas

DAY = dt.date(2026, 11, 10)
NEXT = DAY + dt.timedelta(days=1)
UUID = "6f1c2b9e-0f5d-4c6e-9a57-1d1f0c0a7e0{}"


def delivery(
    n: int, seq: int, day: dt.date = DAY, event_type: str = "click", **fields: Any
) -> dict[str, Any]:
    at = dt.datetime(day.year, day.month, day.day, 8, tzinfo=dt.UTC)
    body = {
        "eventId": UUID.format(n),
        "tenantId": "t1",
        "eventType": event_type,
        "timestamp": at.isoformat(),
        **fields,
    }
    return {
        "tenant_id": "t1",
        "received_at": at,
        "land_seq": seq,
        "event_id": UUID.format(n),
        "event_type": event_type,
        "event_time": at,
        "event_date": day,
        "schema_version": "v1",
        "body": json.dumps(body),
    }


def clean(*deliveries: dict[str, Any], dates: tuple[dt.date, ...] = (DAY,)) -> CleanSlices:
    everything = pl.DataFrame(list(deliveries))
    raw = everything.filter(pl.col("event_date").is_in(dates))
    return clean_slices(raw, everything.select(ID_COLUMNS), dates)


def test_the_first_landed_delivery_of_an_id_is_kept_and_the_others_are_duplicates() -> None:
    result = clean(delivery(1, 30, source="late"), delivery(1, 10, source="first"), delivery(2, 20))
    assert result.events.filter(pl.col("event_id") == UUID.format(1))["source"].to_list() == ["first"]
    assert result.duplicates == {DAY: 1}
    assert result.raw_rows == {DAY: 3}


def test_an_id_repeated_under_another_date_counts_only_where_it_landed_first() -> None:
    rows = (delivery(1, 10, DAY), delivery(1, 20, NEXT))
    assert clean(*rows, dates=(DAY,)).events.height == 1
    later = clean(*rows, dates=(NEXT,))
    assert later.events.is_empty()
    assert later.duplicates == {NEXT: 1}


def test_columns_and_types_are_those_of_the_table_contract() -> None:
    events = clean(
        delivery(
            1,
            1,
            revenueMicros=2**53 - 1,
            referrer={"clickId": "c", "clickTime": "2026-11-10T01:00:00.5+02:00"},
        )
    ).events
    assert events.columns == [column.name for column in table_schemas()["clean.events"].columns]
    row = events.row(0, named=True)
    assert row["revenue_micros"] == 2**53 - 1
    assert row["referrer_click_id"] == "c"
    assert row["referrer_click_time"] == dt.datetime(2026, 11, 9, 23, 0, 0, 500_000, tzinfo=dt.UTC)
    assert row["app_id"] == ""


def test_metadata_and_odd_strings_survive_as_they_are() -> None:
    odd = 'nul\x00 "quotes" \\ 表 🎈 \u202e'
    metadata = {"k": [1, {"z": odd}], "big": 123456789012345678901234567890}
    row = clean(delivery(1, 1, source=odd, metadata=metadata)).events.row(0, named=True)
    assert row["source"] == odd
    assert json.loads(row["metadata"]) == metadata


def test_an_empty_slice_has_the_right_columns_and_no_rows() -> None:
    result = clean(delivery(1, 1, NEXT), dates=(DAY,))
    assert result.events.columns == [column.name for column in table_schemas()["clean.events"].columns]
    assert result.raw_rows == {DAY: 0}


def test_the_suite_passes_good_rows_and_names_what_is_wrong() -> None:
    slices = RunSlices("t1", (DAY,))
    good = clean(
        delivery(1, 1, event_type="purchase", revenueMicros=5, currency="USD"), delivery(2, 2)
    ).events
    assert suite_failures(good, slices) == []
    assert any("event_id" in failure for failure in suite_failures(pl.concat([good, good]), slices))
    assert any(
        "tenant_id" in failure
        for failure in suite_failures(good.with_columns(tenant_id=pl.lit("t2")), slices)
    )
    no_money = good.with_columns(revenue_micros=pl.lit(None, pl.Int64))
    assert any("revenue_micros" in failure for failure in suite_failures(no_money, slices))
    assert suite_failures(good.clear(), slices) == []
