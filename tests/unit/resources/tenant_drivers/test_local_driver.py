"""The local tenant driver: files, ports, keys and real processes."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from resources.errors import ContractError, ServiceUnavailableError, TenantNotFoundError
from resources.plane_files import PlaneFiles, planes_in
from resources.plane_settings import TenantPlaneSettings
from resources.registry import Plan, Registry, TenantState, digest_of, key_id_of
from resources.settings import Settings
from resources.tenant_drivers.local import LocalTenantDriver
from resources.tenant_drivers.profiles import plan_profile, quota_settings
from tests.support.tenant_homes import opened_home, prepared, provisioning


class RegistryThatDiesOnce(Registry):
    """A registry whose process dies when it is first asked to register a key."""

    died = False

    def ensure_key(self, tenant_id: str, kind: str, key: str, actor: str) -> bool:
        if not self.died:
            self.died = True
            raise KeyboardInterrupt
        return super().ensure_key(tenant_id, kind, key, actor)


@pytest.fixture
def files(opened: tuple[Settings, Registry, LocalTenantDriver]) -> PlaneFiles:
    """The files of t123, rendered."""
    settings, registry, driver = opened
    provisioning(registry, "t123")
    prepared(driver, "t123")
    return PlaneFiles(settings.tenants_dir, "t123")


def test_rendering_makes_private_files_that_agree_with_each_other_and_the_registry(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    provisioning(registry, "t123")
    url = prepared(driver, "t123")
    files = PlaneFiles(settings.tenants_dir, "t123")
    env, told = files.read_env(), json.loads(files.global_credentials.read_text())
    assert registry.active_key_digests("ingest") == {digest_of(env["INGEST_TOKEN"]): "t123"}
    assert told == {
        "service_token": env["SERVICE_TOKEN"],
        "signing_key": env["SIGNING_KEY"],
        "plane_url": url,
    }
    assert registry.get("t123").plane_url == url == f"http://127.0.0.1:{env['PORT']}"
    assert PasswordHasher().verify(env["ADMIN_PASSWORD_HASH"], files.initial_admin_password.read_text())
    for path in (files.env, files.global_credentials, files.initial_admin_password, files.description):
        assert path.stat().st_mode & 0o777 == 0o600, path.name
    assert files.directory.stat().st_mode & 0o777 == 0o700
    public = files.description.read_text()
    assert not any(env[name] in public for name in ("INGEST_TOKEN", "SERVICE_TOKEN", "SIGNING_KEY"))
    assert json.loads(public)["revision"] == 2


def test_rendering_again_changes_nothing_even_when_files_were_lost(
    opened: tuple[Settings, Registry, LocalTenantDriver], files: PlaneFiles
) -> None:
    _, registry, driver = opened
    paths = (files.env, files.global_credentials, files.description, files.initial_admin_password)
    before = [path.read_bytes() for path in paths]
    files.global_credentials.unlink()
    prepared(driver, "t123")
    assert [path.read_bytes() for path in paths] == before
    assert len(registry.keys("t123")) == 2
    files.initial_admin_password.unlink()  # the operator handed it over
    prepared(driver, "t123")
    assert not files.initial_admin_password.exists()


def test_a_crash_before_the_registry_hears_of_a_key_leaves_no_key_that_nobody_holds(tmp_path: Path) -> None:
    settings, registry, driver = opened_home(tmp_path / "home", RegistryThatDiesOnce)
    provisioning(registry, "t123")
    with pytest.raises(KeyboardInterrupt):
        prepared(driver, "t123")
    files = PlaneFiles(settings.tenants_dir, "t123")
    held = files.read_env()
    prepared(driver, "t123")
    assert files.read_env() == held
    assert {record.key_id for record in registry.keys("t123")} == {
        key_id_of(held["INGEST_TOKEN"]),
        key_id_of(held["SERVICE_TOKEN"]),
    }
    registry.close()


def test_rendering_replaces_a_revoked_key_and_keeps_the_others(
    opened: tuple[Settings, Registry, LocalTenantDriver], files: PlaneFiles
) -> None:
    _, registry, driver = opened
    before = files.read_env()
    registry.revoke_key("t123", key_id_of(before["INGEST_TOKEN"]), "ann")
    prepared(driver, "t123")
    after = files.read_env()
    assert {name for name in before if before[name] != after[name]} == {"INGEST_TOKEN"}
    assert registry.active_key_digests("ingest") == {digest_of(after["INGEST_TOKEN"]): "t123"}


def test_tenants_rendered_at_once_share_no_port_and_no_secret_and_keep_theirs(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    tenants = [f"t{number}0" for number in range(6)]
    provisioning(registry, *tenants)
    with ThreadPoolExecutor(6) as pool:
        urls = list(pool.map(partial(prepared, driver), tenants))
    assert len(set(urls)) == 6
    assert [driver.render(tenant_id) for tenant_id in tenants] == urls
    secrets = ("INGEST_TOKEN", "SERVICE_TOKEN", "SIGNING_KEY", "ADMIN_PASSWORD_HASH", "SESSION_KEY")
    values = [files.read_env()[name] for files in planes_in(settings.tenants_dir) for name in secrets]
    assert len(set(values)) == 6 * len(secrets)


def test_a_port_that_something_else_listens_on_is_passed_over(tmp_path: Path) -> None:
    settings, registry, driver = opened_home(tmp_path / "home")
    provisioning(registry, "t123")
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.tenant_port_base))
        other.listen()
        assert driver.render("t123") != f"http://127.0.0.1:{settings.tenant_port_base}"
    registry.close()


def test_an_unknown_tenant_gets_no_directory_and_a_strange_id_names_none(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, _, driver = opened
    with pytest.raises(TenantNotFoundError):
        driver.render("ghost")
    with pytest.raises(ContractError, match="no tenant id"):
        PlaneFiles(settings.tenants_dir, "../etc")
    assert planes_in(settings.tenants_dir) == []


def test_a_plane_that_is_down_or_is_another_tenants_does_not_pass_the_smoke_test(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, _ = opened
    driver = LocalTenantDriver(settings, registry, smoke_test_timeout_s=0.5)
    provisioning(registry, "t123")
    prepared(driver, "t123")
    with pytest.raises(ServiceUnavailableError, match=r"tenant t123: .* is the tenant supervisor running"):
        driver.smoke_test("t123")

    class Impostor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class names it
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok", "tenantId": "t200"}')

    port = int(PlaneFiles(settings.tenants_dir, "t123").read_env()["PORT"])
    with HTTPServer(("127.0.0.1", port), Impostor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ServiceUnavailableError, match="another tenant's plane"):
            driver.smoke_test("t123")
        server.shutdown()


def test_destroying_revokes_keys_and_removes_everything_and_does_so_again_after_a_crash(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    provisioning(registry, "t123", "t200")
    prepared(driver, "t123")
    kept = prepared(driver, "t200")
    files = PlaneFiles(settings.tenants_dir, "t123")
    files.directory.rename(settings.tenants_dir / ".deleting-t123")  # a crash in the middle
    for _ in range(2):
        driver.stop("t123")
        driver.forget_export_target("t123")
        driver.revoke_secrets("t123")
        driver.destroy("t123")
    left = sorted(path.name for path in settings.tenants_dir.iterdir())
    assert left == [".ports.lock", "t200"]
    assert set(registry.active_key_digests("ingest").values()) == {"t200"}
    assert registry.get("t123").plane_url is None
    assert registry.get("t200").plane_url == kept


def test_migrating_a_plane_that_cannot_names_the_tenant_and_the_log(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    provisioning(registry, "t123")
    with pytest.raises(ServiceUnavailableError, match="not rendered yet"):
        driver.migrate("t123")
    prepared(driver, "t123")
    (PlaneFiles(settings.tenants_dir, "t123").home / "tenant.db").mkdir()
    with pytest.raises(ServiceUnavailableError, match=r"t123: migrating its database failed; .*plane\.log"):
        driver.migrate("t123")


@pytest.mark.parametrize("plan", list(Plan))
def test_every_plan_has_a_profile_of_settings_that_the_plane_knows(plan: Plan) -> None:
    limits = plan_profile(plan)
    assert set(limits) <= {name.upper() for name in TenantPlaneSettings.model_fields}
    assert all(int(value) > 0 for value in limits.values())


def test_a_plan_with_more_room_gives_the_plane_more_room(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    for tenant_id, plan in (("small", "starter"), ("large", "enterprise")):
        registry.request(tenant_id, plan, "test", currency="EUR")
        registry.transition(tenant_id, TenantState.PROVISIONING, actor="test")
        prepared(driver, tenant_id)
    small, large = (PlaneFiles(settings.tenants_dir, name).read_env() for name in ("small", "large"))
    assert int(small["RELAY_BUDGET_BYTES"]) < int(large["RELAY_BUDGET_BYTES"])
    assert small["CURRENCY"] == "EUR"


def test_a_plane_without_its_secrets_is_not_run(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    provisioning(registry, "t123")
    driver.render("t123")
    with pytest.raises(ServiceUnavailableError, match=r"has no INGEST_TOKEN, .* from the start"):
        driver.apply("t123")
    described = PlaneFiles(settings.tenants_dir, "t123").read_description()
    assert described is not None
    assert described.desired == "stopped"


def test_drafts_of_a_killed_run_are_removed_by_the_next_one_and_nothing_else_is(
    opened: tuple[Settings, Registry, LocalTenantDriver], files: PlaneFiles
) -> None:
    _, _, driver = opened
    (files.directory / ".plane.env.0a1b2c3d").write_text("a secret")
    files.running_lock.touch()
    driver.render("t123")
    assert [path.name for path in files.directory.glob(".*")] == [files.running_lock.name]


def test_moving_to_a_version_keeps_keys_and_data_and_takes_the_limits_of_the_plan_as_it_is_now(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    provisioning(registry, "t123")
    prepared(driver, "t123")
    registry.transition("t123", TenantState.ACTIVE, actor="test")
    registry.change_plan("t123", "enterprise", "ann")
    files = PlaneFiles(settings.tenants_dir, "t123")
    before = files.read_env()
    assert driver.version("t123") == "0"
    assert driver.version("ghost") is None
    driver.move_to("t123", "1.2.0")
    after = files.read_env()
    assert driver.version("t123") == "1.2.0"
    assert {name for name in after if before[name] != after[name]} == {
        "PLAN",
        *(name for name, value in plan_profile("enterprise").items() if value != before[name]),
        *quota_settings(registry.quotas("t123")),
    }
    driver.render("t123")
    assert driver.version("t123") == "1.2.0"
