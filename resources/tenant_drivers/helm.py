"""`HelmTenantDriver`: planes on Kubernetes, each a Helm release in a namespace of its own.

The values of a release are kept in the tenant's directory (`values.json`, no secret); the secrets are in a
Kubernetes Secret that only the plane's pods refer to. Names and values are `helm_values`'.
"""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import yaml

from resources.errors import ServiceUnavailableError, SettingsError
from resources.helm_settings import HelmSettings
from resources.plane_files import PlaneFiles, write_private
from resources.plane_probe import ask_health, wait_until
from resources.registry import Registry
from resources.settings import Settings
from resources.tenant_drivers.cluster import Cluster
from resources.tenant_drivers.helm_engine import PENDING, HelmReleases, as_json, ground, record_name, rendered
from resources.tenant_drivers.helm_values import cluster_names, plane_host, tenant_values
from resources.tenant_drivers.plane_database import PlaneDatabases
from resources.tenant_drivers.plane_secrets import complete_secrets, write_export_target

ACTOR = "driver:helm"
POLL_S = 1.0  # each look at the cluster is a TLS handshake and a request


class HelmTenantDriver:
    """See the module; the methods' contracts are `TenantDriver`'s."""

    def __init__(self, settings: Settings, helm: HelmSettings, registry: Registry) -> None:
        self._settings, self._helm, self._registry = settings, helm, registry
        self._cluster, self._releases = Cluster(helm), HelmReleases(helm)
        admin_url = helm.database_admin_url
        self._databases = PlaneDatabases(admin_url.get_secret_value()) if admin_url else None

    def render(self, tenant_id: str) -> str:
        """Write `values.json`, checked against the chart; the plane's URL. The version stays what it was.

        Raises:
            TenantNotFoundError: there is no such tenant.
            ContractError: the values do not fit the chart, or the id makes no host name.
        """
        files = self._files(tenant_id)
        kept = self._kept_values(files)
        return self._render(files, kept["image"]["tag"] if kept else self._helm.image_tag)

    def store_secrets(self, tenant_id: str) -> None:
        """Make the tenant's namespace, complete its Secret in it, and register the keys' digests.

        Raises:
            ServiceUnavailableError: the plane is not rendered yet, or the cluster does not answer.
            TenantStateError: the tenant is being deleted or is deleted.
        """
        files, names = self._files(tenant_id), cluster_names(tenant_id)
        self._cluster.apply(names, ground(self._values(files), names))
        kept = self._cluster.read_secret(names)

        def keep(whole: dict[str, str]) -> None:
            self._cluster.write_secret(names, kept | whole)

        if self._databases is not None:
            kept["DATABASE_URL"] = self._databases.ensure(
                tenant_id, self._registry.get(tenant_id).plan, kept.get("DATABASE_URL")
            )
        complete_secrets(self._registry, files, kept, keep, ACTOR)

    def apply(self, tenant_id: str) -> None:
        """Install or upgrade the release to `values.json`, after what a killed attempt left is out of the way.

        Raises:
            ServiceUnavailableError: the plane is not rendered yet, its migration failed, or the cluster is away.
        """
        names, values = cluster_names(tenant_id), self._values(self._files(tenant_id))
        self._cluster.apply(names, ground(values, names))
        for revision, status in self._releases.history(names):
            if status.startswith(PENDING):
                self._cluster.delete_release_record(names, record_name(names, revision))
        self._releases.apply(values, names)

    def migrate(self, tenant_id: str) -> None:
        """See that the release's migration is complete. An SQLite plane migrates itself before it is ready.

        Raises:
            ServiceUnavailableError: it is not.
        """
        names = cluster_names(tenant_id)
        if self._values(self._files(tenant_id))["database"]["kind"] == "sqlite":
            return
        if (told := self._cluster.migration(names)) != "Complete":
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its database is not migrated: {told}; "
                f"read the log of job {names.migration_job} in namespace {names.namespace}"
            )

    def register_export_target(self, tenant_id: str) -> None:
        """Write `global.json` and tell the registry the plane's URL."""
        files, url = self._files(tenant_id), self._url(tenant_id)
        write_export_target(files, url, self._cluster.read_secret(cluster_names(tenant_id)))
        self._registry.set_plane_url(tenant_id, url, ACTOR)

    def smoke_test(self, tenant_id: str) -> float:
        """Wait until all pods are of this version and ready, and `/health` answers as this tenant; seconds it took.

        Raises:
            ServiceUnavailableError: it did not in time.
        """
        names, url = cluster_names(tenant_id), self._url(tenant_id)
        began_s = time.monotonic()
        pods, answer = "unknown", "nothing"

        def healthy() -> bool:
            nonlocal pods, answer
            pods = self._cluster.rollout(names)
            answer = ask_health(url, tenant_id) if pods == "ready" else "not asked"
            return answer == "ok"

        if not wait_until(healthy, self._helm.smoke_test_timeout_s, POLL_S):
            raise ServiceUnavailableError(
                f"tenant {tenant_id}: its plane at {url} did not become healthy in "
                f"{self._helm.smoke_test_timeout_s:.0f} s (pods: {pods}; last answer: {answer}); "
                f"look at the pods and events of namespace {names.namespace}"
            )
        return time.monotonic() - began_s

    def stop(self, tenant_id: str) -> None:
        """Uninstall the release."""
        self._releases.uninstall(cluster_names(tenant_id))

    def forget_export_target(self, tenant_id: str) -> None:
        """Remove `global.json`, the URL in the registry, and the tenant's own destinations with their secrets."""
        self._files(tenant_id).global_credentials.unlink(missing_ok=True)
        self._registry.set_plane_url(tenant_id, None, ACTOR)
        self._registry.remove_all_destinations(tenant_id, ACTOR)

    def revoke_secrets(self, tenant_id: str) -> None:
        """Revoke the tenant's keys; the Secret that holds them goes with the namespace."""
        self._registry.revoke_all_keys(tenant_id, ACTOR)

    def destroy(self, tenant_id: str) -> None:
        """Remove the namespace with its claims, the database, and the tenant's directory here."""
        self._cluster.remove(cluster_names(tenant_id))
        if self._databases is not None:
            self._databases.drop(tenant_id)
        directory = self._files(tenant_id).directory
        if directory.exists():
            shutil.rmtree(directory)

    def version(self, tenant_id: str) -> str | None:
        """The image's tag of the deployed release; None when there is none."""
        return self._releases.deployed_tag(cluster_names(tenant_id))

    def move_to(self, tenant_id: str, version: str) -> None:
        """Upgrade the release to this image tag, with the values of its plan as they are now.

        Raises:
            ServiceUnavailableError: the migration failed or the cluster is away; the old pods go on serving.
        """
        self._render(self._files(tenant_id), version)
        self.apply(tenant_id)

    def _render(self, files: PlaneFiles, version: str) -> str:
        tenant = self._registry.get(files.tenant_id)
        values = tenant_values(
            tenant,
            self._registry.quotas(files.tenant_id),
            domain=self._helm.domain,
            image={"repository": self._helm.image_repository, "tag": version},
            ingest_url=self._helm.ingest_url,
            has_postgresql=self._databases is not None,
            everywhere=self._everywhere(),
        )
        rendered(values, cluster_names(files.tenant_id))
        for directory in (files.tenants_dir, files.directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.remove_drafts()  # of a run that was killed
        write_private(files.values, as_json(values))
        return self._url(files.tenant_id)

    def _everywhere(self) -> dict[str, Any]:
        if self._helm.values_file is None:
            return {}
        try:
            values = yaml.safe_load(self._helm.values_file.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise SettingsError(f"UNMOGROWP_HELM_VALUES_FILE cannot be read: {error}") from error
        if not isinstance(values, dict):
            raise SettingsError("UNMOGROWP_HELM_VALUES_FILE holds no values: a mapping is wanted")
        return values

    def _files(self, tenant_id: str) -> PlaneFiles:
        return PlaneFiles(self._settings.tenants_dir, tenant_id)

    def _url(self, tenant_id: str) -> str:
        return self._helm.plane_url.format(host=plane_host(tenant_id, self._helm.domain))

    def _kept_values(self, files: PlaneFiles) -> dict[str, Any] | None:
        try:
            values: dict[str, Any] = json.loads(files.values.read_text())
        except FileNotFoundError:
            return None
        return values

    def _values(self, files: PlaneFiles) -> dict[str, Any]:
        values = self._kept_values(files)
        if values is None:
            raise ServiceUnavailableError(
                f"tenant {files.tenant_id}: its plane is not rendered yet; provision it from the start"
            )
        return values
