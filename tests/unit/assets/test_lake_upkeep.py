"""The job `lake_upkeep`: one op per table, a bad table blocks no other, and a night of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from assets.maintenance import build_maintenance_defs
from assets.maintenance.lake_upkeep import lake_upkeep, op_name
from resources.lake import Lake
from resources.lake_compaction import MIN_SMALL_FILES
from resources.settings import Settings
from schemas import table_schemas
from tests.support.lake_rows import land


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, snapshots_kept=2, snapshot_min_age_s=0)


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    with closing(Lake(settings)) as lake:
        lake.ensure_tables()
        for number in range(1, MIN_SMALL_FILES + 1):
            land(lake, number)
        yield lake


def run(lake: Lake, settings: Settings, *, dry_run: bool = False) -> dg.ExecuteInProcessResult:
    return lake_upkeep.execute_in_process(
        resources={"lake": lake, "settings": settings},
        run_config={"dry_run": dry_run},
        raise_on_error=False,
    )


def metadata_of(result: dg.ExecuteInProcessResult, table: str) -> dict[str, object]:
    for event in result.events_for_node(op_name(table)):
        if event.is_successful_output:
            return {key: value.value for key, value in event.step_output_data.metadata.items()}
    raise AssertionError(f"{table}: no output")


def test_every_table_is_maintained_and_says_what_was_done(lake: Lake, settings: Settings) -> None:
    result = run(lake, settings)
    assert result.success
    metadata = {table: metadata_of(result, table) for table in table_schemas()}
    assert metadata["raw.events"]["snapshots_expired"] == MIN_SMALL_FILES - 1
    assert f"received_at_day=2026-11-01 | 8 | {MIN_SMALL_FILES} → 1" in str(
        metadata["raw.events"]["compactions"]
    )
    assert metadata["ml.scores"]["orphan_files"] == 0


def test_a_dry_run_changes_nothing(lake: Lake, settings: Settings) -> None:
    before = lake.table("raw.events").metadata_location
    result = run(lake, settings, dry_run=True)
    assert result.success
    assert metadata_of(result, "raw.events")["partitions_to_compact"] == 1
    assert lake.table("raw.events").metadata_location == before


def test_a_table_that_cannot_be_read_fails_alone(lake: Lake, settings: Settings) -> None:
    metadata_file = Path(lake.table("clean.events").metadata_location.removeprefix("file://"))
    metadata_file.unlink()
    result = run(lake, settings)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.node_name == op_name("clean.events")
    assert metadata_of(result, "raw.events")["snapshots_expired"] == MIN_SMALL_FILES - 1
    assert metadata_of(result, "ml.scores")["snapshots_expired"] == 0


def test_the_nightly_schedule_runs_from_the_start_in_utc(settings: Settings) -> None:
    chosen = settings.with_changes(maintenance_cron="30 2 * * *")
    (schedule,) = build_maintenance_defs(chosen).schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 2 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
