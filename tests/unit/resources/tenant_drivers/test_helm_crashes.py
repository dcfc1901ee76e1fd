"""The helm driver when its process is killed, and when a plane's migration fails."""

from __future__ import annotations

import base64
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.errors import ServiceUnavailableError
from resources.helm_settings import HelmSettings
from resources.registry import Registry, TenantState
from resources.settings import Settings
from resources.tenant_drivers.helm import HelmTenantDriver
from tests.support.helm_home import HelmHome, helm_home, provision
from tests.support.kubernetes_objects import KINDS
from tests.support.tenant_homes import provisioning

KIND = {kind.kind: kind for kind in KINDS}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HelmHome]:
    with helm_home(tmp_path) as home:
        provisioning(home.registry, "t123", "calm")
        yield home


def _provision_in_a_child(settings: Settings, helm: HelmSettings, starting: Any) -> None:
    registry = Registry(settings.registry_url)
    driver = HelmTenantDriver(settings, helm, registry)
    starting.recv()
    provision(driver, "t123")


def _remove_in_a_child(settings: Settings, helm: HelmSettings, starting: Any) -> None:
    registry = Registry(settings.registry_url)
    driver = HelmTenantDriver(settings, helm, registry)
    starting.recv()
    for step in (driver.forget_export_target, driver.stop, driver.revoke_secrets, driver.destroy):
        step("t123")


def _killed_at_write(home: HelmHome, number: int, what: Any) -> bool:
    """Whether the child was killed at its write of this number; False when it had fewer."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["resources.registry"])  # not the engine: Go does not survive a fork
    receiving, sending = processes.Pipe(duplex=False)
    child = processes.Process(target=what, args=(home.settings, home.helm, receiving))
    child.start()
    assert child.pid is not None
    home.api.kill_at_write = (number, child.pid)
    sending.send("go")
    child.join(60)
    home.api.kill_at_write = None
    assert child.exitcode in {0, -signal.SIGKILL}
    return child.exitcode != 0


def _objects(home: HelmHome, tenant_id: str) -> list[str]:
    """What there is of the tenant but Helm's own record, without its name."""
    names = [name for name in home.api.objects.names() if f"client-{tenant_id}" in name]
    return sorted(name.replace(tenant_id, "") for name in names if "sh.helm.release" not in name)


def test_killed_at_its_writes_to_the_cluster_the_next_run_finishes_with_the_same_objects(
    home: HelmHome,
) -> None:
    kills = 0
    for number in (
        0,
        3,
        6,
        7,
        8,
        11,
        14,
    ):  # the ground, the Secret, Helm's record, its objects, its record again
        kills += _killed_at_write(home, number, _provision_in_a_child)
    assert kills == 7
    home.provision("t123")
    home.provision("calm")
    assert _objects(home, "t123") == _objects(home, "calm")
    assert len(home.registry.keys("t123")) == 2
    home.registry.transition("t123", TenantState.ACTIVE, actor="test")
    home.registry.request_deletion("t123", "ann")
    kills = sum(_killed_at_write(home, number, _remove_in_a_child) for number in (0, 2, 5))
    assert kills > 1
    home.remove("t123")
    assert _objects(home, "t123") == []
    assert set(home.registry.active_key_digests("service").values()) == {"calm"}


def test_an_enterprise_plane_has_a_database_of_its_own_that_goes_with_it(
    home: HelmHome, postgres_url: str
) -> None:
    home.registry.request("big", "enterprise", "ann")
    home.registry.transition("big", TenantState.PROVISIONING, actor="job")
    driver = home.with_helm(database_admin_url=postgres_url)
    provision(driver, "big")
    secret = home.api.objects.get(KIND["Secret"], "unmogrowp-client-big", "client-big-secrets")
    url = base64.b64decode(secret["data"]["DATABASE_URL"]).decode()
    assert "unmogrow_tenant_big" in url
    names = home.api.objects.names()
    assert "Job unmogrowp-client-big/client-big-migrate" in names
    assert "HorizontalPodAutoscaler unmogrowp-client-big/client-big" in names
    home.api.objects.broken_tags.add("2.0.0")
    with pytest.raises(ServiceUnavailableError, match=r"installing its plane failed: .*failed"):
        driver.move_to("big", "2.0.0")  # its migration's job fails, so its pods are not touched
    assert driver.version("big") == "1.0.0"
    found = home.api.objects.get(KIND["StatefulSet"], "unmogrowp-client-big", "client-big")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":1.0.0")
    with pytest.raises(ServiceUnavailableError, match="its database is not migrated: Failed"):
        driver.migrate("big")
    driver.move_to("big", "1.0.0")
    driver.migrate("big")
    for step in (driver.forget_export_target, driver.stop, driver.revoke_secrets, driver.destroy):
        step("big")
    assert home.api.objects.names() == []
