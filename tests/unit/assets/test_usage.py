"""`usage_daily` from the real door, lander and clean to a real ClickHouse; and what its check would not let pass."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import orjson
import pytest

from assets.clean import clean_events, rebuild
from assets.partitions import RunSlices, range_tags
from assets.usage import (
    USAGE_JOB,
    build_usage_defs,
    close_invoices,
    usage_daily,
    usage_differences,
    usage_equals_ledger,
    usage_nightly,
)
from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import SliceTable, ensure_table
from resources.embedded.clickhouse_process import ClickHouseProcess
from resources.ledger_reader import ledger_of_run
from resources.plans import Quota
from resources.registry import Registry, TenantState
from resources.settings import Settings
from resources.usage import DayUsage, usage_of
from tests.support.door import TENANT, Landing, RunningDoor, click, now_text

YESTERDAY = now_text(-dt.timedelta(days=1))
DAY = dt.date.fromisoformat(YESTERDAY[:10])
KPI = SliceTable(
    "kpi_daily",
    {"tenant_id": "String", "event_date": "Date", "active_users": "Int64"},
    ("tenant_id", "event_date"),
    "as the mart",
)


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouseProcess(tmp_path_factory.mktemp("clickhouse")) as server:
        door = ClickHouse(server.url, database="marts")
        ensure_table(door, KPI)
        door.command(f"INSERT INTO kpi_daily VALUES ('{TENANT}', '{DAY}', 4), ('another', '{DAY}', 100)")
        yield door
        door.close()


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
        registry.transition(TENANT, state, actor="test")
    yield registry
    registry.close()


def ran(
    landing: Landing, clickhouse: ClickHouse, registry: Registry, settings: Settings
) -> dg.ExecuteInProcessResult:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", [TENANT])
        return dg.materialize(
            [clean_events, usage_daily, usage_equals_ledger],
            instance=instance,
            resources={
                "lake": landing.lake,
                "clickhouse": clickhouse,
                "registry": registry,
                "settings": settings,
            },
            tags=range_tags(TENANT, DAY, DAY),
            selection="usage_daily",
        )


def test_a_day_is_metered_from_the_lake_and_again_after_late_events(
    settings: Settings, clickhouse: ClickHouse, registry: Registry
) -> None:
    good = [click(timestamp=YESTERDAY) for _ in range(5)]
    refused = [click(timestamp=YESTERDAY, surprise=1) for _ in range(3)]
    registry.charge_pulled_bytes(TENANT, DAY, 77, dt.datetime.now(dt.UTC))
    registry.set_quotas(TENANT, {Quota.STORAGE_BYTES: 1}, "test")
    with Landing(settings) as landing, RunningDoor(settings) as door:
        door.send_batch(orjson.dumps([*good, *good[:2], *refused]))
        landing.land_all()
        rebuild(landing.lake, RunSlices(TENANT, (DAY,)), settings.late_days, "run")
        result = ran(landing, clickhouse, registry, settings)
        [check] = result.get_asset_check_evaluations()
        assert check.passed
        [day] = usage_of(clickhouse, TENANT, DAY, DAY)
        files = landing.lake.table("clean.events").inspect.files().to_pylist()
        assert day == DayUsage(DAY, 10, 7, 5, 2, 3, 4, sum(file["file_size_in_bytes"] for file in files), 77)
        assert [(each.quota, each.share_percent) for each in registry.quota_alerts(TENANT)] == [
            ("storage_bytes", 80),
            ("storage_bytes", 100),
        ]

        door.send(click(timestamp=YESTERDAY))
        landing.land_all()
        rebuild(landing.lake, RunSlices(TENANT, (DAY,)), settings.late_days, "run")
        for _ in range(2):  # twice equals once
            ran(landing, clickhouse, registry, settings)
            [day] = usage_of(clickhouse, TENANT, DAY, DAY)
            assert (day.events_received, day.events_clean) == (11, 6)
        assert len(registry.quota_alerts(TENANT)) == 2


def test_a_mart_that_is_not_the_ledger_fails_the_check(
    settings: Settings, clickhouse: ClickHouse, registry: Registry
) -> None:
    with Landing(settings) as landing, RunningDoor(settings) as door:
        door.send(click(timestamp=YESTERDAY))
        landing.land_all()
        rebuild(landing.lake, RunSlices(TENANT, (DAY,)), settings.late_days, "run")
        ran(landing, clickhouse, registry, settings)
        clickhouse.command(
            "ALTER TABLE usage_daily UPDATE events_clean = 9 WHERE 1", settings={"mutations_sync": 2}
        )
        ledger = ledger_of_run(landing.lake, TENANT, [DAY], settings.late_days)
        [difference] = usage_differences(usage_of(clickhouse, TENANT, DAY, DAY), ledger)
        assert "metered as (1, 1, 9, 0, 0) and counted as (1, 1, 1, 0, 0)" in difference
        [missing] = usage_differences([], ledger)
        assert "metered as None" in missing


def test_the_night_asks_for_yesterday_of_active_tenants_once(registry: Registry) -> None:
    registry.request("waiting", "starter", "test")
    now = dt.datetime.now(dt.UTC)
    context = dg.build_schedule_context(scheduled_execution_time=now, resources={"registry": registry})
    requests = usage_nightly(context)
    assert isinstance(requests, list)
    yesterday = now.date() - dt.timedelta(days=1)
    assert [(each.run_key, each.job_name) for each in requests] == [
        (f"usage_job:{TENANT}:{yesterday}:{yesterday}:usage:{yesterday}", USAGE_JOB.name)
    ]


def test_the_night_closes_what_is_due(settings: Settings, clickhouse: ClickHouse, registry: Registry) -> None:
    resources = {"registry": registry, "clickhouse": clickhouse, "settings": settings}
    assert close_invoices.execute_in_process(resources=resources).success
    assert registry.final_invoices(TENANT) == []  # the first month runs


def test_the_definitions_hold_together() -> None:
    assert {each.name for each in build_usage_defs().schedules or ()} == {
        "usage_nightly",
        "close_invoices_nightly",
    }
