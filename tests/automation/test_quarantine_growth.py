"""The growth alert: it fires for the tenant and hour it should, says so once, clears, and stays silent otherwise."""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest
import yaml

from assets.quarantine_growth import (
    CHECK,
    RAW_EVENTS,
    current_alarms,
    growth_alarms,
    quarantine_growth,
    quarantine_growth_sensor,
)
from ingest_api.metrics import DoorMetrics
from resources.lake import Lake
from resources.settings import APPLICATION_ROOT, Settings

HOUR = dt.datetime(2026, 11, 10, 8, tzinfo=dt.UTC)


def accepted(tenant: str, count: int, at: dt.datetime = HOUR) -> pl.DataFrame:
    return pl.DataFrame({"tenant_id": [tenant] * count, "received_at": [at] * count})


def refused(tenant: str, count: int, at: dt.datetime = HOUR, code: str = "bad_format") -> pl.DataFrame:
    return accepted(tenant, count, at).with_columns(reason_code=pl.lit(code))


def test_an_alarm_names_tenant_hour_top_reasons_and_the_command_to_look() -> None:
    rejected = pl.concat([refused("t1", 60), refused("t1", 50, code="unknown_field")])
    [alarm] = growth_alarms(accepted("t1", 1000), rejected, 0.05, 100)
    assert (alarm.tenant_id, alarm.hour, alarm.received, alarm.quarantined) == ("t1", HOUR, 1110, 110)
    assert "tenant t1, 2026-11-10 08:00 UTC: 110 of 1110" in str(alarm)
    assert "9.9%; bad_format 60, unknown_field 50" in str(alarm)
    assert "unmogrowp quarantine list --tenant t1 --from 2026-11-10" in str(alarm)


def test_few_refusals_or_a_small_share_of_many_deliveries_do_not_alarm() -> None:
    assert growth_alarms(accepted("t1", 10), refused("t1", 99), 0.05, 100) == []
    assert growth_alarms(accepted("t1", 1900), refused("t1", 100), 0.05, 100) == []  # 5.0 %, not more
    assert len(growth_alarms(accepted("t1", 1899), refused("t1", 100), 0.05, 100)) == 1


def test_each_tenant_and_hour_stands_for_itself() -> None:
    later = HOUR + dt.timedelta(minutes=59)
    next_hour = HOUR + dt.timedelta(hours=1)
    rejected = pl.concat(
        [refused("t1", 60), refused("t1", 60, later), refused("t2", 99), refused("t1", 99, next_hour)]
    )
    taken = accepted("t2", 10_000)  # another tenant's good deliveries excuse nobody
    assert [alarm.key for alarm in growth_alarms(taken, rejected, 0.05, 100)] == [f"t1/{HOUR.isoformat()}"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


class World:
    """A lake with refused deliveries, and the sensor with its cursor."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance, self.lake = settings, instance, Lake(settings)
        self.lake.ensure_tables()
        self.sensor = quarantine_growth_sensor(settings)
        self.cursor: str | None = None
        self.commits = 0

    def refuse(self, tenant_id: str, count: int, at: dt.datetime) -> None:
        rows = [
            {
                "tenant_id": tenant_id,
                "received_at": at,
                "received_date": at.date(),
                "quarantine_id": f"q{number}",
                "reason_code": "bad_format",
                "pointer": "",
                "reason": "",
                "body_sealed": b"",
            }
            for number in range(count)
        ]
        self.commits += 1
        self.lake.append_with_offsets(
            "raw.quarantine",
            pa.Table.from_pylist(rows, schema=self.lake.arrow_schema("raw.quarantine")),
            offsets={"unmogrowp.offset.test": str(self.commits)},
            expected_offsets=self.lake.offsets("raw.quarantine"),
            summary={},
        )

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"lake": self.lake}
        )
        result: Any = self.sensor(context)
        self.cursor = result.cursor
        return result


def test_the_sensor_tells_an_alarm_once_and_its_end_once(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    world = World(settings, instance)
    now = dt.datetime.now(dt.UTC)
    assert world.tick().skip_reason is not None
    world.refuse("t1", settings.quarantine_alert_min - 1, now)
    assert world.tick().asset_events == []
    world.refuse("t1", 1, now)
    [fired] = world.tick().asset_events
    assert isinstance(fired, dg.AssetCheckEvaluation)
    assert (fired.asset_key, fired.check_name, fired.passed) == (RAW_EVENTS, CHECK, False)
    assert fired.severity is dg.AssetCheckSeverity.WARN
    assert "tenant t1" in (fired.description or "")
    world.refuse("t2", 1, now)
    assert world.tick().asset_events == []  # nothing new to tell
    world.lake.catalog.drop_table("raw.quarantine")
    world.lake.ensure_tables()  # stands for the hours going by
    [cleared] = world.tick().asset_events
    assert isinstance(cleared, dg.AssetCheckEvaluation)
    assert cleared.passed
    assert world.tick().skip_reason is not None


def test_refusals_of_hours_ago_do_not_alarm(settings: Settings, instance: dg.DagsterInstance) -> None:
    world = World(settings, instance)
    now = dt.datetime.now(dt.UTC)
    world.refuse("t1", 500, now - dt.timedelta(hours=3))
    assert current_alarms(world.lake, settings, now) == []
    world.refuse("t1", 500, now - dt.timedelta(hours=1))
    assert [alarm.quarantined for alarm in current_alarms(world.lake, settings, now)] == [500]


def test_the_check_runs_by_hand_and_the_sensors_evaluation_is_the_checks(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    world = World(settings, instance)
    world.refuse("t1", 500, dt.datetime.now(dt.UTC))
    outcome: Any = quarantine_growth(world.lake, settings)
    assert (outcome.passed, outcome.severity) == (False, dg.AssetCheckSeverity.WARN)
    [event] = world.tick().asset_events
    instance.report_runless_asset_event(event)
    key = dg.AssetCheckKey(RAW_EVENTS, CHECK)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    assert quarantine_growth.check_key == key


def test_the_prometheus_rule_is_about_what_the_door_counts_and_alarms_where_the_sensor_does() -> None:
    metrics = DoorMetrics()
    metrics.made_durable("t1", 1, 1, 0.001)
    exposition = metrics.exposition()[0].decode()
    document = yaml.safe_load((APPLICATION_ROOT / "deploy" / "rules" / "quarantine.yml").read_text())
    [rule] = document["groups"][0]["rules"]
    selectors = set(re.findall(r'(unmogrowp_\w+)(?:\{outcome="(\w+)"\})?', rule["expr"]))
    assert {name for name, _ in selectors} == {"unmogrowp_ingest_events_total"}
    for name, outcome in selectors:
        assert re.search(
            rf'^{name}{{outcome="{outcome or "accepted"}",tenant_id="t1"}} 1.0$', exposition, re.M
        )
    settings = Settings()
    assert f">= {settings.quarantine_alert_min}\n" in rule["expr"]
    assert rule["expr"].rstrip().endswith(f"> {settings.quarantine_alert_share}")
    assert "tenant_id" in rule["annotations"]["summary"]
    scrape = yaml.safe_load((APPLICATION_ROOT / "deploy" / "prometheus.yml").read_text())
    assert scrape["rule_files"] == ["rules/*.yml"]
