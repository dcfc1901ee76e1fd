"""Snapshots expire behind commits; the change feed and reads at an expired snapshot stay exact."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pyiceberg.table import Table

from resources import lake_expiry
from resources.errors import CommitConflictError, SnapshotExpiredError
from resources.lake import Lake
from resources.lake_expiry import expirable, expire_snapshots
from resources.lake_history import EXPIRED_LOG_KEY, PastSnapshot, write_expired
from resources.settings import Settings
from tests.support.lake_rows import DAY, append, land, score_rows

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
KEPT = 3
EXPIRE_EVERY = 10


def aged(ages_s: list[float]) -> list[PastSnapshot]:
    return [
        PastSnapshot(number, number, int((NOW.timestamp() - age_s) * 1000), {})
        for number, age_s in enumerate(ages_s, start=1)
    ]


@pytest.mark.parametrize(
    ("kept", "min_age_s", "expected"),
    [
        (1, 0, [1, 2, 3]),
        (2, 0, [1, 2]),
        (9, 0, []),
        (1, 50, [1, 2]),
        (1, 500, []),
        (3, 50, [1]),
    ],
)
def test_only_what_is_neither_among_the_newest_nor_too_young_expires(
    kept: int, min_age_s: float, expected: list[int]
) -> None:
    chosen = expirable(aged([100, 60, 10, 0]), kept=kept, min_age_s=min_age_s, now=NOW)
    assert [snapshot.snapshot_id for snapshot in chosen] == expected


@pytest.fixture
def few(lake_settings: Settings) -> Settings:
    return lake_settings.with_changes(snapshots_kept=KEPT, snapshot_min_age_s=0)


def test_a_cursor_that_expired_reads_on_from_the_log_without_a_gap(lake: Lake, few: Settings) -> None:
    landed = [land(lake, number) for number in range(1, 5)]
    assert expire_snapshots(lake.table("raw.events"), few) == 1
    landed += [land(lake, number) for number in range(5, 8)]
    assert expire_snapshots(lake.table("raw.events"), few) == 3
    assert len(lake.table("raw.events").metadata.snapshots) == KEPT
    for at, snapshot_id in enumerate(landed):
        changes, unbroken = lake.changes_since("raw.events", snapshot_id)
        assert unbroken
        assert [change.snapshot_id for change in changes] == landed[at + 1 :]
        assert all(change.slices == {"t1": (DAY,)} for change in changes)
    assert lake.offsets("raw.events")["unmogrowp.offset.w0"] == "7"


def test_a_reader_that_has_seen_nothing_is_told_when_the_beginning_has_expired(
    lake: Lake, few: Settings
) -> None:
    landed = [land(lake, number) for number in range(1, 6)]
    assert lake.changes_since("raw.events", None)[1]
    expire_snapshots(lake.table("raw.events"), few)
    changes, unbroken = lake.changes_since("raw.events", None)
    assert ([change.snapshot_id for change in changes], unbroken) == (landed[-KEPT:], False)


def test_a_log_that_was_removed_for_its_age_breaks_the_chain_and_says_so(lake: Lake, few: Settings) -> None:
    landed = [land(lake, number) for number in range(1, 6)]
    expire_snapshots(lake.table("raw.events"), few)
    table = lake.table("raw.events")
    table.io.delete(table.properties[EXPIRED_LOG_KEY])
    changes, unbroken = lake.changes_since("raw.events", landed[0])
    assert not unbroken
    assert [change.snapshot_id for change in changes] == landed[-KEPT:]


def test_a_gap_in_the_log_breaks_the_chain(lake: Lake, few: Settings) -> None:
    landed = [land(lake, number) for number in range(1, 6)]
    expire_snapshots(lake.table("raw.events"), few)
    lake.table("raw.events").maintenance.expire_snapshots().by_id(landed[2]).commit()  # by another tool
    assert not lake.changes_since("raw.events", landed[0])[1]


def test_an_expired_snapshot_of_landed_rows_is_read_as_it_was(lake: Lake, few: Settings) -> None:
    landed = [land(lake, number) for number in range(1, 7)]
    expire_snapshots(lake.table("raw.events"), few)
    for at, snapshot_id in enumerate(landed, start=1):
        rows = lake.read("raw.events", "tenant_id = 't1'", ["event_id"], snapshot_id)
        assert sorted(rows["event_id"].to_list()) == [f"e{number}" for number in range(1, at + 1)]


def test_an_expired_snapshot_of_a_sliced_table_is_refused_by_name(lake: Lake, few: Settings) -> None:
    written = [
        lake.replace_slice("ml.scores", score_rows(score=n), tenant_id="t1", date=DAY, run_id="r")
        for n in range(5)
    ]
    expire_snapshots(lake.table("ml.scores"), few)
    with pytest.raises(SnapshotExpiredError, match=f"snapshot {written[0]} has expired"):
        lake.read("ml.scores", "tenant_id = 't1'", snapshot_id=written[0])


def test_a_young_snapshot_of_a_sliced_table_stays_for_the_run_that_computes_from_it(
    lake: Lake, few: Settings
) -> None:
    for score in range(5):
        lake.replace_slice("ml.scores", score_rows(score=score), tenant_id="t1", date=DAY, run_id="r")
    careful = few.with_changes(snapshot_min_age_s=600)
    assert expire_snapshots(lake.table("ml.scores"), careful) == 0
    assert expire_snapshots(lake.table("ml.scores"), few) > 0


def test_of_two_that_expire_at_once_one_does_and_the_other_says_so(
    lake: Lake, few: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed = [land(lake, number) for number in range(1, 7)]
    stale = lake.table("raw.events")
    assert expire_snapshots(lake.table("raw.events"), few) == 3
    written: list[str] = []

    def note(table: Table, snapshots: Sequence[PastSnapshot]) -> str:
        written.append(write_expired(table, snapshots))
        return written[0]

    monkeypatch.setattr(lake_expiry, "write_expired", note)
    with pytest.raises(CommitConflictError, match="another process committed"):
        expire_snapshots(stale, few)
    assert not stale.io.new_input(written[0]).exists()
    changes, unbroken = lake.changes_since("raw.events", landed[0])
    assert ([change.snapshot_id for change in changes], unbroken) == (landed[1:], True)


def test_a_crash_between_the_log_and_its_commit_changes_nothing(
    lake: Lake, few: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed = [land(lake, number) for number in range(1, 7)]
    table = lake.table("raw.events")

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(table.catalog, "commit_table", crash)
    with pytest.raises(KeyboardInterrupt):
        expire_snapshots(table, few)
    monkeypatch.undo()
    assert lake.changes_since("raw.events", landed[0])[1]
    assert expire_snapshots(lake.table("raw.events"), few) == 3
    assert lake.changes_since("raw.events", landed[0])[1]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Lake]:
    settings = Settings(
        home=tmp_path, snapshots_kept=2, snapshot_min_age_s=0, snapshot_expire_every=EXPIRE_EVERY
    )
    with closing(Lake(settings)) as lake:
        lake.ensure_tables()
        yield lake


def test_appends_expire_by_themselves_once_enough_is_due(local: Lake) -> None:
    first = land(local, 1)
    counts = []
    for number in range(2, EXPIRE_EVERY + 5):
        land(local, number)
        counts.append(len(local.table("raw.events").metadata.snapshots))
    assert max(counts) == EXPIRE_EVERY + 1  # one commit more and the oldest of them went
    assert counts[-1] < 6
    assert local.changes_since("raw.events", first)[1]


def test_a_failing_expiry_fails_no_append(
    local: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise OSError("the store is full")

    monkeypatch.setattr("resources.lake_expiry.write_expired", broken)
    append(local, ["a"], "0", None)
    for number in range(1, EXPIRE_EVERY + 4):
        append(local, [f"b{number}"], str(number), str(number - 1))
    assert "the store is full" in caplog.text
    assert local.read("raw.events", "tenant_id = 't1'").height == EXPIRE_EVERY + 4


def test_the_log_holds_our_own_keys_only(local: Lake, few_kept: Settings) -> None:
    for number in range(1, 5):
        land(local, number)
    expire_snapshots(local.table("raw.events"), few_kept)
    table = local.table("raw.events")
    with table.io.new_input(table.properties[EXPIRED_LOG_KEY]).open() as file:
        document = json.loads(file.read())
    keys = {key for snapshot in document["snapshots"] for key in snapshot["summary"]}
    assert keys == {"unmogrowp.slices", "unmogrowp.offset.w0", "unmogrowp.offset.land_seq"}


@pytest.fixture
def few_kept(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, snapshots_kept=2)
