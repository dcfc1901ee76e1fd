"""Rebuilding clean slices over a real lake: one snapshot of raw, nothing lost between commit and event."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from assets.checks.clean import cleaned_raw_snapshot, ledger
from assets.clean import read_raw, rebuild
from assets.partitions import RunSlices
from resources.errors import CommitConflictError
from resources.lake import REOPENED_KEY, Lake, slices_json
from resources.settings import Settings

DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)
NEXT = DAY + dt.timedelta(days=1)
SLICES = RunSlices("t1", (DAY,))
LATE_DAYS = 30


@pytest.fixture
def lake(settings: Settings) -> Lake:
    lake = Lake(settings)
    lake.ensure_tables()
    return lake


def land(lake: Lake, seq: int, event_type: str, day: dt.date = DAY, **fields: Any) -> None:
    at = dt.datetime(day.year, day.month, day.day, 9, tzinfo=dt.UTC)
    event_id = f"00000000-0000-4000-8000-{seq:012d}"
    row = {
        "tenant_id": "t1",
        "received_at": at,
        "land_seq": seq,
        "event_id": event_id,
        "event_type": event_type,
        "event_time": at,
        "event_date": day,
        "schema_version": "v1",
        "body": json.dumps({"eventId": event_id, "deviceId": "d1", "appId": "app", **fields}),
    }
    lake.append_with_offsets(
        "raw.events",
        pa.Table.from_pylist([row], schema=lake.arrow_schema("raw.events")),
        offsets={"unmogrowp.offset.test": str(seq)},
        expected_offsets=lake.offsets("raw.events"),
        summary={},
    )


def balances(lake: Lake, snapshot_id: int | None) -> bool:
    raw, ids = read_raw(lake, "t1", [DAY], LATE_DAYS, snapshot_id)
    clean = lake.read_slices("clean.events", "t1", [DAY], ["event_id", "event_date"])
    return all(line.balances for line in ledger(raw, ids, clean, [DAY]))


def test_an_event_that_lands_after_clean_read_does_not_fail_the_ledger_of_the_slice(lake: Lake) -> None:
    land(lake, 1, "session")
    rebuild(lake, SLICES, LATE_DAYS, "run")
    land(lake, 2, "session")
    assert balances(lake, cleaned_raw_snapshot(lake, SLICES))
    assert not balances(lake, None)
    rebuild(lake, SLICES, LATE_DAYS, "next run")
    assert balances(lake, None)


def test_the_dates_a_change_reopens_are_in_the_commit_itself(lake: Lake) -> None:
    land(lake, 1, "install", NEXT)
    rebuild(lake, RunSlices("t1", (NEXT,)), LATE_DAYS, "run")
    land(lake, 2, "click")
    rebuild(lake, SLICES, LATE_DAYS, "run that dies after its commit")
    newest = lake.changes_since("clean.events", None)[0][-1]
    assert newest.summary[REOPENED_KEY] == slices_json({"t1": [NEXT]})
    rebuild(lake, SLICES, LATE_DAYS, "its repetition")
    told = [change.summary[REOPENED_KEY] for change in lake.changes_since("clean.events", None)[0]]
    assert slices_json({"t1": [NEXT]}) in told


def test_rows_computed_before_another_runs_commit_do_not_overwrite_it(lake: Lake) -> None:
    land(lake, 1, "session")
    since = lake.table("clean.events")
    rebuild(lake, SLICES, LATE_DAYS, "the newer run")
    stale = pl.DataFrame(lake.read_slices("clean.events", "t1", [DAY])).clear()
    with pytest.raises(CommitConflictError, match="run it again"):
        lake.replace_slices(
            "clean.events", stale, tenant_id="t1", dates=[DAY], run_id="the older run", since=since
        )
    assert lake.read_slices("clean.events", "t1", [DAY]).height == 1
