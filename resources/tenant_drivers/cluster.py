"""What Helm does not do in the cluster: the ground of a namespace, its Secret, looking at pods, removing it all."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
from lightkube import ApiError, Client, KubeConfig, codecs
from lightkube.core.exceptions import ConfigError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Secret

from resources.errors import ServiceUnavailableError, SettingsError
from resources.helm_settings import HelmSettings
from resources.plane_probe import wait_until
from resources.tenant_drivers.helm_values import ClusterNames

FIELD_MANAGER = "unmogrowp"
NOT_FOUND = 404


class Cluster:
    """The cluster of these settings, opened for each call: steps are minutes apart."""

    def __init__(self, settings: HelmSettings) -> None:
        self._settings = settings

    def apply(self, names: ClusterNames, manifests: list[dict[str, Any]]) -> None:
        """Make these objects so, by server-side apply: what is so already is not touched."""
        with self._client(names) as client:
            for manifest in manifests:
                client.apply(codecs.from_dict(manifest), field_manager=FIELD_MANAGER, force=True)

    def read_secret(self, names: ClusterNames) -> dict[str, str]:
        """The tenant's secrets by name; empty when there are none."""
        with self._client(names) as client:
            try:
                found = client.get(Secret, names.secret, namespace=names.namespace)
            except ApiError as error:
                if error.status.code == NOT_FOUND:
                    return {}
                raise
        return {name: base64.b64decode(value).decode() for name, value in (found.data or {}).items()}

    def write_secret(self, names: ClusterNames, secrets: Mapping[str, str]) -> None:
        """Make these the tenant's secrets."""
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in secrets.items()}
        secret = Secret(
            apiVersion="v1",
            kind="Secret",
            metadata=ObjectMeta(name=names.secret, namespace=names.namespace),
            type="Opaque",
            data=encoded,
        )
        with self._client(names) as client:
            client.apply(secret, field_manager=FIELD_MANAGER, force=True)

    def delete_release_record(self, names: ClusterNames, record: str) -> None:
        """Remove what a killed install or upgrade left in Helm's history, so that the next one is let through."""
        with self._client(names) as client, _absent_is_fine():
            client.delete(Secret, record, namespace=names.namespace)

    def rollout(self, names: ClusterNames) -> str:
        """`ready`, or how far the plane's pods are."""
        with self._client(names) as client:
            try:
                found = client.get(StatefulSet, names.release, namespace=names.namespace)
            except ApiError as error:
                if error.status.code == NOT_FOUND:
                    return "no pods are wanted"
                raise
        wanted = (found.spec.replicas if found.spec else None) or 1
        status, generation = found.status, (found.metadata.generation if found.metadata else None) or 0
        if status is None or (status.observedGeneration or 0) < generation:
            return "not looked at yet"
        updated, ready = status.updatedReplicas or 0, status.readyReplicas or 0
        if status.currentRevision != status.updateRevision or min(updated, ready) < wanted:
            return f"{ready} of {wanted} pods ready, {updated} of this version"
        return "ready"

    def migration(self, names: ClusterNames) -> str:
        """`Complete`, or what the migration's Job says."""
        with self._client(names) as client:
            try:
                job = client.get(Job, names.migration_job, namespace=names.namespace)
            except ApiError as error:
                if error.status.code == NOT_FOUND:
                    return "there is no job"
                raise
        conditions = (job.status.conditions if job.status else None) or []
        met = [each for each in conditions if each.status == "True"]
        return f"{met[-1].type}" if met else "it still runs"

    def remove(self, names: ClusterNames) -> None:
        """Remove the tenant's namespace with everything in it, and wait until it is gone.

        Raises:
            ServiceUnavailableError: it is not gone in time.
        """
        with self._client(names) as client:
            with _absent_is_fine():
                client.delete(Namespace, names.namespace)
            if not wait_until(lambda: not _exists(client, names.namespace), self._settings.removal_timeout_s):
                raise ServiceUnavailableError(
                    f"tenant {names.slug}: namespace {names.namespace} is not gone after "
                    f"{self._settings.removal_timeout_s:.0f} s; see what holds it, then delete the tenant again"
                )

    @contextmanager
    def _client(self, names: ClusterNames) -> Iterator[Client]:
        try:
            path = self._settings.kubeconfig
            found = KubeConfig.from_file(path) if path is not None else KubeConfig.from_env()
            config = found.get(context_name=self._settings.kube_context)
            if config is None:
                raise SettingsError(f"no context {self._settings.kube_context!r} in the kubeconfig")
            with Client(config=config, namespace=names.namespace) as client:
                yield client
        except ConfigError as error:
            raise SettingsError(
                f"the cluster cannot be reached: {error}; set UNMOGROWP_HELM_KUBECONFIG"
            ) from error
        except ApiError as error:
            raise ServiceUnavailableError(
                f"tenant {names.slug}: the cluster refused: {error.status.message}; try again"
            ) from error
        except httpx2.HTTPError as error:
            raise ServiceUnavailableError(
                f"tenant {names.slug}: the cluster does not answer ({type(error).__name__}); try again"
            ) from error


@contextmanager
def _absent_is_fine() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.status.code != NOT_FOUND:
            raise


def _exists(client: Client, namespace: str) -> bool:
    try:
        client.get(Namespace, namespace)
    except ApiError as error:
        if error.status.code == NOT_FOUND:
            return False
        raise
    return True
