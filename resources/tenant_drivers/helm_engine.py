"""The chart and its releases through Helm's own engine, in this process. What the values say is not decided here.

The engine is Go: it is loaded where this module is imported, so import it where a release is wanted and do not
fork afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

from resources.errors import ContractError, ServiceUnavailableError
from resources.helm_settings import HelmSettings
from resources.tenant_drivers.helm_values import ClusterNames
from resources.tenant_drivers.profiles import TEMPLATES

CHART = TEMPLATES / "chart"
GROUND = ("namespace.yaml", "networkpolicy.yaml", "quota.yaml", "serviceaccount.yaml")
HISTORY_MAX = 5  # revisions kept to go back to; each is a Secret of 16 KB
PENDING = "pending-"


def rendered(
    values: Mapping[str, Any], names: ClusterNames, chart: Path = CHART
) -> dict[str, list[dict[str, Any]]]:
    """The manifests of these values by template file, parsed; no cluster is asked.

    Raises:
        ContractError: the values do not fit the chart's schema, or a template cannot be rendered.
    """
    with _explained(names, "rendering its plane"), helm.Chart.load(chart) as loaded:
        loaded.validate_schema(dict(values))
        texts = loaded.render(dict(values), name=names.release, namespace=names.namespace)
    return {
        Path(path).name: [document for document in yaml.safe_load_all(text) if document]
        for path, text in texts.items()
        if text.strip()
    }


def ground(values: Mapping[str, Any], names: ClusterNames) -> list[dict[str, Any]]:
    """What must be there before the tenant's first pod is, the namespace first."""
    manifests = rendered({**values, "ground": True}, names)
    return [document for name in GROUND for document in manifests[name]]


class HelmReleases:
    """The releases of these settings' cluster. Holds no connection."""

    def __init__(self, settings: HelmSettings) -> None:
        self._settings = settings

    def apply(self, values: Mapping[str, Any], names: ClusterNames) -> int:
        """Install the release, or upgrade it to these values; its revision.

        Raises:
            ContractError: the values do not fit the chart.
            ServiceUnavailableError: the cluster does not answer, or the migration failed.
        """
        final = {**values, "ground": False}
        with self._config(names, "installing its plane") as config:
            if self.history(names):
                release = config.upgrade(
                    CHART,
                    names.release,
                    final,
                    timeout=self._settings.apply_timeout_s,
                    max_history=HISTORY_MAX,
                    reset_values=True,
                )
            else:
                release = config.install(CHART, names.release, final, timeout=self._settings.apply_timeout_s)
        return int(release["revision"])

    def history(self, names: ClusterNames) -> list[tuple[int, str]]:
        """(revision, status) of every kept revision, oldest first; empty when there is no release."""
        with self._config(names, "looking for its plane") as config:
            try:
                found = config.history(names.release)
            except helm.HelmNotFoundError:
                return []
        return sorted((int(each["revision"]), str(each["status"])) for each in found)

    def deployed_tag(self, names: ClusterNames) -> str | None:
        """The image's tag in the values of the newest revision that was deployed; None when there is none."""
        deployed = [revision for revision, status in self.history(names) if status == "deployed"]
        if not deployed:
            return None
        with self._config(names, "looking at its plane") as config:
            values = config.get_values(names.release, revision=deployed[-1])
        return str(values["image"]["tag"])

    def uninstall(self, names: ClusterNames) -> None:
        """Remove the release and wait until its objects are gone; nothing happens when there is none.

        Raises:
            ServiceUnavailableError: the cluster does not answer.
        """
        with self._config(names, "removing its plane") as config:
            config.uninstall(
                names.release,
                ignore_not_found=True,
                wait="watcher",
                timeout=int(self._settings.removal_timeout_s),
            )

    @contextmanager
    def _config(self, names: ClusterNames, doing: str) -> Iterator[helm.Config]:
        with (
            _explained(names, doing),
            helm.Config(
                kubeconfig_path=self._settings.kubeconfig,
                kube_context=self._settings.kube_context,
                namespace=names.namespace,
            ) as config,
        ):
            yield config


def record_name(names: ClusterNames, revision: int) -> str:
    """The Secret in which Helm keeps a revision."""
    return f"sh.helm.release.v1.{names.release}.v{revision}"


@contextmanager
def _explained(names: ClusterNames, doing: str) -> Iterator[None]:
    """Helm's errors as ours: what lies in the chart or its values is permanent, the rest may pass."""
    try:
        yield
    except (helm.HelmValuesError, helm.HelmRenderError, helm.HelmChartLoadError) as error:
        raise ContractError(
            f"tenant {names.slug}: {doing} failed: {_line(error)}; correct the values"
        ) from error
    except helm.HelmNotFoundError:
        raise
    except helm.HelmError as error:
        raise ServiceUnavailableError(
            f"tenant {names.slug}: {doing} failed: {_line(error)}; "
            f"look at the pods and events of namespace {names.namespace}, then try again"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def as_json(values: Mapping[str, Any]) -> str:
    """Values as they are kept in a file: stable, so that a difference is a change."""
    return json.dumps(values, indent=2, sort_keys=True) + "\n"
