"""Sensor ticks and jobs that provision and remove tenants: a real registry, real planes, real kills."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import dagster as dg
import httpx
import pytest

from assets.partitions import TENANT_DIMENSION
from assets.tenant_generations import ATTEMPTS_MAX, GiveUp, Launch, decide, failure_sentence
from assets.tenants import (
    TENANT_TAG,
    build_tenant_defs,
    build_tenant_requests_sensor,
    deprovision_tenant,
    provision_tenant,
)
from resources.plane_files import PlaneFiles
from resources.registry import Registry, Tenant, TenantState
from resources.settings import APPLICATION_ROOT, Settings, child_environment

STEPS = ("render", "migrate", "start", "smoke_test", "add_partition", "activate")
JOBS = {"provision_tenant": provision_tenant, "deprovision_tenant": deprovision_tenant}


@dataclass(frozen=True)
class House:
    """What a test needs: settings, registry and a Dagster instance on disk."""

    settings: Settings
    registry: Registry
    instance: dg.DagsterInstance

    def tick(self) -> list[dg.RunRequest]:
        """One evaluation of the sensor."""
        sensor = build_tenant_requests_sensor(self.settings.sensor_interval_s)
        resources = {"registry": self.registry}
        with dg.build_sensor_context(instance=self.instance, resources=resources) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return list(result.run_requests or [])

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The requested run, here and now."""
        return _execute(self.settings, self.registry, self.instance, request, hooks=set())

    @property
    def partitions(self) -> set[str]:
        """The tenants of the asset graph."""
        return set(self.instance.get_dynamic_partitions(TENANT_DIMENSION))


def _execute(
    settings: Settings,
    registry: Registry,
    instance: dg.DagsterInstance,
    request: dg.RunRequest,
    hooks: set[dg.HookDefinition],
) -> dg.ExecuteInProcessResult:
    job = JOBS[str(request.job_name)].with_hooks(hooks)
    return job.execute_in_process(
        run_config=request.run_config,
        instance=instance,
        tags={**request.tags, "dagster/run_key": str(request.run_key)},
        resources={"settings": settings, "registry": registry},
        raise_on_error=False,
    )


def _run_and_be_killed_after(step: str, settings: Settings, request: dg.RunRequest, dagster_dir: str) -> None:
    """In a process of its own: kill -9 at the moment this step has succeeded."""

    @dg.success_hook
    def kill(context: dg.HookContext) -> None:
        if context.op.name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    registry = Registry(settings.registry_url)
    with dg.DagsterInstance.local_temp(dagster_dir) as instance:
        _execute(settings, registry, instance, request, hooks={kill})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    settings = Settings(home=tmp_path / "home", tenant_port_base=_free_port())
    registry = Registry(settings.registry_url)
    registry.migrate()
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield House(settings, registry, instance)
    registry.close()


@pytest.fixture
def supervisor(house: House) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "resources.embedded.tenant_supervisor"],
        cwd=APPLICATION_ROOT,
        env=child_environment(UNMOGROWP_HOME=str(house.settings.home)),
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.terminate()
    process.wait(timeout=30)


def _only(requests: list[dg.RunRequest]) -> dg.RunRequest:
    assert len(requests) == 1
    return requests[0]


def test_a_requested_tenant_asks_for_one_run_whose_key_carries_its_revision(house: House) -> None:
    house.registry.request("t123", "standard", "ann")
    request = _only(house.tick())
    assert (request.job_name, request.run_key) == ("provision_tenant", "provision:t123:1")
    assert request.run_config == {"tenant_id": "t123", "revision": 1}
    assert request.tags[TENANT_TAG] == "t123"


def test_tenants_that_are_where_they_should_be_ask_for_nothing(house: House) -> None:
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE, TenantState.SUSPENDED):
        house.registry.request("t123", "standard", "ann")
        house.registry.transition("t123", state, actor="job")
    house.registry.request("t200", "standard", "ann")
    house.registry.transition("t200", TenantState.FAILED, actor="job", reason="disk full")
    assert house.tick() == []


def test_a_tenant_with_a_run_in_flight_waits_and_the_others_do_not(house: House) -> None:
    for tenant_id in ("t123", "t200"):
        house.registry.request(tenant_id, "standard", "ann")
    house.instance.create_run_for_job(
        provision_tenant,
        tags={TENANT_TAG: "t123"},
        status=dg.DagsterRunStatus.STARTED,
        run_config={"tenant_id": "t123", "revision": 1},
    )
    assert [request.run_key for request in house.tick()] == ["provision:t200:1"]


def test_requesting_provisioning_suspending_and_deleting_a_tenant_ends_with_nothing_left(
    house: House, supervisor: subprocess.Popen[bytes]
) -> None:
    house.registry.request("t123", "standard", "ann")
    assert house.run(_only(house.tick())).success
    tenant = house.registry.get("t123")
    assert (tenant.state, tenant.revision) == (TenantState.ACTIVE, 3)
    assert house.partitions == {"t123"}
    answer = httpx.get(f"{tenant.plane_url}/health", headers={"X-Tenant-ID": "t123"})
    assert answer.json()["tenantId"] == "t123"
    assert httpx.get(f"{tenant.plane_url}/health", headers={"X-Tenant-ID": "t200"}).status_code == 403
    assert house.tick() == []

    house.registry.request_deletion("t123", "ann")
    request = _only(house.tick())
    assert request.run_key == "deprovision:t123:5"
    assert house.run(request).success
    assert house.registry.get("t123").state is TenantState.DELETED
    assert house.partitions == set()
    assert house.registry.active_key_digests("ingest") == {}
    assert all(key.revoked_at is not None for key in house.registry.keys("t123"))
    assert not PlaneFiles(house.settings.tenants_dir, "t123").directory.exists()
    assert house.tick() == []


def test_a_failed_step_fails_the_tenant_with_a_sentence_and_resuming_asks_for_a_new_generation(
    house: House, supervisor: subprocess.Popen[bytes]
) -> None:
    house.registry.request("t123", "standard", "ann")
    files = PlaneFiles(house.settings.tenants_dir, "t123")
    in_the_way = files.home / "tenant.db"
    in_the_way.mkdir(parents=True)
    assert not house.run(_only(house.tick())).success
    failed = house.registry.get("t123")
    assert failed.state is TenantState.FAILED
    assert failed.reason is not None
    assert failed.reason.startswith("step migrate failed: tenant t123: migrating its database failed")
    assert house.tick() == []
    assert house.partitions == set()

    in_the_way.rmdir()
    house.registry.resume("t123", "ann")
    request = _only(house.tick())
    assert request.run_key == "provision:t123:4"
    assert house.run(request).success
    assert house.registry.get("t123").state is TenantState.ACTIVE


def test_a_run_that_starts_after_its_tenant_was_deleted_touches_nothing(house: House) -> None:
    house.registry.request("t123", "standard", "ann")
    stale = _only(house.tick())
    house.registry.request_deletion("t123", "ann")
    assert not house.run(stale).success
    assert house.registry.get("t123").state is TenantState.DELETING
    assert not house.settings.tenants_dir.exists()


def test_provisioning_killed_after_every_step_finishes_with_the_same_result_and_no_leftover(
    house: House, supervisor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assets.tenants"])  # Dagster is imported once, not once per kill
    house.registry.request("t123", "standard", "ann")
    files, seen = PlaneFiles(house.settings.tenants_dir, "t123"), []
    for step in STEPS:
        if not (requests := house.tick()):  # three runs of one generation were killed
            assert "without finishing" in str(house.registry.get("t123").reason)
            house.registry.resume("t123", "ann")
            requests = house.tick()
        arguments = (step, house.settings, _only(requests), str(tmp_path / "dagster"))
        process = context.Process(target=_run_and_be_killed_after, args=arguments)
        process.start()
        process.join(timeout=120)
        assert process.exitcode == -signal.SIGKILL, step
        assert house.tick() == []  # Dagster still believes in the run
        for run in house.instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            house.instance.report_run_failed(run)  # what run monitoring does
        seen.append(files.read_env())
    assert house.tick() == []
    tenant = house.registry.get("t123")
    assert tenant.state is TenantState.ACTIVE
    assert all(env == seen[0] for env in seen)
    assert len(house.registry.keys("t123")) == 2
    assert house.partitions == {"t123"}
    drafts = [path.name for path in files.directory.iterdir() if path.name.startswith(".")]
    assert drafts == [".running.lock"]
    assert httpx.get(f"{tenant.plane_url}/health", headers={"X-Tenant-ID": "t123"}).is_success


# Dagster itself passes the beta parameter `owners` when it binds resources to a sensor's jobs
@pytest.mark.filterwarnings("ignore:Parameter `owners`")
def test_the_definitions_hold_both_jobs_and_a_running_sensor(house: House) -> None:
    definitions = dg.Definitions.merge(
        build_tenant_defs(house.settings),
        dg.Definitions(resources={"settings": house.settings, "registry": house.registry}),
    )
    dg.Definitions.validate_loadable(definitions)
    sensor = definitions.resolve_sensor_def("tenant_requests_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert {job.name for job in definitions.resolve_all_job_defs()} >= set(JOBS)


def test_a_killed_run_is_tried_again_until_a_person_has_to_look(house: House) -> None:
    tenant: Tenant = house.registry.request("t123", "standard", "ann")
    ended = "run 1 ended as FAILURE"
    assert decide(tenant, busy=True, ended_runs=[]) is None
    tried = [decide(tenant, busy=False, ended_runs=[ended] * n) for n in range(ATTEMPTS_MAX)]
    assert [launch.run_key for launch in tried if isinstance(launch, Launch)] == [
        "provision:t123:1",
        "provision:t123:1:2",
        "provision:t123:1:3",
    ]
    assert isinstance(decide(tenant, busy=False, ended_runs=[ended] * ATTEMPTS_MAX), GiveUp)


def test_a_failure_is_told_in_one_bounded_line() -> None:
    assert failure_sentence("render", OSError("disk\n  full")) == "step render failed: disk full"
    assert len(failure_sentence("render", OSError("x" * 5000))) == 500
