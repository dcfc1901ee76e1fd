"""The helm driver: Helm's own engine against a Kubernetes API that keeps what it is told."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.errors import ContractError, ServiceUnavailableError, SettingsError, TenantNotFoundError
from resources.helm_settings import load_helm_settings
from resources.plane_files import PlaneFiles
from resources.registry import digest_of
from resources.tenant_drivers import open_tenant_driver
from resources.tenant_drivers.helm import HelmTenantDriver
from resources.tenant_drivers.plane_secrets import SECRETS
from tests.support.helm_home import HelmHome, helm_home
from tests.support.kubernetes_objects import KINDS
from tests.support.tenant_homes import provisioning

NAMESPACE = "unmogrowp-client-t123"
KIND = {kind.kind: kind for kind in KINDS}
OBJECTS = [
    f"Ingress {NAMESPACE}/client-t123",
    f"LimitRange {NAMESPACE}/client-t123",
    f"Namespace /{NAMESPACE}",
    f"NetworkPolicy {NAMESPACE}/client-t123",
    f"NetworkPolicy {NAMESPACE}/default-deny",
    f"PodDisruptionBudget {NAMESPACE}/client-t123",
    f"ResourceQuota {NAMESPACE}/client-t123",
    f"Secret {NAMESPACE}/client-t123-secrets",
    f"Secret {NAMESPACE}/sh.helm.release.v1.client-t123.v1",
    f"Service {NAMESPACE}/client-t123",
    f"ServiceAccount {NAMESPACE}/client-t123",
    f"ServiceMonitor {NAMESPACE}/client-t123",
    f"StatefulSet {NAMESPACE}/client-t123",
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HelmHome]:
    with helm_home(tmp_path) as home:
        provisioning(home.registry, "t123")
        yield home


def _secrets(home: HelmHome) -> dict[str, str]:
    found = home.api.objects.get(KIND["Secret"], NAMESPACE, "client-t123-secrets")
    return {name: base64.b64decode(value).decode() for name, value in found["data"].items()}


def _image(home: HelmHome) -> str:
    found = home.api.objects.get(KIND["StatefulSet"], NAMESPACE, "client-t123")
    image: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def test_a_provisioned_plane_is_these_objects_and_no_other_and_the_namespace_came_first(
    home: HelmHome,
) -> None:
    home.provision("t123")
    assert home.api.objects.names() == OBJECTS
    assert home.api.writes()[0] == ("PATCH", f"/api/v1/namespaces/{NAMESPACE}")
    assert home.registry.get("t123").plane_url == home.helm.plane_url.format(host="clientt123.example.com")
    assert home.driver.version("t123") == "1.0.0"
    assert home.api.refused == 0


def test_secrets_go_to_the_secret_and_into_nothing_else_that_the_cluster_is_told(home: HelmHome) -> None:
    home.provision("t123")
    secrets = _secrets(home)
    assert set(secrets) == set(SECRETS)
    assert home.registry.active_key_digests("ingest") == {digest_of(secrets["INGEST_TOKEN"]): "t123"}
    values = PlaneFiles(home.settings.tenants_dir, "t123").values.read_text()
    told = [
        body
        for (_, path), body in zip(home.api.calls, home.api.bodies, strict=True)
        if "client-t123-secrets" not in path
    ]
    release = _release_record(home)
    for secret in secrets.values():
        assert secret not in values
        assert secret not in release
        assert not any(secret.encode() in body or base64.b64encode(secret.encode()) in body for body in told)


def _release_record(home: HelmHome) -> str:

    found = home.api.objects.get(KIND["Secret"], NAMESPACE, "sh.helm.release.v1.client-t123.v1")
    return gzip.decompress(base64.b64decode(base64.b64decode(found["data"]["release"]))).decode()


def test_every_step_again_changes_no_object_but_helms_own_record(home: HelmHome) -> None:
    home.provision("t123")
    secrets = _secrets(home)
    generation = home.api.objects.get(KIND["StatefulSet"], NAMESPACE, "client-t123")["metadata"]["generation"]
    home.provision("t123")
    assert set(home.api.objects.names()) - set(OBJECTS) == {
        f"Secret {NAMESPACE}/sh.helm.release.v1.client-t123.v2"
    }
    assert _secrets(home) == secrets
    assert len(home.registry.keys("t123")) == 2
    again = home.api.objects.get(KIND["StatefulSet"], NAMESPACE, "client-t123")["metadata"]["generation"]
    assert again == generation


def test_removing_leaves_nothing_and_removing_again_or_what_never_was_is_fine(home: HelmHome) -> None:
    home.provision("t123")
    provisioning(home.registry, "t200")
    home.driver.render("t200")
    for tenant_id in ("t123", "t123", "t200"):
        home.remove(tenant_id)
    assert home.api.objects.names() == []
    assert home.registry.active_key_digests("ingest") == {}
    assert home.registry.get("t123").plane_url is None
    assert list(home.settings.tenants_dir.iterdir()) == []


def test_removing_one_tenant_touches_no_object_of_another(home: HelmHome) -> None:
    provisioning(home.registry, "t200")
    home.provision("t123")
    home.provision("t200")
    before = [name for name in home.api.objects.names() if "t200" in name]
    home.remove("t123")
    assert home.api.objects.names() == before


def test_moving_to_a_version_upgrades_the_release_and_keeps_secrets_and_revision_history(
    home: HelmHome,
) -> None:
    home.provision("t123")
    secrets = _secrets(home)
    home.driver.move_to("t123", "1.1.0")
    home.driver.smoke_test("t123")
    assert home.driver.version("t123") == "1.1.0"
    assert _image(home) == "registry.invalid/tenant-plane:1.1.0"
    assert _secrets(home) == secrets
    home.driver.render("t123")  # provisioned again: the version stays
    home.driver.apply("t123")
    assert home.driver.version("t123") == "1.1.0"
    for patch in range(2, 8):
        home.driver.move_to("t123", f"1.1.{patch}")
    kept = [name for name in home.api.objects.names() if "sh.helm.release" in name]
    assert len(kept) == 5


def test_pods_that_do_not_become_ready_fail_the_smoke_test_with_what_they_say(home: HelmHome) -> None:
    home.provision("t123")
    home.api.objects.broken_tags.add("1.1.0")
    home.driver.move_to("t123", "1.1.0")
    with pytest.raises(
        ServiceUnavailableError, match=r"t123: .*pods: 0 of 1 pods ready.*namespace unmogrowp-client-t123"
    ):
        home.with_helm(smoke_test_timeout_s=0.1).smoke_test("t123")


def test_a_cluster_that_is_away_or_refuses_is_told_in_one_sentence(home: HelmHome, tmp_path: Path) -> None:
    home.driver.render("t123")
    home.api.is_down = True
    for step in (home.driver.store_secrets, home.driver.apply, home.driver.stop):
        with pytest.raises(ServiceUnavailableError, match="t123: "):
            step("t123")
    home.api.is_down = False
    home.api.token = "another"
    with pytest.raises(ServiceUnavailableError, match="cluster refused"):
        home.driver.store_secrets("t123")
    with pytest.raises(SettingsError, match="UNMOGROWP_HELM_KUBECONFIG"):
        home.with_helm(kubeconfig=tmp_path / "nowhere").store_secrets("t123")


def test_what_no_cluster_could_run_is_refused_before_anything_is_written(
    home: HelmHome, tmp_path: Path
) -> None:
    with pytest.raises(TenantNotFoundError):
        home.driver.render("ghost")
    for tenant_id, plan, why in (
        ("t_", "starter", "underscore"),
        ("big", "enterprise", "DATABASE_ADMIN_URL"),
    ):
        home.registry.request(tenant_id, plan, "ann")
        with pytest.raises(ContractError, match=why):
            home.driver.render(tenant_id)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("replicaz: 2")
    with pytest.raises(ContractError, match=r"additional properties 'replicaz'.*correct the values"):
        home.with_helm(values_file=wrong).render("t123")
    wrong.write_text("- a list")
    with pytest.raises(SettingsError, match="VALUES_FILE"):
        home.with_helm(values_file=wrong).render("t123")
    with pytest.raises(ServiceUnavailableError, match="not rendered"):
        home.driver.apply("t123")
    assert home.api.calls == []
    assert not home.settings.tenants_dir.exists()


def test_the_operators_values_lie_over_the_plans_and_under_the_tenants_own(
    home: HelmHome, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        json.dumps(
            {
                "tenantId": "stolen",
                "resources": {"limits": {"cpu": "3"}},
                "egress": {"ingest": {"cidrs": ["192.0.2.1/32"]}},
            }
        )
    )
    home.with_helm(values_file=mine).render("t123")
    values = json.loads(PlaneFiles(home.settings.tenants_dir, "t123").values.read_text())
    assert values["tenantId"] == "t123"
    assert values["resources"]["limits"] == {"cpu": "3", "memory": "768Mi"}


def test_the_driver_is_the_one_that_the_settings_name(
    home: HelmHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="UNMOGROWP_HELM_DOMAIN, UNMOGROWP_HELM_IMAGE_REPOSITORY"):
        load_helm_settings()
    for name in ("DOMAIN", "IMAGE_REPOSITORY", "IMAGE_TAG", "INGEST_URL"):
        monkeypatch.setenv(f"UNMOGROWP_HELM_{name}", str(getattr(home.helm, name.lower())))
    assert isinstance(open_tenant_driver(home.settings, home.registry), HelmTenantDriver)
