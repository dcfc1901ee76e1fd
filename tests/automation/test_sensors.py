"""The sensors, driven tick by tick: exactly the slices that changed are asked for."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.automation import landed_slices_sensor, reopened_slices_sensor, requests_for
from assets.jobs import MARTS_JOB
from assets.partitions import RANGE_END_TAG, RANGE_START_TAG, TENANT_TAG, range_tags
from resources.lake import REOPENED_KEY, Lake, slices_json
from resources.registry import Registry, TenantState
from resources.settings import Settings

TODAY = dt.datetime.now(dt.UTC).date()
DAY = TODAY - dt.timedelta(days=4)


def day(offset: int) -> dt.date:
    return DAY + dt.timedelta(days=offset)


class World:
    """A lake, a registry with active tenants, an instance, and one sensor with its cursor."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self.lake, self.registry = Lake(settings), Registry(settings.registry_url)
        self.lake.ensure_tables()
        self.registry.migrate()
        self.sensor = landed_slices_sensor(settings)
        self.cursor: str | None = None
        self.landed = 0

    def activate(self, tenant_id: str) -> None:
        self.registry.request(tenant_id, "starter", "test")
        self.registry.transition(tenant_id, TenantState.PROVISIONING, actor="test")
        self.registry.transition(tenant_id, TenantState.ACTIVE, actor="test")
        self.instance.add_dynamic_partitions("tenant", [tenant_id])

    def land(self, *slices: tuple[str, dt.date]) -> int:
        rows = []
        for tenant_id, date in slices:
            self.landed += 1
            noon = dt.datetime(date.year, date.month, date.day, 12, tzinfo=dt.UTC)
            rows.append(
                {
                    "tenant_id": tenant_id,
                    "received_at": dt.datetime.now(dt.UTC),
                    "land_seq": self.landed,
                    "event_id": f"e{self.landed}",
                    "event_type": "session",
                    "event_time": noon,
                    "event_date": date,
                    "schema_version": "v1",
                    "body": "{}",
                }
            )
        touched: dict[str, list[dt.date]] = {}
        for tenant_id, date in slices:
            touched.setdefault(tenant_id, []).append(date)
        return self.lake.append_with_offsets(
            "raw.events",
            pa.Table.from_pylist(rows, schema=self.lake.arrow_schema("raw.events")),
            offsets={"unmogrowp.offset.test": str(self.landed)},
            expected_offsets=self.lake.offsets("raw.events"),
            summary={"unmogrowp.slices": slices_json(touched)},
        )

    def tick(self) -> dg.SensorResult:
        resources = {"lake": self.lake, "registry": self.registry}
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources)
        result: Any = self.sensor(context)
        self.cursor = result.cursor
        return result

    def asked(self) -> list[tuple[str, str, str]]:
        return [asked(request) for request in self.tick().run_requests]


def asked(request: dg.RunRequest) -> tuple[str, str, str]:
    first, last = request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]
    assert first.split("|")[1] == last.split("|")[1] == request.tags[TENANT_TAG]
    return request.tags[TENANT_TAG], first.split("|")[0], last.split("|")[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(home=tmp_path / "home", slice_quiet_s=0.0, failed_slice_retry_s=0.0)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        world = World(settings, instance)
        world.activate("t1")
        world.activate("t2")
        yield world


def test_a_landed_snapshot_asks_for_exactly_the_slices_it_touched(world: World) -> None:
    world.land(("t1", day(0)), ("t1", day(1)), ("t1", day(3)), ("t2", day(1)))
    assert world.asked() == [
        ("t1", str(day(0)), str(day(1))),
        ("t1", str(day(3)), str(day(3))),
        ("t2", str(day(1)), str(day(1))),
    ]
    assert world.asked() == []


def test_a_late_event_for_an_old_date_asks_for_that_slice_and_no_other(world: World) -> None:
    world.land(*((tenant, day(n)) for tenant in ("t1", "t2") for n in range(4)))
    assert len(world.asked()) == 2
    world.land(("t1", day(0)))
    assert world.asked() == [("t1", str(day(0)), str(day(0)))]


def test_the_same_slice_landing_again_gets_a_new_run_key(world: World) -> None:
    keys = set()
    for _ in range(2):
        world.land(("t1", day(0)))
        keys |= {request.run_key for request in world.tick().run_requests}
    assert len(keys) == 2


def test_slices_of_a_tenant_that_is_not_active_yet_wait_for_it(world: World) -> None:
    world.land(("t3", day(0)))
    assert world.asked() == []
    world.activate("t3")
    assert world.asked() == [("t3", str(day(0)), str(day(0)))]


def test_a_tenant_with_a_run_in_flight_waits_and_does_not_hold_up_another(world: World) -> None:
    run = world.instance.create_run_for_job(
        noop_job(), tags={TENANT_TAG: "t1"}, status=dg.DagsterRunStatus.STARTED
    )
    world.land(("t1", day(0)), ("t2", day(0)))
    assert world.asked() == [("t2", str(day(0)), str(day(0)))]
    world.instance.report_run_failed(run)
    assert world.asked() == [("t1", str(day(0)), str(day(0)))]


def noop_job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def noop() -> None:
        nothing()

    return noop


def test_an_expired_cursor_asks_for_every_slice_rather_than_missing_one(world: World) -> None:
    first = world.land(("t1", day(0)))
    world.asked()
    world.land(("t1", day(1)))
    world.land(("t2", day(2)))
    world.lake.table("raw.events").maintenance.expire_snapshots().by_id(first).commit()
    assert world.asked() == [("t1", str(day(0)), str(day(1))), ("t2", str(day(2)), str(day(2)))]


def test_a_failed_tick_loses_nothing(world: World) -> None:
    world.land(("t1", day(0)))
    world.lake.catalog.rename_table("raw.events", "raw.away")
    with pytest.raises(Exception, match=r"raw\.events"):
        world.tick()
    world.lake.catalog.rename_table("raw.away", "raw.events")
    assert world.asked() == [("t1", str(day(0)), str(day(0)))]


def failed_run(world: World, *, will_retry: bool) -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job(name="slice_job")
    def slice_job() -> None:
        nothing()

    tags = {**range_tags("t1", day(0), day(1)), "dagster/will_retry": str(will_retry).lower()}
    run = world.instance.create_run_for_job(slice_job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    world.instance.report_run_failed(run)


def test_slices_whose_run_failed_for_good_are_asked_for_again(world: World) -> None:
    assert world.asked() == []
    failed_run(world, will_retry=True)
    assert world.asked() == []
    failed_run(world, will_retry=False)
    assert world.asked() == [("t1", str(day(0)), str(day(1)))]
    assert world.asked() == []


def test_every_landed_slice_is_observed_on_the_raw_asset(world: World) -> None:
    snapshot = world.land(("t1", day(0)), ("t2", day(1)))
    observations = world.tick().asset_events
    assert {(o.partition, o.metadata["snapshot_id"].value) for o in observations} == {
        (f"{day(0)}|t1", str(snapshot)),
        (f"{day(1)}|t2", str(snapshot)),
    }


def test_dates_before_the_first_partition_are_not_asked_for() -> None:
    assert requests_for("t1", [dt.date(2020, 1, 1), DAY], "1") == requests_for("t1", [DAY], "1")


def reopen(world: World, tenant_id: str, *dates: dt.date, made: dt.date = DAY) -> None:
    nothing = world.lake.read_slices("clean.events", tenant_id, [made])
    summary = {REOPENED_KEY: slices_json({tenant_id: dates})}
    world.lake.replace_slices(
        "clean.events", nothing, tenant_id=tenant_id, dates=[made], run_id="r", summary=summary
    )


def test_a_commit_that_reopened_dates_asks_for_their_marts_once(world: World) -> None:
    world.sensor = reopened_slices_sensor(world.settings)
    reopen(world, "t1", day(1), day(2))
    (request,) = world.tick().run_requests
    assert asked(request) == ("t1", str(day(1)), str(day(2)))
    assert request.job_name == MARTS_JOB.name
    assert world.asked() == []


def test_reopened_dates_wait_until_the_marts_of_the_changed_slice_are_done(world: World) -> None:
    world.sensor = reopened_slices_sensor(world.settings)
    run = world.instance.create_run_for_job(
        noop_job(), tags={TENANT_TAG: "t1"}, status=dg.DagsterRunStatus.STARTED
    )
    reopen(world, "t1", day(1))
    reopen(world, "t1")
    assert world.asked() == []
    world.instance.report_run_failed(run)
    assert world.asked() == [("t1", str(day(1)), str(day(1)))]


def test_a_slice_made_while_a_reopened_one_waits_is_made_again_behind_it(world: World) -> None:
    world.sensor = reopened_slices_sensor(world.settings)
    run = world.instance.create_run_for_job(
        noop_job(), tags={TENANT_TAG: "t1"}, status=dg.DagsterRunStatus.STARTED
    )
    reopen(world, "t1", day(1))
    assert world.asked() == []
    reopen(world, "t1", made=day(5))  # read what day 1 was: that may change
    world.instance.report_run_failed(run)
    assert world.asked() == [
        ("t1", str(day(1)), str(day(1))),
        ("t1", str(day(5)), str(day(5))),
    ]
