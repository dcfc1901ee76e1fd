"""Deliveries that failed are tried again by the sensor and its job, tick by tick, to real receivers."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.export_delivery import Doors
from assets.partitions import TENANT_TAG
from assets.redelivery import due_deliveries_sensor, redelivery_job
from benchmarks.drills.export_house import SLICES, House, LaterRegistry, export_once, make_tenant
from benchmarks.drills.receivers import OK, Receiver, receiving
from resources.registry import TenantState
from resources.registry.delivery_store import RETRY_FIRST, DeliveryKey, DeliveryState, Failure

DAY = dt.date(2026, 11, 3)


@dataclass
class World:
    """Two tenants with planes, the sensor over their registry, and an instance."""

    house: House
    doors: Doors
    registry: LaterRegistry
    planes: dict[str, Receiver]
    instance: dg.DagsterInstance

    def tick(self) -> dg.SensorResult:
        sensor: Any = due_deliveries_sensor(self.house.settings)
        context = dg.build_sensor_context(instance=self.instance, resources={"registry": self.registry})
        result: dg.SensorResult = sensor(context)
        return result

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return redelivery_job.execute_in_process(
            run_config=dict(request.run_config or {}),
            resources={"deliveries": self.doors},
            tags=dict(request.tags),
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with receiving() as one, receiving() as two, dg.DagsterInstance.ephemeral() as instance:
        house = House(tmp_path / "home", frozenset())
        doors = house.doors()
        assert isinstance(doors.registry, LaterRegistry)
        doors.registry.migrate()
        planes = {"t1": one, "t2": two}
        for tenant, plane in planes.items():
            make_tenant(doors, house.settings, tenant, plane.url)
        yield World(house, doors, doors.registry, planes, instance)
        doors.registry.close()


def tenants_of(result: dg.SensorResult) -> list[str]:
    return [request.tags[TENANT_TAG] for request in result.run_requests or ()]


def test_without_failures_nothing_is_asked_for(world: World) -> None:
    export_once(world.doors, "t1", 0)
    world.registry.later = dt.timedelta(days=1)
    assert not world.tick().run_requests


def test_what_failed_is_asked_for_when_it_is_due_and_delivered_by_the_run(world: World) -> None:
    world.planes["t1"].mood = "500"
    export_once(world.doors, "t1", 0)
    assert not world.tick().run_requests  # not yet
    world.registry.later = 2 * RETRY_FIRST
    result = world.tick()
    assert tenants_of(result) == ["t1"]
    world.planes["t1"].mood = OK
    world.run((result.run_requests or [])[0])
    assert len(world.planes["t1"].effects) == SLICES
    assert world.registry.undelivered("t1") == []
    assert not world.tick().run_requests


def test_a_tenant_whose_run_is_in_flight_or_who_is_suspended_waits(world: World) -> None:
    world.planes["t1"].mood = world.planes["t2"].mood = "500"
    for tenant in ("t1", "t2"):
        export_once(world.doors, tenant, 0)
    world.registry.later = 2 * RETRY_FIRST
    assert tenants_of(world.tick()) == ["t1", "t2"]
    first = (world.tick().run_requests or [])[0]
    run = world.instance.create_run_for_job(
        redelivery_job, run_config=dict(first.run_config or {}), tags=dict(first.tags)
    )
    assert tenants_of(world.tick()) == ["t2"]
    world.instance.report_run_canceled(run)
    world.registry.transition("t2", TenantState.SUSPENDED, actor="test")
    assert tenants_of(world.tick()) == ["t1"]


def test_newer_content_goes_in_the_place_of_what_failed_and_a_deleted_export_is_dropped(world: World) -> None:
    world.planes["t1"].mood = "422"
    export_once(world.doors, "t1", 0)
    old = {one.idempotency_key for one in world.registry.undelivered("t1", DeliveryState.DEAD)}
    export_once(world.doors, "t1", 1)
    dead = world.registry.undelivered("t1", DeliveryState.DEAD)
    assert len(dead) == SLICES
    assert not old & {one.idempotency_key for one in dead}
    gone = dead[0]
    key = f"t1/{gone.mart}/date={gone.date.isoformat()}/manifest.json"
    world.doors.store.delete(key)
    for one in dead:
        world.registry.replay_delivery("t1", one.delivery_id, "ann")
    world.planes["t1"].mood = OK
    world.run((world.tick().run_requests or [])[0])
    assert set(world.planes["t1"].effects) == {one.idempotency_key for one in dead} - {gone.idempotency_key}
    assert world.registry.undelivered("t1") == []


def test_a_delivery_to_a_plane_that_is_gone_is_dropped(world: World) -> None:
    key = DeliveryKey("t1", "plane", "installs", DAY)
    failure = Failure(key, "aa", 0, "key", "run", "status 500")
    world.registry.delivery_failed(failure)
    world.registry.delivery_failed(replace(failure, key=replace(key, mart="no_such_mart")))
    (world.house.settings.tenants_dir / "t1" / "global.json").unlink()
    world.registry.later = 2 * RETRY_FIRST
    world.run((world.tick().run_requests or [])[0])
    assert world.registry.undelivered("t1") == []
