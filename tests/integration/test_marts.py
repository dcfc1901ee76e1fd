"""The marts over a real lake and engine: idempotent, rebuildable, exact, one tenant at a time."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.jobs import MART_ASSETS
from assets.marts import dbt_vars
from assets.partitions import RunSlices
from resources.clickhouse import ClickHouse
from resources.dbt_files import DBT_PROJECT_DIR, dbt_dir
from resources.rules import DEFAULT_RULES

DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=4)
NEXT = DAY + dt.timedelta(days=1)


def at(day: dt.date, hour: float = 12.0) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) + dt.timedelta(hours=hour)


def small_world(make_event: Any, tenant: str) -> list[dict[str, Any]]:
    """Two devices: one clicks two networks and buys on both days; one is organic. Spend without an install."""
    return [
        make_event(tenant, "click", at(DAY, 8), clickId="c1", source="net_a", campaign="one"),
        make_event(tenant, "click", at(DAY, 9), clickId="c2", source="net_b", campaign="two"),
        make_event(tenant, "install", at(DAY, 10), campaign="x", referrer={"clickId": "c2"}),
        make_event(tenant, "purchase", at(DAY, 11), revenueMicros=5_000_000, currency="USD"),
        make_event(tenant, "purchase", at(NEXT, 11), revenueMicros=7_000_001, currency="USD"),
        make_event(tenant, "purchase", at(NEXT, 12), revenueMicros=9, currency="EUR"),
        make_event(tenant, "install", at(NEXT, 10), deviceId="d2", campaign="x"),
        make_event(
            tenant, "ad_spend", at(DAY, 0), source="net_c", campaign="three", spendMicros=40, currency="USD"
        ),
    ]


def assert_same(left: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> None:
    for name, frame in left.items():
        assert_frame_equal(frame, right[name])


@pytest.fixture(scope="module")
def world(platform: Any, make_event: Any) -> Any:
    """A tenant whose marts are built, and the marts."""
    tenant = platform.activate("mt_world")
    platform.land(*small_world(make_event, tenant))
    assert platform.materialize(tenant, DAY, NEXT).success
    return tenant, platform.marts(tenant)


def test_installs_go_to_the_latest_click_and_revenue_follows_for_life(world: Any) -> None:
    _, marts = world
    installs = {row["device_id"]: row for row in marts["installs"].iter_rows(named=True)}
    assert (installs["d1"]["source"], installs["d1"]["campaign"], installs["d1"]["match_type"]) == (
        "net_b",
        "two",
        "referrer",
    )
    assert installs["d1"]["ctit_ms"] == 3_600_000
    assert len(installs["d1"]["assists"]) == 1
    assert (installs["d2"]["match_type"], installs["d2"]["touch_time"]) == ("organic", None)
    campaigns = marts["campaign_daily"].filter(pl.col("model") == "last_touch")
    assert campaigns.filter(pl.col("source") == "net_b")["revenue_micros"].sum() == 12_000_001
    assert campaigns.filter(pl.col("source") == "net_c")["spend_micros"].to_list() == [40]
    kpi = marts["kpi_daily"].sort("event_date")
    assert kpi["revenue_micros"].to_list() == [5_000_000, 7_000_001]
    assert kpi["purchases_other_currency"].to_list() == [0, 1]


def test_materialising_twice_and_one_date_at_a_time_gives_the_same_rows(platform: Any, world: Any) -> None:
    tenant, marts = world
    assert platform.materialize(tenant, NEXT, NEXT).success
    assert platform.materialize(tenant, DAY, DAY).success
    assert_same(marts, platform.marts(tenant))


def test_a_mart_that_an_older_release_made_gains_the_columns_it_lacks(platform: Any, world: Any) -> None:
    tenant, marts = world
    clickhouse = ClickHouse.from_settings(platform.settings)
    for column in ("clicks", "credited_installs"):
        clickhouse.command(f"ALTER TABLE marts.campaign_daily DROP COLUMN {column}")
    clickhouse.close()
    assert platform.materialize(tenant, DAY, DAY, "campaign_daily").success
    restored = platform.mart("campaign_daily", tenant)
    assert restored.columns == marts["campaign_daily"].columns
    assert_frame_equal(of_day(restored, DAY), of_day(marts["campaign_daily"], DAY))
    assert restored.height == marts["campaign_daily"].height
    assert platform.materialize(tenant, NEXT, NEXT, "campaign_daily").success
    assert_frame_equal(platform.mart("campaign_daily", tenant), marts["campaign_daily"])


def of_day(mart: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    return mart.filter(pl.col("event_date") == day)


def test_an_emptied_slice_empties_and_its_neighbour_stays(platform: Any, make_event: Any) -> None:
    tenant = platform.activate("mt_emptied")
    platform.land(*small_world(make_event, tenant))
    assert platform.materialize(tenant, DAY, NEXT).success
    before = platform.mart("installs", tenant)
    none = platform.lake.read_slices("clean.events", tenant, [DAY]).clear()
    platform.lake.replace_slice("clean.events", none, tenant_id=tenant, date=DAY, run_id="test")
    assert platform.materialize(tenant, DAY, DAY, *MART_ASSETS).success
    assert_frame_equal(platform.mart("installs", tenant), before.filter(pl.col("event_date") == NEXT))
    assert platform.mart("kpi_daily", tenant)["event_date"].to_list() == [NEXT]
    platform.lake.replace_slice("clean.events", none, tenant_id=tenant, date=NEXT, run_id="test")
    assert platform.materialize(tenant, DAY, NEXT, *MART_ASSETS).success
    marts = platform.marts(tenant)
    usage = marts.pop("usage_daily")  # of the deliveries, which the lake still has
    assert usage["events_received"].sum() > 0
    assert all(mart.is_empty() for mart in marts.values())


def test_deleting_clickhouse_and_materialising_again_gives_every_row_back(platform: Any, world: Any) -> None:
    tenant, marts = world
    platform.server.kill()
    shutil.rmtree(platform.server.directory)
    platform.server.start()
    assert platform.materialize(tenant, DAY, NEXT).success
    assert_same(marts, platform.marts(tenant))


def test_a_run_killed_at_any_moment_leaves_nothing_that_a_second_run_does_not_repair(
    platform: Any, world: Any
) -> None:
    tenant, marts = world
    variables = dbt_vars(
        RunSlices(tenant, (DAY, NEXT)),
        clean_events=platform.lake.clickhouse_source("clean.events"),
        rules=DEFAULT_RULES,
        currency="USD",
    )
    for delay_s in (3.0, 4.5, 5.5):
        run_dbt_and_kill(platform, variables, delay_s)
        for (
            name,
            frame,
        ) in marts.items():  # before the repair readers see old rows or new ones, never part of them
            assert_frame_equal(platform.mart(name, tenant), frame)
    platform.server.kill()
    platform.server.start()
    assert platform.materialize(tenant, DAY, NEXT).success
    assert_same(marts, platform.marts(tenant))


def run_dbt_and_kill(platform: Any, variables: dict[str, Any], delay_s: float) -> None:
    directory = dbt_dir(platform.settings)
    command = [
        str(Path(sys.executable).with_name("dbt")),
        "build",
        "--project-dir",
        str(DBT_PROJECT_DIR),
        "--profiles-dir",
        str(directory),
    ]
    environment = {
        **os.environ,
        "DBT_TARGET_PATH": str(directory / "killed"),
        "DBT_LOG_PATH": str(directory / "killed"),
    }
    process = subprocess.Popen(
        [*command, "--vars", json.dumps(variables)],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_one_tenants_run_neither_reads_nor_touches_anothers_rows(
    platform: Any, world: Any, make_event: Any
) -> None:
    tenant, marts = world
    other = platform.activate("mt_other")
    # same device, same app, same click id as the first tenant's: only an install here
    platform.land(make_event(other, "install", at(DAY, 10.5), campaign="x", referrer={"clickId": "c2"}))
    assert platform.materialize(other, DAY, NEXT).success
    (install,) = platform.mart("installs", other).iter_rows(named=True)
    assert install["match_type"] == "organic"
    assert_same(marts, platform.marts(tenant))
