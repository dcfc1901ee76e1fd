"""The lake's behaviour, the same on every backend: exactly-once appends, slice replacement, the change feed."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from pathlib import Path

import pytest

from resources.errors import CommitConflictError, MixedTenantsError
from resources.lake import Lake, slices_json
from resources.settings import Settings
from schemas import table_schemas
from tests.support.lake_rows import DAY, NEXT, append, score_rows


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
    assert lake.slice_dates("ml.scores", "t1") == [DAY, NEXT]
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


def test_clickhouse_reads_a_pinned_metadata_file(lake: Lake, lake_settings: Settings) -> None:
    lake.replace_slice("ml.scores", score_rows(), tenant_id="t1", date=DAY, run_id="r")
    warehouse = lake_settings.lake_warehouse
    expected = f"icebergLocal('{warehouse}/ml/scores'"
    if warehouse.startswith("s3://"):
        expected = f"icebergS3('{lake_settings.s3_endpoint}/{warehouse.removeprefix('s3://')}/ml/scores'"
    pinned = lake.table("ml.scores").metadata_location.rpartition("/")[2]
    assert lake.clickhouse_source("ml.scores") == (
        f"{expected}, SETTINGS iceberg_metadata_file_path = 'metadata/{pinned}')"
    )


def test_a_quote_in_the_warehouses_path_stays_inside_the_sql_literal(tmp_path: Path) -> None:
    with closing(Lake(Settings(home=tmp_path / "growth's"))) as lake:
        lake.ensure_tables()
        assert lake.clickhouse_source("ml.scores").startswith(f"icebergLocal('{tmp_path}/growth\\'s/")


def test_slices_are_written_sorted_and_once() -> None:
    assert json.loads(slices_json({"b": [NEXT, DAY, NEXT], "a": [DAY]})) == {
        "a": ["2026-11-01"],
        "b": ["2026-11-01", "2026-11-02"],
    }
