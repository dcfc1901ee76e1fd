"""Rebuilding clean slices over a real lake: one snapshot of raw, nothing lost between commit and event."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from assets.checks.clean import ledger_result
from assets.clean import rebuild
from assets.partitions import RunSlices
from resources.errors import CommitConflictError
from resources.lake import REOPENED_KEY, Lake, slices_json
from resources.ledger_reader import ledger_now, ledger_of_run
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


def test_an_event_that_lands_after_clean_read_does_not_fail_the_ledger_of_the_slice(lake: Lake) -> None:
    land(lake, 1, "session")
    rebuild(lake, SLICES, LATE_DAYS, "run")
    land(lake, 2, "session")
    assert ledger_result(SLICES, ledger_of_run(lake, "t1", [DAY], LATE_DAYS)).passed
    [now] = ledger_now(lake, "t1", [DAY], LATE_DAYS)
    assert now.balances
    assert (now.total.received, now.total.clean, now.total.not_yet_clean) == (2, 1, 1)
    rebuild(lake, SLICES, LATE_DAYS, "next run")
    [now] = ledger_now(lake, "t1", [DAY], LATE_DAYS)
    assert (now.total.clean, now.total.not_yet_clean) == (2, 0)


def test_a_slice_that_lost_a_row_fails_its_check_with_the_way_to_look_at_it(lake: Lake) -> None:
    land(lake, 1, "session")
    land(lake, 2, "session")
    rebuild(lake, SLICES, LATE_DAYS, "run")
    newest = lake.changes_since("clean.events", None)[0][-1]
    lake.replace_slices(
        "clean.events",
        lake.read_slices("clean.events", "t1", [DAY]).head(1),
        tenant_id="t1",
        dates=[DAY],
        run_id="a run that loses a row",
        summary=newest.summary,
    )
    result = ledger_result(SLICES, ledger_of_run(lake, "t1", [DAY], LATE_DAYS))
    assert not result.passed
    assert "received 2, clean 1" in (result.description or "")
    assert f"unmogrowp ledger --tenant t1 --date {DAY}" in (result.description or "")


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


def test_what_a_late_touch_reopens_is_found_through_the_users_whom_its_device_named_before(
    lake: Lake,
) -> None:
    earlier = DAY - dt.timedelta(days=6)
    land(lake, 1, "session", earlier, deviceId="d3", userId="u1")
    land(lake, 2, "purchase", NEXT, deviceId="d1", userId="u1")
    for day in (earlier, NEXT):
        rebuild(lake, RunSlices("t1", (day,)), LATE_DAYS, "run")
    land(lake, 3, "impression", deviceId="d3")
    rebuild(lake, SLICES, LATE_DAYS, "run of the late touch")
    newest = lake.changes_since("clean.events", None)[0][-1]
    assert newest.summary[REOPENED_KEY] == slices_json({"t1": [NEXT]})


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
