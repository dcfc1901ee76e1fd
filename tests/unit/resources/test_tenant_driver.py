"""The local tenant driver and its supervisor, with real planes as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import cast

import psutil
import pytest
from argon2 import PasswordHasher

from resources.embedded.tenant_supervisor import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    STEADY_AFTER_S,
    next_backoff_s,
)
from resources.errors import ContractError, ServiceUnavailableError, TenantNotFoundError
from resources.plane_files import PlaneFiles, is_running, planes_in
from resources.registry import Plan, Registry, TenantState, digest_of, key_id_of
from resources.settings import APPLICATION_ROOT, Settings, TenantPlaneSettings, child_environment
from resources.tenant_driver import LocalTenantDriver, plan_profile

MARKER = "global-plane-secret-that-no-tenant-may-see"


class RegistryThatDiesOnce(Registry):
    """A registry whose process dies when it is first asked to register a key."""

    died = False

    def ensure_key(self, tenant_id: str, kind: str, key: str, actor: str) -> bool:
        if not self.died:
            self.died = True
            raise KeyboardInterrupt
        return super().ensure_key(tenant_id, kind, key, actor)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


def _open(home: Path, kind: type[Registry] = Registry) -> tuple[Settings, Registry, LocalTenantDriver]:
    settings = Settings(home=home, tenant_port_base=_free_port())
    registry = kind(settings.registry_url)
    registry.migrate()
    return settings, registry, LocalTenantDriver(settings, registry, smoke_test_timeout_s=30)


def _provisioning(registry: Registry, *tenant_ids: str) -> None:
    for tenant_id in tenant_ids:
        registry.request(tenant_id, "starter", "ann")
        registry.transition(tenant_id, TenantState.PROVISIONING, actor="job")


def _wait(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.1)


def _supervisor(settings: Settings) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "resources.embedded.tenant_supervisor"],
        cwd=APPLICATION_ROOT,
        env=child_environment(UNMOGROWP_HOME=str(settings.home), UNMOGROWP_S3_SECRET_ACCESS_KEY=MARKER),
        stderr=subprocess.PIPE,
    )


def _plane_process(files: PlaneFiles) -> psutil.Process | None:
    home = f"UNMOGROWP_TENANT_HOME={files.home}"
    for process in psutil.process_iter():
        try:
            if home in (f"{name}={value}" for name, value in process.environ().items()):
                return process
        except psutil.Error:
            continue
    return None


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Settings, Registry, LocalTenantDriver]]:
    settings, registry, driver = _open(tmp_path / "home")
    yield settings, registry, driver
    registry.close()


def test_rendering_makes_private_files_that_agree_with_each_other_and_the_registry(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    _provisioning(registry, "t123")
    url = driver.render("t123")
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
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    _provisioning(registry, "t123")
    driver.render("t123")
    files = PlaneFiles(settings.tenants_dir, "t123")
    paths = (files.env, files.global_credentials, files.description, files.initial_admin_password)
    before = [path.read_bytes() for path in paths]
    files.global_credentials.unlink()
    driver.render("t123")
    assert [path.read_bytes() for path in paths] == before
    assert len(registry.keys("t123")) == 2
    files.initial_admin_password.unlink()  # the operator handed it over
    driver.render("t123")
    assert not files.initial_admin_password.exists()


def test_a_crash_before_the_registry_hears_of_a_key_leaves_no_key_that_nobody_holds(tmp_path: Path) -> None:
    settings, registry, driver = _open(tmp_path / "home", RegistryThatDiesOnce)
    _provisioning(registry, "t123")
    with pytest.raises(KeyboardInterrupt):
        driver.render("t123")
    files = PlaneFiles(settings.tenants_dir, "t123")
    held = files.read_env()
    driver.render("t123")
    assert files.read_env() == held
    assert {record.key_id for record in registry.keys("t123")} == {
        key_id_of(held["INGEST_TOKEN"]),
        key_id_of(held["SERVICE_TOKEN"]),
    }
    registry.close()


def test_rendering_replaces_a_revoked_key_and_keeps_the_others(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    _provisioning(registry, "t123")
    driver.render("t123")
    files = PlaneFiles(settings.tenants_dir, "t123")
    before = files.read_env()
    registry.revoke_key("t123", key_id_of(before["INGEST_TOKEN"]), "ann")
    driver.render("t123")
    after = files.read_env()
    assert {name for name in before if before[name] != after[name]} == {"INGEST_TOKEN"}
    assert registry.active_key_digests("ingest") == {digest_of(after["INGEST_TOKEN"]): "t123"}


def test_tenants_rendered_at_once_share_no_port_and_no_secret_and_keep_theirs(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    tenants = [f"t{number}0" for number in range(6)]
    _provisioning(registry, *tenants)
    with ThreadPoolExecutor(6) as pool:
        urls = list(pool.map(driver.render, tenants))
    assert len(set(urls)) == 6
    assert [driver.render(tenant_id) for tenant_id in tenants] == urls
    secrets = ("INGEST_TOKEN", "SERVICE_TOKEN", "SIGNING_KEY", "ADMIN_PASSWORD_HASH", "SESSION_KEY")
    values = [files.read_env()[name] for files in planes_in(settings.tenants_dir) for name in secrets]
    assert len(set(values)) == 6 * len(secrets)


def test_a_port_that_something_else_listens_on_is_passed_over(tmp_path: Path) -> None:
    settings, registry, driver = _open(tmp_path / "home")
    _provisioning(registry, "t123")
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
    _provisioning(registry, "t123")
    driver.render("t123")
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
    _provisioning(registry, "t123", "t200")
    driver.render("t123")
    kept = driver.render("t200")
    files = PlaneFiles(settings.tenants_dir, "t123")
    files.directory.rename(settings.tenants_dir / ".deleting-t123")  # a crash in the middle
    driver.destroy("t123")
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
    _provisioning(registry, "t123")
    with pytest.raises(ServiceUnavailableError, match="not rendered yet"):
        driver.migrate("t123")
    driver.render("t123")
    (PlaneFiles(settings.tenants_dir, "t123").home / "tenant.db").mkdir()
    with pytest.raises(ServiceUnavailableError, match=r"t123: migrating its database failed; .*plane\.log"):
        driver.migrate("t123")


def test_the_backoff_doubles_to_its_limit_and_starts_anew_after_a_steady_run() -> None:
    waits = [BACKOFF_FIRST_S]
    for _ in range(8):
        waits.append(next_backoff_s(waits[-1], 0.1))
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == BACKOFF_MAX_S
    assert next_backoff_s(BACKOFF_MAX_S, STEADY_AFTER_S) == BACKOFF_FIRST_S


def test_the_supervisor_runs_restarts_and_ends_planes_and_tells_them_nothing(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    _provisioning(registry, "t123")
    driver.render("t123")
    driver.migrate("t123")
    driver.start("t123")
    files = PlaneFiles(settings.tenants_dir, "t123")
    supervisor = _supervisor(settings)
    try:
        driver.smoke_test("t123")
        first = _plane_process(files)
        assert first is not None
        environment = first.environ()
        assert MARKER not in repr(environment)
        assert {name for name in environment if not name.startswith("UNMOGROWP_TENANT_")} <= {
            "PATH",
            "HOME",
            "LANG",
            "PYTHONUNBUFFERED",
            "LC_CTYPE",
        }

        second_supervisor = _supervisor(settings)
        _, said = second_supervisor.communicate(timeout=30)
        assert second_supervisor.returncode == 1
        assert b"already serves" in said

        first.kill()
        first.wait(timeout=10)
        driver.smoke_test("t123")
        restarted = _plane_process(files)
        assert restarted is not None
        assert restarted.pid != first.pid

        driver.stop("t123")
        assert not restarted.is_running()
        assert not is_running(files)
        driver.stop("t123")

        driver.start("t123")
        driver.smoke_test("t123")
        orphan = _plane_process(files)
        assert orphan is not None
        supervisor.kill()
        orphan.wait(timeout=15)  # planes end with the supervisor, however it ends
        assert not is_running(files)
    finally:
        supervisor.kill()
        supervisor.communicate()


def test_a_terminated_supervisor_ends_its_planes_and_a_removed_directory_ends_its_plane(
    opened: tuple[Settings, Registry, LocalTenantDriver],
) -> None:
    settings, registry, driver = opened
    _provisioning(registry, "t123", "t200")
    for tenant_id in ("t123", "t200"):
        driver.render(tenant_id)
        driver.start(tenant_id)
    supervisor = _supervisor(settings)
    try:
        for tenant_id in ("t123", "t200"):
            driver.smoke_test(tenant_id)
        gone, kept = (_plane_process(PlaneFiles(settings.tenants_dir, name)) for name in ("t123", "t200"))
        assert gone is not None
        assert kept is not None
        driver.destroy("t123")
        gone.wait(timeout=15)
        assert kept.is_running()
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait(timeout=20) == 0
        _wait(lambda: not kept.is_running())
    finally:
        supervisor.kill()
        supervisor.communicate()


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
        driver.render(tenant_id)
    small, large = (PlaneFiles(settings.tenants_dir, name).read_env() for name in ("small", "large"))
    assert int(small["RELAY_BUDGET_BYTES"]) < int(large["RELAY_BUDGET_BYTES"])
    assert small["CURRENCY"] == "EUR"
