"""The supervisor of local planes: real planes as real processes, run, restarted and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from resources.embedded.tenant_supervisor import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    STEADY_AFTER_S,
    next_backoff_s,
)
from resources.plane_files import PlaneFiles, is_running
from resources.registry import Registry
from resources.settings import APPLICATION_ROOT, Settings, child_environment
from resources.tenant_drivers.local import LocalTenantDriver
from tests.support.tenant_homes import prepared, provisioning

MARKER = "global-plane-secret-that-no-tenant-may-see"


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
    provisioning(registry, "t123")
    prepared(driver, "t123")
    driver.migrate("t123")
    driver.apply("t123")
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
        restarted.wait(timeout=10)  # it ended before stop returned; its supervisor takes note a moment later
        assert not is_running(files)
        driver.stop("t123")

        driver.apply("t123")
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
    provisioning(registry, "t123", "t200")
    for tenant_id in ("t123", "t200"):
        prepared(driver, tenant_id)
        driver.apply(tenant_id)
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
