"""Sensor ticks and jobs that provision and remove tenants: a real registry, real planes, real kills."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import httpx
import pytest

from assets.tenant_generations import ATTEMPTS_MAX, GiveUp, Launch, decide, failure_sentence
from assets.tenant_steps import DEPROVISION_STEPS, PROVISION_STEPS, provision_tenant
from assets.tenants import TENANT_TAG, build_tenant_defs
from benchmarks.drills import provisioning
from benchmarks.drills.tenant_house import JOBS, House, opened_house, supervised
from resources.plane_files import PlaneFiles
from resources.registry import Tenant, TenantState
from resources.settings import Settings
from tests.support.helm_home import helm_home


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = Settings(home=tmp_path / "home", tenant_port_base=probe.getsockname()[1])
    with opened_house(settings, tmp_path / "dagster") as house:
        yield house


@pytest.fixture
def supervisor(house: House) -> Iterator[subprocess.Popen[bytes]]:
    with supervised(house.settings) as process:
        yield process


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


def test_provisioning_and_deletion_killed_in_and_after_every_step_end_like_undisturbed_ones(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    document = provisioning.run(tmp_path, seed=7, say=said.append, moments_max=1)
    assert document["faults"] == {"differences": 0, "secrets_changed": 0}, document
    steps = [step.name for step in (*PROVISION_STEPS, *DEPROVISION_STEPS)]
    assert [line for line in said if "after it" in line] == [f"killed in {name}, after it" for name in steps]
    assert document["kills"] > len(steps)


def test_the_same_jobs_make_and_remove_a_plane_on_kubernetes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with helm_home(tmp_path) as home, opened_house(home.settings, tmp_path / "dagster") as house:
        for name, value in home.helm.model_dump(exclude_none=True).items():
            monkeypatch.setenv(f"UNMOGROWP_HELM_{name.upper()}", str(value))
        house.registry.request("t123", "starter", "ann")
        assert house.run(_only(house.tick())).success
        assert house.registry.get("t123").state is TenantState.ACTIVE
        assert home.driver.version("t123") == "1.0.0"
        house.registry.request_deletion("t123", "ann")
        assert house.run(_only(house.tick())).success
        assert house.registry.get("t123").state is TenantState.DELETED
        assert home.api.objects.names() == []


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
