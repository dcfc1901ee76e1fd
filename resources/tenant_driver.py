"""`TenantDriver`: the steps that make, run and remove one tenant's plane; `LocalTenantDriver` does them here.

Every step is idempotent and may be cut off anywhere: the next call completes it. Which step comes when, and
the tenant's state, are decided in `assets.tenants`; the processes are run by
`resources.embedded.tenant_supervisor`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from typing import Protocol

from resources.errors import ServiceUnavailableError
from resources.file_lock import exclusive_file_lock
from resources.plane_files import (
    DesiredState,
    PlaneDescription,
    PlaneFiles,
    is_running,
    planes_in,
    write_private,
)
from resources.plane_probe import ask_health, free_port, wait_until
from resources.registry import Registry, Tenant
from resources.registry.keys import new_key
from resources.settings import APPLICATION_ROOT, Settings

ACTOR = "driver:local"
SMOKE_TEST_TIMEOUT_S = (
    40.0  # a plane answers 2-4 s after its start on an idle machine, ~15 s on a crowded one
)
MIGRATE_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0  # the supervisor looks once a second and gives a plane 10 s to end


class TenantDriver(Protocol):
    """What can be done to one tenant's plane. Steps are idempotent; a failed one may be tried again."""

    def render(self, tenant_id: str) -> str:
        """Make the plane's place, settings and secrets, each only when missing; the plane's URL."""

    def migrate(self, tenant_id: str) -> None:
        """Bring the plane's own database to the newest schema."""

    def start(self, tenant_id: str) -> None:
        """Ask for the plane to run."""

    def smoke_test(self, tenant_id: str) -> float:
        """Wait until the plane answers as this tenant; seconds it took."""

    def stop(self, tenant_id: str) -> None:
        """Ask for the plane to stop and wait until it does not run."""

    def destroy(self, tenant_id: str) -> None:
        """Remove the plane, its data and its keys; nothing happens when it is gone already."""


def open_tenant_driver(settings: Settings, registry: Registry) -> TenantDriver:
    """The driver of these settings: processes on this machine."""
    return LocalTenantDriver(settings, registry)


class LocalTenantDriver:
    """Planes as processes of this machine, each with its own directory, database, port and tokens."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        *,
        smoke_test_timeout_s: float = SMOKE_TEST_TIMEOUT_S,
        stop_timeout_s: float = STOP_TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._smoke_test_timeout_s = smoke_test_timeout_s
        self._stop_timeout_s = stop_timeout_s

    def render(self, tenant_id: str) -> str:
        """Make directory, port, secrets and files, each only when missing; the plane's URL.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: it is being deleted or is deleted.
        """
        tenant = self._registry.get(tenant_id)
        files = self._files(tenant_id)
        for directory in (files.tenants_dir, files.directory, files.home):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        described = self._reserve_port(files)
        env = self._complete_env(files, described.port, tenant)
        write_private(
            files.global_credentials,
            json.dumps(
                {
                    "service_token": env["SERVICE_TOKEN"],
                    "signing_key": env["SIGNING_KEY"],
                    "plane_url": described.url,
                }
            ),
        )
        files.write_description(replace(described, revision=tenant.revision))
        self._registry.set_plane_url(tenant_id, described.url, ACTOR)
        return described.url

    def migrate(self, tenant_id: str) -> None:
        """Run the plane's own migrations in its own process, with its own settings.

        Raises:
            ServiceUnavailableError: they failed; the plane's log has the details.
        """
        files = self._files(tenant_id)
        self._describe(files)
        with files.open_log() as log:
            try:
                subprocess.run(
                    [sys.executable, "-m", "tenant_plane", "migrate"],
                    env=files.process_environment(),
                    cwd=APPLICATION_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=MIGRATE_TIMEOUT_S,
                    check=True,
                )
            except subprocess.SubprocessError as error:
                what = (
                    f"took longer than {MIGRATE_TIMEOUT_S:.0f} s"
                    if isinstance(error, subprocess.TimeoutExpired)
                    else "failed"
                )
                raise ServiceUnavailableError(
                    f"tenant {tenant_id}: migrating its database {what}; "
                    f"read {files.log.name} in its directory"
                ) from error

    def start(self, tenant_id: str) -> None:
        """Tell the supervisor that this plane should run."""
        self._desire(tenant_id, running=True)

    def smoke_test(self, tenant_id: str) -> float:
        """Wait until `/health`, asked as this tenant, answers as this tenant; seconds it took.

        Raises:
            ServiceUnavailableError: it did not in time.
        """
        files = self._files(tenant_id)
        url = self._describe(files).url
        began_s = time.monotonic()
        answer = "nothing"

        def healthy() -> bool:
            nonlocal answer
            answer = ask_health(url, tenant_id)
            return answer == "ok"

        if not wait_until(healthy, self._smoke_test_timeout_s):
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its plane at {url} did not become healthy in "
                f"{self._smoke_test_timeout_s:.0f} s (last answer: {answer}); "
                f"is the tenant supervisor running? see {files.log.name} in its directory"
            )
        return time.monotonic() - began_s

    def stop(self, tenant_id: str) -> None:
        """Tell the supervisor that this plane should not run, and wait until its process has ended.

        Raises:
            ServiceUnavailableError: it still runs.
        """
        files = self._files(tenant_id)
        if files.read_description() is None:
            return
        self._desire(tenant_id, running=False)
        if not wait_until(lambda: not is_running(files), self._stop_timeout_s):
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its plane still runs after {self._stop_timeout_s:.0f} s; "
                "is the tenant supervisor running?"
            )

    def destroy(self, tenant_id: str) -> None:
        """Revoke the tenant's keys and remove its directory; a crash in between leaves nothing half alive."""
        self._registry.revoke_all_keys(tenant_id, ACTOR)
        files = self._files(tenant_id)
        doomed = files.tenants_dir / f".deleting-{tenant_id}"
        if doomed.exists():
            shutil.rmtree(doomed)
        if files.directory.exists():
            files.directory.rename(doomed)  # at once out of the supervisor's and the gateway's sight
            shutil.rmtree(doomed)
        self._registry.set_plane_url(tenant_id, None, ACTOR)

    def _files(self, tenant_id: str) -> PlaneFiles:
        return PlaneFiles(self._settings.tenants_dir, tenant_id)

    def _describe(self, files: PlaneFiles) -> PlaneDescription:
        described = files.read_description()
        if described is None:
            raise ServiceUnavailableError(
                f"tenant {files.tenant_id}: its plane is not rendered yet; provision it from the start"
            )
        return described

    def _desire(self, tenant_id: str, *, running: bool) -> None:
        files = self._files(tenant_id)
        desired: DesiredState = "running" if running else "stopped"
        files.write_description(replace(self._describe(files), desired=desired))

    def _reserve_port(self, files: PlaneFiles) -> PlaneDescription:
        """The plane's description, with a port that is its own for life."""
        with exclusive_file_lock(files.tenants_dir / ".ports.lock"):
            if (described := files.read_description()) is not None:
                return described
            others = (other.read_description() for other in planes_in(files.tenants_dir))
            port = free_port(self._settings.tenant_port_base, {one.port for one in others if one is not None})
            described = PlaneDescription(
                tenant_id=files.tenant_id,
                port=port,
                url=f"http://127.0.0.1:{port}",
                browser_url=f"http://client{files.tenant_id}.localhost:{port}",
                revision=0,
                desired="stopped",
            )
            files.write_description(described)
            return described

    def _complete_env(self, files: PlaneFiles, port: int, tenant: Tenant) -> dict[str, str]:
        """`plane.env` with everything in it; secrets that are there already stay as they are.

        A key is written to the file before the registry hears of it, so a crash in between leaves no key
        that opens a door and that nobody holds.
        """
        old = files.read_env()
        env = {
            "ID": files.tenant_id,
            "HOME": str(files.home),
            "BIND_HOST": self._settings.bind_host,
            "PORT": str(port),
            "CURRENCY": tenant.currency,
            **plan_profile(tenant.plan),
            "INGEST_URL": f"http://127.0.0.1:{self._settings.ingest_port}",
            "INGEST_TOKEN": old.get("INGEST_TOKEN") or new_key("ingest"),
            "SERVICE_TOKEN": old.get("SERVICE_TOKEN") or new_key("service"),
            "SIGNING_KEY": old.get("SIGNING_KEY") or secrets.token_urlsafe(32),
            "ADMIN_PASSWORD_HASH": old.get("ADMIN_PASSWORD_HASH") or _first_admin_hash(files),
            "SESSION_KEY": old.get("SESSION_KEY") or secrets.token_urlsafe(48),
        }
        files.write_env(env)
        for kind, name in (("ingest", "INGEST_TOKEN"), ("service", "SERVICE_TOKEN")):
            while not self._registry.ensure_key(files.tenant_id, kind, env[name], ACTOR):
                env[name] = new_key(kind)  # the old one was revoked
                files.write_env(env)
        return env


def plan_profile(plan: str) -> dict[str, str]:
    """A plan's limits as settings of the plane (`tenant_templates/profiles/<plan>.json`; bytes)."""
    limits = json.loads((APPLICATION_ROOT / "tenant_templates" / "profiles" / f"{plan}.json").read_text())
    return {name.upper(): str(value) for name, value in limits.items()}


def _first_admin_hash(files: PlaneFiles) -> str:
    from argon2 import PasswordHasher  # noqa: PLC0415 - needed once in a plane's life

    if not files.initial_admin_password.exists():
        write_private(files.initial_admin_password, secrets.token_urlsafe(18))
    return PasswordHasher().hash(files.initial_admin_password.read_text().strip())
