"""A home of its own where tenants are provisioned as the stack does it: registry, supervisor, Dagster instance.

Belongs here: ticking the sensor, running what it asks for, and a picture of what a tenant has left in the
world. Killing, and judging pictures, are the provisioning drill's.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from assets.partitions import TENANT_DIMENSION
from assets.tenant_steps import deprovision_tenant, provision_tenant
from assets.tenants import build_tenant_requests_sensor
from resources.plane_files import PlaneFiles, is_running
from resources.plane_probe import ask_health
from resources.registry import Registry
from resources.settings import APPLICATION_ROOT, Settings, child_environment

JOBS = {job.name: job for job in (provision_tenant, deprovision_tenant)}


@dataclass(frozen=True)
class House:
    """Settings, registry and a Dagster instance on disk."""

    settings: Settings
    registry: Registry
    instance: dg.DagsterInstance

    def tick(self) -> list[dg.RunRequest]:
        """One evaluation of the sensor."""
        sensor = build_tenant_requests_sensor(self.settings.sensor_interval_s)
        resources = {"registry": self.registry}
        with dg.build_sensor_context(instance=self.instance, resources=resources) as context:
            result = sensor(context)
        if not isinstance(result, dg.SensorResult):
            raise TypeError(f"the sensor answered with {type(result).__name__}")
        return list(result.run_requests or [])

    def run(
        self, request: dg.RunRequest, hooks: frozenset[dg.HookDefinition] = frozenset()
    ) -> dg.ExecuteInProcessResult:
        """The requested run, here and now."""
        job = JOBS[str(request.job_name)].with_hooks(set(hooks))
        return job.execute_in_process(
            run_config=request.run_config,
            instance=self.instance,
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            resources={"settings": self.settings, "registry": self.registry},
            raise_on_error=False,
        )

    def fail_dead_runs(self) -> None:
        """What run monitoring does with runs whose process is gone."""
        for run in self.instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            self.instance.report_run_failed(run)

    @property
    def partitions(self) -> set[str]:
        """The tenants of the asset graph."""
        return set(self.instance.get_dynamic_partitions(TENANT_DIMENSION))


@contextmanager
def opened_house(settings: Settings, dagster_dir: Path) -> Iterator[House]:
    """A house over these settings; the registry is migrated."""
    registry = Registry.from_settings(settings)
    registry.migrate()
    dagster_dir.mkdir(parents=True, exist_ok=True)
    try:
        with dg.DagsterInstance.local_temp(str(dagster_dir)) as instance:
            yield House(settings, registry, instance)
    finally:
        registry.close()


@contextmanager
def supervised(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor of this home's planes, in a process of its own; it takes its planes with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resources.embedded.tenant_supervisor"],
        cwd=APPLICATION_ROOT,
        env=child_environment(UNMOGROWP_HOME=str(settings.home)),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def picture(house: House, tenant_id: str) -> dict[str, Any]:
    """What there is of a tenant, without what differs between two tenants that are equally well: ids and ports."""
    files = PlaneFiles(house.settings.tenants_dir, tenant_id)
    tenant, keys = house.registry.get(tenant_id), house.registry.keys(tenant_id)
    entries = sorted(files.directory.rglob("*")) if files.directory.exists() else []
    return {
        "state": tenant.state.value,
        "has_url": tenant.plane_url is not None,
        "answers": tenant.plane_url is not None and ask_health(tenant.plane_url, tenant_id),
        "live_keys": sorted(key.kind for key in keys if key.revoked_at is None),
        "keys_ever": len(keys),
        "keys_that_open_doors": sorted(
            kind
            for kind in ("ingest", "service")
            if tenant_id in house.registry.active_key_digests(kind).values()
        ),
        "has_partition": tenant_id in house.partitions,
        "settings": sorted(files.read_env()),
        "files": [str(path.relative_to(files.directory)) for path in entries if not _comes_and_goes(path)],
        "open_to_others": [path.name for path in entries if path.stat().st_mode & 0o077 and path.is_file()],
        "half_deleted": (files.tenants_dir / f".deleting-{tenant_id}").exists(),
        "is_running": is_running(files),
        "processes": processes_of(files),
    }


def secrets_digest(house: House, tenant_id: str) -> str:
    """A digest of the plane's settings, secrets included: the same before and after a retry."""
    env = sorted(PlaneFiles(house.settings.tenants_dir, tenant_id).read_env().items())
    return hashlib.sha256(repr(env).encode()).hexdigest()


def processes_of(files: PlaneFiles) -> int:
    """How many processes live in the plane's home."""
    home = f"{files.home}"
    return sum(home == _environment(each).get("UNMOGROWP_TENANT_HOME") for each in psutil.process_iter())


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _comes_and_goes(path: Path) -> bool:
    """SQLite's journals."""
    return path.name.endswith(("-wal", "-shm", "-journal"))
