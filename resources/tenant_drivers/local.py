"""`LocalTenantDriver`: planes as processes of this machine, each with its own directory, database, port and tokens.

It writes files and asks; the processes are run by `resources.embedded.tenant_supervisor`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace

from resources.errors import ServiceUnavailableError
from resources.file_lock import exclusive_file_lock
from resources.plane_files import PlaneDescription, PlaneFiles, is_running, planes_in
from resources.plane_probe import ask_health, free_port, wait_until
from resources.registry import Registry
from resources.settings import APPLICATION_ROOT, Settings
from resources.tenant_drivers.plane_secrets import SECRETS, complete_secrets, write_export_target
from resources.tenant_drivers.profiles import plan_profile, quota_settings

ACTOR = "driver:local"
SMOKE_TEST_TIMEOUT_S = (
    40.0  # a plane answers 2-4 s after its start on an idle machine, ~15 s on a crowded one
)
MIGRATE_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0  # the supervisor looks once a second and gives a plane 10 s to end
FIRST_VERSION = "0"  # every local plane runs this checkout; a roll gives the restart a name


class LocalTenantDriver:
    """See the module; the methods' contracts are `TenantDriver`'s."""

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
        """Make directory, port and settings; the plane's URL. Secrets that are in the settings stay.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        tenant = self._registry.get(tenant_id)
        files = self._files(tenant_id)
        for directory in (files.tenants_dir, files.directory, files.home):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.remove_drafts()  # of a run that was killed
        described = self._reserve_port(files)
        values = {
            "ID": tenant_id,
            "HOME": str(files.home),
            "BIND_HOST": self._settings.bind_host,
            "PORT": str(described.port),
            "CURRENCY": tenant.currency,
            "PLAN": tenant.plan,
            **plan_profile(tenant.plan),
            **quota_settings(self._registry.quotas(tenant_id)),
            "INGEST_URL": f"http://127.0.0.1:{self._settings.ingest_port}",
        }
        kept = {name: value for name, value in files.read_env().items() if name in SECRETS}
        files.write_env(values | kept)
        files.write_description(replace(described, revision=tenant.revision))
        return described.url

    def store_secrets(self, tenant_id: str) -> None:
        """Complete the secrets in `plane.env` and register the keys' digests.

        Raises:
            ServiceUnavailableError: the plane is not rendered yet.
            TenantStateError: the tenant is being deleted or is deleted.
        """
        files = self._files(tenant_id)
        self._describe(files)
        env = files.read_env()
        complete_secrets(self._registry, files, env, lambda whole: files.write_env(env | whole), ACTOR)

    def apply(self, tenant_id: str) -> None:
        """Tell the supervisor that this plane should run."""
        files = self._files(tenant_id)
        described = self._describe(files)
        if missing := [name for name in SECRETS if name not in files.read_env()]:
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its plane has no {', '.join(missing)} yet; provision it from the start"
            )
        files.write_description(replace(described, desired="running"))

    def migrate(self, tenant_id: str) -> None:
        """Run the plane's own migrations in a process of its own, with its own settings, under its own lock.

        Raises:
            ServiceUnavailableError: they failed; the plane's log has the details, and it is not run any more.
        """
        files = self._files(tenant_id)
        described = self._describe(files)
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
                files.write_description(replace(described, desired="stopped"))
                what = (
                    f"took longer than {MIGRATE_TIMEOUT_S:.0f} s"
                    if isinstance(error, subprocess.TimeoutExpired)
                    else "failed"
                )
                raise ServiceUnavailableError(
                    f"tenant {tenant_id}: migrating its database {what}; "
                    f"read {files.log.name} in its directory"
                ) from error

    def register_export_target(self, tenant_id: str) -> None:
        """Write `global.json` and tell the registry the plane's URL."""
        files = self._files(tenant_id)
        url = self._describe(files).url
        write_export_target(files, url, files.read_env())
        self._registry.set_plane_url(tenant_id, url, ACTOR)

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
        described = files.read_description()
        if described is None:
            return
        files.write_description(replace(described, desired="stopped"))
        if not wait_until(lambda: not is_running(files), self._stop_timeout_s):
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its plane still runs after {self._stop_timeout_s:.0f} s; "
                "is the tenant supervisor running?"
            )

    def forget_export_target(self, tenant_id: str) -> None:
        """Remove `global.json`, the URL in the registry, and the tenant's own destinations with their secrets."""
        self._files(tenant_id).global_credentials.unlink(missing_ok=True)
        self._registry.set_plane_url(tenant_id, None, ACTOR)
        self._registry.remove_all_destinations(tenant_id, ACTOR)

    def revoke_secrets(self, tenant_id: str) -> None:
        """Revoke the tenant's keys; the files that hold them go with the directory."""
        self._registry.revoke_all_keys(tenant_id, ACTOR)

    def destroy(self, tenant_id: str) -> None:
        """Remove the plane's directory; a crash in between leaves nothing half alive."""
        files = self._files(tenant_id)
        doomed = files.tenants_dir / f".deleting-{tenant_id}"
        if doomed.exists():
            shutil.rmtree(doomed)
        if files.directory.exists():
            files.directory.rename(doomed)  # at once out of the supervisor's and the gateway's sight
            shutil.rmtree(doomed)

    def version(self, tenant_id: str) -> str | None:
        """What `plane.json` says; None when there is no plane."""
        described = self._files(tenant_id).read_description()
        return described.version if described is not None else None

    def move_to(self, tenant_id: str, version: str) -> None:
        """Restart the plane under this version's name, with the settings of its plan as they are now.

        Raises:
            ServiceUnavailableError: the old process does not end.
        """
        self.stop(tenant_id)  # else the smoke test would ask the old process
        self.render(tenant_id)
        files = self._files(tenant_id)
        files.write_description(replace(self._describe(files), version=version, desired="running"))

    def _files(self, tenant_id: str) -> PlaneFiles:
        return PlaneFiles(self._settings.tenants_dir, tenant_id)

    def _describe(self, files: PlaneFiles) -> PlaneDescription:
        described = files.read_description()
        if described is None:
            raise ServiceUnavailableError(
                f"tenant {files.tenant_id}: its plane is not rendered yet; provision it from the start"
            )
        return described

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
                version=FIRST_VERSION,
            )
            files.write_description(described)
            return described
