"""The model registry: runs, versions, aliases and verified artifacts, in MLflow.

Files are stored as plain artifacts with their SHA-256 in the version's tags and checked at every load;
nothing is ever unpickled and MLflow's own model loaders are not used. What a model is or when it is good
belongs in `ml_assets`. MLflow takes 3.5 s to import, so it is imported on first use.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.errors import ArtifactCorruptError, ModelNotFoundError, ServiceUnavailableError
from resources.file_lock import exclusive_file_lock
from resources.library_environment import set_library_environment

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from resources.settings import Settings

ARTIFACT_DIR = "model"
SHA256_TAG = "sha256."


@dataclass(frozen=True)
class ModelVersion:
    """One registered version: where its files are, their checksums, its tags and its run's metrics."""

    name: str
    version: str
    run_id: str
    source: str
    tags: dict[str, str]

    def sha256_of(self, filename: str) -> str | None:
        """The checksum recorded at registration."""
        return self.tags.get(f"{SHA256_TAG}{filename}")


class ModelRegistry:
    """The registry of these settings. Cheap to construct; MLflow is imported and opened on first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        set_library_environment()  # before anything here imports MLflow

    def register(
        self,
        name: str,
        *,
        experiment: str,
        files: Mapping[str, bytes],
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Log a run with these files, parameters and metrics, and register it as the next version of `name`.

        A crash on the way leaves a run without a version, which nobody loads.
        """
        digests = {f"{SHA256_TAG}{file}": _sha256(content) for file, content in files.items()}
        with _translated(f"registering {name}"):
            run = self._client.create_run(self._experiment_id(experiment), tags=dict(tags), run_name=name)
            run_id = run.info.run_id
            for key, value in params.items():
                self._client.log_param(run_id, key, value)
            for key, number in metrics.items():
                self._client.log_metric(run_id, key, number)
            self._log_files(run_id, files)
            self._client.set_terminated(run_id)
            self._ensure_model(name)
            source = f"{run.info.artifact_uri}/{ARTIFACT_DIR}"
            version = self._client.create_model_version(
                name, source=source, run_id=run_id, tags={**tags, **digests}
            )
        return _version(version)

    def by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that carries this alias.

        Raises:
            ModelNotFoundError: none does.
        """
        with _translated(f"model {name} has no version with the alias {alias}: materialise the model first"):
            return _version(self._client.get_model_version_by_alias(name, alias))

    def find(self, name: str, *, tag: str, value: str) -> ModelVersion | None:
        """The newest version of `name` with this tag, or None."""
        with _translated(f"looking up versions of {name}"):
            versions = self._client.search_model_versions(f"name = '{name}'")
        matching = [version for version in versions if version.tags.get(tag) == value]
        return _version(max(matching, key=lambda version: int(version.version))) if matching else None

    def metrics(self, version: ModelVersion) -> dict[str, float]:
        """The metrics logged with this version."""
        with _translated(f"reading the run of {version.name} version {version.version}"):
            return dict(self._client.get_run(version.run_id).data.metrics)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let `alias` name this version; it leaves the version that had it."""
        with _translated(f"setting {alias} of {name}"):
            self._client.set_registered_model_alias(name, alias, version)

    def artifacts(self, version: ModelVersion, filenames: Sequence[str]) -> dict[str, bytes]:
        """Files of a version, each checked against the SHA-256 recorded at registration.

        Raises:
            ArtifactCorruptError: a file is missing, unrecorded or not the one recorded.
        """
        return {filename: self._verified(version, filename) for filename in filenames}

    def ping(self) -> None:
        """Ask the registry for anything at all.

        Raises:
            ServiceUnavailableError: it does not answer.
        """
        with _translated("asking the model registry"):
            self._client.search_registered_models(max_results=1)

    # -- MLflow ----------------------------------------------------------------------------------

    @cached_property
    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient  # noqa: PLC0415 - 3.5 s of import

        uri = self._settings.mlflow_uri
        if not uri.startswith("sqlite:"):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._settings.home.mkdir(parents=True, exist_ok=True)
        # two processes that open a new database at once would both create its tables, and one would fail
        with exclusive_file_lock(self._settings.home / "mlflow.lock"):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see _client

        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(name, artifact_location=self._artifact_location(name)))
        except MlflowException as error:
            found = self._client.get_experiment_by_name(name)  # another process was first
            if found is None:
                raise error
            return str(found.experiment_id)

    def _artifact_location(self, experiment: str) -> str | None:
        """Embedded databases keep files in HOME; a tracking server decides for itself."""
        if self._settings.mlflow_uri.startswith(("http://", "https://")):
            return None
        return (self._settings.home / "mlartifacts" / experiment).as_uri()

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see _client

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for filename, content in files.items():
                (Path(scratch) / filename).write_bytes(content)
            self._client.log_artifacts(run_id, scratch, ARTIFACT_DIR)

    def _verified(self, version: ModelVersion, filename: str) -> bytes:
        expected = version.sha256_of(filename)
        label = f"{version.name} version {version.version}: {filename}"
        if expected is None:
            raise ArtifactCorruptError(f"{label} has no recorded SHA-256: register the model again")
        content = self._download(version, filename)
        if _sha256(content) != expected:
            raise ArtifactCorruptError(f"{label} is not the file that was registered: train the model again")
        return content

    def _download(self, version: ModelVersion, filename: str) -> bytes:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see _client

        with tempfile.TemporaryDirectory() as scratch:
            try:
                # by run, not by version: the run's store knows where its artifacts are
                path = self._client.download_artifacts(version.run_id, f"{ARTIFACT_DIR}/{filename}", scratch)
                return Path(path).read_bytes()
            except (MlflowException, OSError) as error:
                raise ArtifactCorruptError(
                    f"{version.name} version {version.version}: {filename} cannot be read: "
                    "train the model again"
                ) from error


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """MLflow's exceptions as ours: what does not exist is permanent, the rest may pass."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see ModelRegistry._client
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - loaded with MLflow

    try:
        yield
    except MlflowException as error:
        # a missing alias is INVALID_PARAMETER_VALUE in the SQL store, a missing model RESOURCE_DOES_NOT_EXIST
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise ModelNotFoundError(f"{doing} ({error.message})") from error
        raise ServiceUnavailableError(f"MLflow failed while {doing}: {error.message}") from error
    except SQLAlchemyError as error:  # opening the database raises it bare
        raise ServiceUnavailableError(f"MLflow's database failed while {doing}: start it") from error


def _version(version: Any) -> ModelVersion:
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        run_id=version.run_id,
        source=version.source,
        tags=dict(version.tags),
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
