"""The lake on local files: exactly-once appends, slice replacement, the change feed."""

from __future__ import annotations

import datetime as dt
import json
import threading

import polars as pl
import pyarrow as pa
import pytest

from resources.errors import CommitConflictError, MixedTenantsError
from resources.lake import Lake, slices_json
from resources.settings import Settings
from schemas import table_schemas

DAY = dt.date(2026, 11, 1)
NEXT = DAY + dt.timedelta(days=1)
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    lake = Lake(settings)
    lake.ensure_tables()
    return lake


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


def test_every_contract_has_its_table_with_the_declared_columns(lake: Lake) -> None:
    lake.ensure_tables()
    for name, schema in table_schemas().items():
        assert [field.name for field in lake.table(name).schema().fields] == [
            column.name for column in schema.columns
        ]


def test_a_slice_written_twice_holds_the_rows_once_in_sort_order(lake: Lake) -> None:
    for _ in range(2):
        lake.replace_slices("ml.scores", score_rows(), tenant_id="t1", dates=[DAY], run_id="r")
    assert lake.read_slices("ml.scores", "t1", [DAY])["user_id"].to_list() == ["u1", "u2"]


def test_replacing_one_slice_leaves_other_dates_and_tenants(lake: Lake) -> None:
    lake.replace_slices(
        "ml.scores", score_rows(dates=(DAY, NEXT)), tenant_id="t1", dates=[DAY, NEXT], run_id="r"
    )
    lake.replace_slices("ml.scores", score_rows("t2"), tenant_id="t2", dates=[DAY], run_id="r")
    lake.replace_slice("ml.scores", score_rows(score=9.0), tenant_id="t1", date=DAY, run_id="r")
    assert lake.read_slices("ml.scores", "t1", [DAY])["score"].to_list() == [9.0, 9.0]
    assert lake.read_slices("ml.scores", "t1", [NEXT])["score"].to_list() == [1.0, 1.0]
    assert lake.read_slices("ml.scores", "t2", [DAY])["score"].to_list() == [1.0, 1.0]


def test_an_emptied_slice_becomes_empty(lake: Lake) -> None:
    lake.replace_slice("ml.scores", score_rows(), tenant_id="t1", date=DAY, run_id="r")
    lake.replace_slice("ml.scores", score_rows().clear(), tenant_id="t1", date=DAY, run_id="r")
    assert lake.read_slices("ml.scores", "t1", [DAY]).is_empty()
    assert lake.slice_dates("ml.scores", "t1") == []


@pytest.mark.parametrize(("tenant", "date"), [("t2", DAY), ("t1", NEXT)])
def test_rows_outside_the_slice_are_refused_and_nothing_is_written(
    lake: Lake, tenant: str, date: dt.date
) -> None:
    with pytest.raises(MixedTenantsError, match="nothing was written"):
        lake.replace_slice("ml.scores", score_rows(tenant, (date,)), tenant_id="t1", date=DAY, run_id="r")
    assert lake.changes_since("ml.scores", None)[0] == []


def test_an_append_moves_its_offset_in_snapshot_and_property(lake: Lake) -> None:
    append(lake, ["a"], "7", None)
    assert lake.offsets("raw.events") == {"unmogrowp.offset.w0": "7"}
    (change,), _ = lake.changes_since("raw.events", None)
    assert change.summary["unmogrowp.offset.w0"] == "7"


def test_a_zombie_that_appends_from_an_old_offset_is_refused(lake: Lake) -> None:
    append(lake, ["a"], "7", None)
    with pytest.raises(CommitConflictError, match="another lander moved it"):
        append(lake, ["a"], "7", None)
    assert lake.read("raw.events", "tenant_id = 't1'").height == 1


def test_of_two_landers_racing_from_one_offset_exactly_one_commits(settings: Settings, lake: Lake) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def land() -> None:
        own = Lake(settings)
        own.table("raw.events")
        barrier.wait()
        try:
            append(own, ["a"], "7", None)
            outcomes.append("landed")
        except CommitConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=land) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["landed", "refused"]
    assert lake.read("raw.events", "tenant_id = 't1'").height == 1


def test_the_change_feed_gives_snapshots_after_the_cursor_oldest_first(lake: Lake) -> None:
    first = append(lake, ["a"], "1", None)
    second = append(lake, ["b"], "2", "1")
    third = append(lake, ["c"], "3", "2")
    changes, unbroken = lake.changes_since("raw.events", first)
    assert [change.snapshot_id for change in changes] == [second, third]
    assert changes[0].slices == {"t1": (DAY,)}
    assert unbroken


def test_the_change_feed_says_when_its_cursor_has_expired(lake: Lake) -> None:
    first = append(lake, ["a"], "1", None)
    append(lake, ["b"], "2", "1")
    append(lake, ["c"], "3", "2")
    lake.table("raw.events").maintenance.expire_snapshots().by_id(first).commit()
    _, unbroken = lake.changes_since("raw.events", first)
    assert not unbroken
    assert lake.offsets("raw.events") == {"unmogrowp.offset.w0": "3"}


def test_clickhouse_reads_a_pinned_metadata_file(lake: Lake) -> None:
    lake.replace_slice("ml.scores", score_rows(), tenant_id="t1", date=DAY, run_id="r")
    source = lake.clickhouse_source("ml.scores")
    assert source.startswith("icebergLocal('/")
    assert "iceberg_metadata_file_path = 'metadata/" in source
    assert "://" not in source


def test_slices_are_written_sorted_and_once() -> None:
    assert json.loads(slices_json({"b": [NEXT, DAY, NEXT], "a": [DAY]})) == {
        "a": ["2026-11-01"],
        "b": ["2026-11-01", "2026-11-02"],
    }
