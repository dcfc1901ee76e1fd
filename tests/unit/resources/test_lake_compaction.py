"""Compaction: the same rows in few sorted files, whatever else is committed meanwhile."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from resources import lake_compaction
from resources.errors import CommitConflictError, ContractError
from resources.lake import Lake, offsets_of
from resources.lake_compaction import MIN_SMALL_FILES, Candidate, candidates, compact
from resources.lake_expiry import expire_snapshots
from resources.settings import Settings
from schemas import table_schemas
from tests.support.lake_rows import DAY, land, raw_rows, score_rows

TODAY = DAY + dt.timedelta(days=1)
TENANTS = ("t3", "t1", "t2")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(Settings(home=tmp_path))) as lake:
        lake.ensure_tables()
        yield lake


def land_mixed(lake: Lake, number: int) -> None:
    """A landing of three tenants' events with values at the edges of their types."""
    first = number * 10
    rows = raw_rows(lake, [f"e{first + n}" for n in range(6)], first).to_pylist()
    for n, row in enumerate(rows):
        row["tenant_id"] = TENANTS[n % 3]
        row["received_at"] += dt.timedelta(microseconds=(number * 7919 + n * 104729) % 1_000_000)
        row["body"] = ['{"a":"é\\u0000"}', "", "x" * 5_000][n % 3]
    table = pa.Table.from_pylist(rows, schema=lake.arrow_schema("raw.events"))
    lake.append_with_offsets(
        "raw.events",
        table,
        offsets={"unmogrowp.offset.w0": str(number)},
        expected_offsets=lake.offsets("raw.events"),
        summary={},
    )


def everything(lake: Lake) -> pl.DataFrame:
    return lake.read("raw.events", "land_seq >= 0").sort("land_seq")


def files(lake: Lake, name: str = "raw.events") -> list[str]:
    return [task.file.file_path for task in lake.table(name).scan().plan_files()]


def only(table: Table) -> Candidate:
    (candidate,) = candidates(table, TODAY)
    return candidate


def test_a_closed_day_becomes_one_sorted_file_of_the_same_rows(lake: Lake, tmp_path: Path) -> None:
    for number in range(1, MIN_SMALL_FILES + 1):
        land_mixed(lake, number)
    before, offsets, feed = (
        everything(lake),
        lake.offsets("raw.events"),
        lake.changes_since("raw.events", None)[0],
    )
    done = compact(table := lake.table("raw.events"), only(table), tmp_path)
    assert (done.rows, done.files_before, done.files_after) == (before.height, MIN_SMALL_FILES, 1)
    assert 0 < done.bytes_after < done.bytes_before
    assert everything(lake).equals(before)
    assert lake.offsets("raw.events") == offsets
    changes, unbroken = lake.changes_since("raw.events", feed[-1].snapshot_id)
    assert (unbroken, [change.slices for change in changes]) == (True, [{}])
    raw = lake.table("raw.events").scan().to_arrow().select(["tenant_id", "received_at"])
    order = list(table_schemas()["raw.events"].sort)
    assert raw.equals(raw.sort_by([(column, "ascending") for column in order]))
    assert list(tmp_path.glob("compaction-*")) == []


def test_a_second_compaction_finds_nothing_to_do(local: Lake, tmp_path: Path) -> None:
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    compact(table := local.table("raw.events"), only(table), tmp_path)
    assert candidates(local.table("raw.events"), TODAY) == []


def test_a_day_that_still_fills_is_left_alone(local: Lake) -> None:
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    assert candidates(local.table("raw.events"), DAY) == []
    assert len(candidates(local.table("raw.events"), TODAY)) == 1


def test_a_day_larger_than_a_files_worth_becomes_several_files_sorted_across(
    local: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_compaction, "OUTPUT_BYTES", 40_000)
    monkeypatch.setattr(lake_compaction, "BATCH_ROWS", 4)
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    before = everything(local)
    done = compact(table := local.table("raw.events"), only(table), tmp_path)
    assert 1 < done.files_after < done.files_before
    assert everything(local).equals(before)
    spans = [
        (rows["tenant_id"][0].as_py(), rows["tenant_id"][-1].as_py())
        for task in local.table("raw.events").scan().plan_files()
        for rows in [pq.read_table(task.file.file_path.removeprefix("file://"))]
    ]
    ordered = sorted(spans)
    assert all(left[1] <= right[0] for left, right in pairwise(ordered))


def test_an_append_that_lands_while_a_day_is_compacted_is_kept(local: Lake, tmp_path: Path) -> None:
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    table = local.table("raw.events")
    candidate = only(table)
    land_mixed(local, 100)
    compact(table, candidate, tmp_path)
    rows = everything(local)
    assert rows.height == rows["land_seq"].n_unique() == 6 * (MIN_SMALL_FILES + 1)
    assert len(files(local)) == 2
    assert local.offsets("raw.events") == {"unmogrowp.offset.w0": "100"}


def test_commits_that_win_the_race_are_waited_out_and_the_written_files_used(
    local: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    before = everything(local)
    table = local.table("raw.events")
    candidate = only(table)
    commit, lost = table.catalog.commit_table, []

    def lose_twice(*arguments: object) -> object:
        if len(lost) < 2:
            lost.append(1)
            raise CommitFailedException("another process")
        return commit(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(table.catalog, "commit_table", lose_twice)
    monkeypatch.setattr(lake_compaction, "COMMIT_RETRY_WAIT_S", 0)
    compact(table, candidate, tmp_path)
    assert (len(lost), len(files(local))) == (2, 1)
    assert everything(local).equals(before)


def test_a_slice_rewritten_meanwhile_keeps_its_new_rows_and_no_stray_file(
    local: Lake, tmp_path: Path
) -> None:
    scattered_scores(local)
    table = local.table("ml.scores")
    candidate = only(table)
    local.replace_slice("ml.scores", score_rows(score=7.0), tenant_id="t1", date=DAY, run_id="r")
    data = Path(table.location().removeprefix("file://")) / "data"
    before = set(data.rglob("*.parquet"))
    with pytest.raises(CommitConflictError, match="was rewritten while it was compacted"):
        compact(table, candidate, tmp_path)
    assert set(data.rglob("*.parquet")) == before
    assert local.read_slices("ml.scores", "t1", [DAY])["score"].to_list() == [7.0, 7.0]


def test_a_slice_of_many_files_is_compacted_under_its_tenant_and_date(local: Lake, tmp_path: Path) -> None:
    scattered_scores(local)
    before = local.read_slices("ml.scores", "t1", [DAY]).sort(pl.all())
    done = compact(table := local.table("ml.scores"), only(table), tmp_path)
    assert done.partition == "tenant_id=t1/as_of=2026-11-01"
    assert local.read_slices("ml.scores", "t1", [DAY]).sort(pl.all()).equals(before)
    assert local.slice_dates("ml.scores", "t1") == [DAY]
    local.replace_slice("ml.scores", score_rows(), tenant_id="t1", date=DAY, run_id="r")
    assert local.read_slices("ml.scores", "t1", [DAY]).height == 2


def scattered_scores(lake: Lake) -> None:
    rows = score_rows().to_arrow()
    rows = rows.select(lake.arrow_schema("ml.scores").names).cast(lake.arrow_schema("ml.scores"))
    for _ in range(MIN_SMALL_FILES):
        lake.table("ml.scores").append(rows)


def test_a_crash_before_the_commit_changes_nothing_and_the_next_night_does_it(
    local: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    before, old_files = everything(local), files(local)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lake_compaction, "_commit", killed)
    with pytest.raises(KeyboardInterrupt):
        compact(table := local.table("raw.events"), only(table), tmp_path)
    monkeypatch.undo()
    assert sorted(files(local)) == sorted(old_files)
    compact(table := local.table("raw.events"), only(table), tmp_path)
    assert everything(local).equals(before)


def test_rows_lost_on_the_way_stop_the_compaction(
    local: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MIN_SMALL_FILES):
        land_mixed(local, number)
    before = everything(local)
    output_batches = lake_compaction._output_batches

    def losing(*arguments: object) -> Iterator[list[pa.RecordBatch]]:
        for batches in output_batches(*arguments):  # type: ignore[arg-type]  # passed on as they came
            yield [batches[0].slice(1), *batches[1:]]

    monkeypatch.setattr(lake_compaction, "_output_batches", losing)
    with pytest.raises(ContractError, match="nothing was changed"):
        compact(table := local.table("raw.events"), only(table), tmp_path)
    assert everything(local).equals(before)
    assert len(files(local)) == MIN_SMALL_FILES


def test_rows_read_at_a_compactions_snapshot_are_the_same_once_it_has_expired(
    local: Lake, tmp_path: Path
) -> None:
    for number in range(MIN_SMALL_FILES):
        land(local, number)
    compact(table := local.table("raw.events"), only(table), tmp_path)
    compacted = local.table("raw.events").current_snapshot()
    assert compacted is not None
    land(local, 100)
    land(local, 101)
    expire_snapshots(local.table("raw.events"), Settings(home=tmp_path, snapshots_kept=1))
    assert local.table("raw.events").snapshot_by_id(compacted.snapshot_id) is None
    assert (
        local.read("raw.events", "land_seq >= 0", snapshot_id=compacted.snapshot_id).height == MIN_SMALL_FILES
    )
    assert offsets_of(local.table("raw.events"))["unmogrowp.offset.land_seq"] == str(MIN_SMALL_FILES + 2)
