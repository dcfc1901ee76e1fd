"""The training sensor, driven tick by tick: a tenant gets its champion, and no training is asked for twice."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.automation import champion_published_sensor, ltv_training_sensor
from assets.jobs import TRAIN_JOB
from assets.partitions import RANGE_START_TAG, TENANT_TAG
from assets.pending_training import RUN_KEY_TAG, WILL_RETRY_TAG, TrainingCursor
from resources.lake import Lake
from resources.settings import Settings

NEWEST = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=2)
MATURE = NEWEST - dt.timedelta(days=3)


@dg.op
def nothing() -> None: ...


@dg.job
def train_job() -> None:
    nothing()


class World:
    """A lake with features, an instance, and the training sensor with its cursor."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance, self.lake = settings, instance, Lake(settings)
        self.lake.ensure_tables()
        self.sensor = ltv_training_sensor(settings)
        self.cursor: str | None = None

    def have_features(self, tenant_id: str, date: dt.date = NEWEST) -> None:
        columns = pl.DataFrame(self.lake.arrow_schema("ml.user_features").empty_table()).schema
        zeros = {name: pl.Series([0]).cast(kind) for name, kind in columns.items()}
        rows = pl.DataFrame({**zeros, "tenant_id": [tenant_id], "as_of": [date]})
        self.lake.replace_slice("ml.user_features", rows, tenant_id=tenant_id, date=date, run_id="r")

    def materialize_features(self, tenant_id: str, date: dt.date = NEWEST) -> None:
        event = dg.AssetMaterialization("user_features", partition=f"{date}|{tenant_id}")
        self.instance.report_runless_asset_event(event)

    def have_trained(self, tenant_id: str, *, promoted: bool) -> None:
        metadata = {"trained": True, "promoted": promoted}
        event = dg.AssetMaterialization("ltv_model", partition=tenant_id, metadata=metadata)
        self.instance.report_runless_asset_event(event)

    def start_run(self, tenant_id: str, **tags: str) -> dg.DagsterRun:
        return self.instance.create_run_for_job(
            train_job, tags={TENANT_TAG: tenant_id, **tags}, status=dg.DagsterRunStatus.STARTED
        )

    def launch(self, request: dg.RunRequest) -> dg.DagsterRun:
        """The run of a request, with the tags that the daemon gives it."""
        return self.start_run(request.tags[TENANT_TAG], **{RUN_KEY_TAG: str(request.run_key)})

    def finish(self, run: dg.DagsterRun) -> None:
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
        self.instance.report_dagster_event(event, run.run_id)

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"lake": self.lake}
        )
        result: Any = self.sensor(context)
        self.cursor = result.cursor
        return result

    def keys(self) -> list[str]:
        return [str(request.run_key) for request in self.tick().run_requests]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        world = World(Settings(home=tmp_path / "home", ltv_horizon_days=3), instance)
        for tenant_id in ("t1", "t2"):
            world.have_features(tenant_id)
        yield world


def plain(tenant_id: str, mature: dt.date = MATURE) -> str:
    return f"train:{tenant_id}:{mature}"


def test_the_first_features_ask_for_one_training_with_the_plain_key(world: World) -> None:
    world.materialize_features("t1")
    (request,) = world.tick().run_requests
    assert (request.run_key, request.partition_key) == (plain("t1"), "t1")
    assert request.tags[TENANT_TAG] == "t1"
    assert world.keys() == []


def test_many_days_materialised_at_once_ask_for_one_training(world: World) -> None:
    for offset in range(3):
        world.materialize_features("t1", NEWEST - dt.timedelta(days=offset))
    assert world.keys() == [plain("t1")]


def test_a_tenant_with_a_run_in_flight_waits_until_it_is_over(world: World) -> None:
    run = world.start_run("t1")
    world.materialize_features("t1")
    assert world.keys() == []
    assert world.keys() == []
    world.finish(run)
    assert world.keys() == [plain("t1")]
    assert world.keys() == []


def test_a_waiting_tenant_neither_holds_up_another_nor_makes_it_be_asked_for_twice(world: World) -> None:
    run = world.start_run("t1")
    world.materialize_features("t1")
    world.materialize_features("t2")
    assert world.keys() == [plain("t2")]
    assert world.keys() == []
    world.materialize_features("t2", NEWEST - dt.timedelta(days=1))
    assert world.keys() == [plain("t2")]
    world.finish(run)
    assert world.keys() == [plain("t1")]


def test_another_tenants_training_that_promoted_nothing_is_not_repeated_while_one_waits(world: World) -> None:
    world.start_run("t1")
    world.materialize_features("t1")
    world.materialize_features("t2")
    (request,) = world.tick().run_requests
    run = world.launch(request)
    world.have_trained("t2", promoted=False)
    world.finish(run)
    assert world.keys() == []


def test_without_a_champion_the_next_features_ask_again_with_a_key_of_their_own(world: World) -> None:
    world.materialize_features("t1")
    (request,) = world.tick().run_requests
    run = world.launch(request)
    world.materialize_features("t1")  # the other half of the history, while the training runs
    assert world.keys() == []
    world.have_trained("t1", promoted=False)
    world.finish(run)
    (again,) = world.keys()
    assert again.startswith(f"{plain('t1')}:")
    world.materialize_features("t1")
    (once_more,) = world.keys()
    assert once_more.startswith(f"{plain('t1')}:")
    assert once_more != again


def test_a_training_that_failed_is_asked_for_again_once_its_retries_are_used_up(world: World) -> None:
    world.materialize_features("t1")
    (request,) = world.tick().run_requests
    run = world.launch(request)
    world.instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
    world.instance.report_run_failed(run)
    world.materialize_features("t1")
    assert world.keys() == [plain("t1")]  # the daemon skips a known key; the retry sees these features
    world.instance.report_run_failed(world.launch(request))
    world.materialize_features("t1")
    (again,) = world.keys()
    assert again.startswith(f"{plain('t1')}:")


def test_with_a_champion_the_key_stays_the_plain_one(world: World) -> None:
    world.materialize_features("t1")
    (request,) = world.tick().run_requests
    run = world.launch(request)
    world.have_trained("t1", promoted=True)
    world.have_trained("t1", promoted=False)  # a later challenger that was not better
    world.finish(run)
    world.materialize_features("t1")
    assert world.keys() == [plain("t1")]


def test_another_tenants_champion_does_not_count(world: World) -> None:
    world.materialize_features("t1")
    (request,) = world.tick().run_requests
    world.finish(world.launch(request))
    world.have_trained("t2", promoted=True)
    world.materialize_features("t1")
    assert world.keys() != [plain("t1")]


def test_the_next_mature_day_asks_with_its_own_plain_key(world: World) -> None:
    world.materialize_features("t1")
    (request,) = world.tick().run_requests
    world.finish(world.launch(request))
    tomorrow = NEWEST + dt.timedelta(days=1)
    world.have_features("t1", tomorrow)
    world.materialize_features("t1", tomorrow)
    assert world.keys() == [plain("t1", MATURE + dt.timedelta(days=1))]


def test_features_that_were_erased_before_the_tick_ask_for_nothing(world: World) -> None:
    world.materialize_features("t3")
    assert world.keys() == []
    assert TrainingCursor.loads(world.cursor).waiting == {}


def test_a_cursor_kept_by_an_earlier_release_is_understood(world: World) -> None:
    world.materialize_features("t1")
    assert world.keys() == [plain("t1")]
    world.cursor = str(TrainingCursor.loads(world.cursor).storage_id)
    assert world.keys() == []
    world.materialize_features("t2")
    assert world.keys() == [plain("t2")]


def test_a_promoted_model_asks_once_for_scores_of_every_features_day(world: World) -> None:
    world.sensor = champion_published_sensor(world.settings)
    world.have_trained("t2", promoted=False)
    world.have_trained("t1", promoted=True)
    (request,) = world.tick().run_requests
    assert request.tags[RANGE_START_TAG] == f"{NEWEST}|t1"
    assert world.keys() == []


def test_the_sensor_asks_for_the_training_job() -> None:
    assert ltv_training_sensor(Settings()).job_name == TRAIN_JOB.name
