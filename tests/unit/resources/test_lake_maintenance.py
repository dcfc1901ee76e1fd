"""A table's upkeep as a whole: while a lander works, on a dry run, and when a part of it fails."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from resources import lake_maintenance
from resources.errors import CommitConflictError
from resources.lake import Lake
from resources.lake_compaction import MIN_SMALL_FILES
from resources.lake_maintenance import TableUpkeep, maintain_table
from resources.settings import Settings
from tests.support.lake_rows import land

LANDING_PAUSE_S = 0.3  # between a lander that catches up and one that keeps up, which waits five seconds


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, snapshots_kept=2, snapshot_min_age_s=0)


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    with closing(Lake(settings)) as lake:
        lake.ensure_tables()
        yield lake


def test_an_empty_table_needs_nothing(lake: Lake, settings: Settings) -> None:
    assert maintain_table(lake, settings, "ml.scores") == TableUpkeep("ml.scores", dry_run=False)


def test_upkeep_compacts_and_expires_and_a_dry_run_says_so_before_and_changes_nothing(
    lake: Lake, settings: Settings
) -> None:
    for number in range(1, MIN_SMALL_FILES + 1):
        land(lake, number)
    before = lake.table("raw.events").metadata_location
    planned = maintain_table(lake, settings, "raw.events", dry_run=True)
    assert (planned.partitions_to_compact, planned.snapshots_expired) == (1, MIN_SMALL_FILES - 2)
    assert lake.table("raw.events").metadata_location == before
    done = maintain_table(lake, settings, "raw.events")
    assert [compaction.files_after for compaction in done.compactions] == [1]
    assert (done.snapshots_before, done.snapshots_expired) == (MIN_SMALL_FILES + 1, MIN_SMALL_FILES - 1)
    assert (done.failures, done.skipped) == ([], [])
    assert lake.read("raw.events", "land_seq >= 0").height == MIN_SMALL_FILES
    again = maintain_table(lake, settings, "raw.events")
    assert (again.compactions, again.snapshots_expired) == ([], 0)


def test_old_orphans_are_removed_and_counted(lake: Lake, settings: Settings) -> None:
    land(lake, 1)
    stray = Path(lake.table("raw.events").location().removeprefix("file://")) / "data" / "stray.parquet"
    stray.write_bytes(b"12345")
    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(days=30)).timestamp()
    os.utime(stray, (long_ago, long_ago))
    planned = maintain_table(lake, settings, "raw.events", dry_run=True)
    assert (planned.orphan_files, planned.orphan_bytes, stray.exists()) == (1, 5, True)
    done = maintain_table(lake, settings, "raw.events")
    assert (done.orphan_files, done.orphan_bytes, stray.exists()) == (1, 5, False)


def test_a_part_that_fails_is_told_and_the_parts_after_it_run(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, MIN_SMALL_FILES + 1):
        land(lake, number)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(lake_maintenance, "compact", full)
    upkeep = maintain_table(lake, settings, "raw.events")
    assert upkeep.failures == ["raw.events, compact received_at_day=2026-11-01: OSError: no space left"]
    assert upkeep.snapshots_expired == MIN_SMALL_FILES - 2


def test_upkeep_beside_a_busy_lander_loses_no_row_and_stops_no_landing(
    lake: Lake, settings: Settings
) -> None:
    for number in range(1, 2 * MIN_SMALL_FILES):
        land(lake, number)
    first = lake.changes_since("raw.events", None)[0][0].snapshot_id
    landed, repeats, over = [2 * MIN_SMALL_FILES - 1], [0], threading.Event()

    def keep_landing() -> None:
        with closing(Lake(settings)) as own:
            while not over.is_set() or landed[0] < 3 * MIN_SMALL_FILES:
                try:
                    land(own, landed[0] + 1)
                    landed[0] += 1
                    over.wait(LANDING_PAUSE_S)
                except CommitConflictError:
                    repeats[0] += 1  # as the lander does: offsets are read again

    lander = threading.Thread(target=keep_landing)
    lander.start()
    try:
        upkeeps = [maintain_table(lake, settings, "raw.events") for _ in range(2)]
    finally:
        over.set()
        lander.join()
    assert [upkeep.failures for upkeep in upkeeps] == [[], []]
    assert any(upkeep.compactions for upkeep in upkeeps)
    rows = lake.read("raw.events", "land_seq >= 0")
    assert sorted(rows["event_id"]) == sorted(f"e{number}" for number in range(1, landed[0] + 1))
    assert rows["land_seq"].n_unique() == landed[0]
    changes, unbroken = lake.changes_since("raw.events", first)
    assert unbroken
    offsets = [change.summary["unmogrowp.offset.w0"] for change in changes if change.slices]
    assert offsets == [str(number) for number in range(2, landed[0] + 1)]
