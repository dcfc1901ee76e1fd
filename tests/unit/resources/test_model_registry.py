"""The model registry over a real MLflow database: versions, aliases, verified artifacts, no pickles."""

import multiprocessing
from pathlib import Path

import pytest

from resources.errors import ArtifactCorruptError, ModelNotFoundError
from resources.model_registry import ModelRegistry, ModelVersion
from resources.settings import Settings


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    return ModelRegistry(Settings(home=tmp_path_factory.mktemp("home")))


def registered(models: ModelRegistry, name: str, content: bytes = b"bytes", **tags: str) -> ModelVersion:
    return models.register(
        name,
        experiment="ltv",
        files={"model.onnx": content, "card.json": b"{}"},
        params={"eta": 0.1},
        metrics={"mae": 1.5},
        tags={"tenant_id": "t1", **tags},
    )


def test_files_tags_and_metrics_come_back_as_they_were_registered(models: ModelRegistry) -> None:
    version = registered(models, "ltv_back", b"\x00\xff")
    files = models.artifacts(version, ["model.onnx", "card.json"])
    assert files == {"model.onnx": b"\x00\xff", "card.json": b"{}"}
    assert models.metrics(version) == {"mae": 1.5}
    assert version.tags["tenant_id"] == "t1"


def test_an_alias_moves_to_the_version_that_is_given_it(models: ModelRegistry) -> None:
    first, second = registered(models, "ltv_alias"), registered(models, "ltv_alias")
    models.set_alias("ltv_alias", "champion", first.version)
    models.set_alias("ltv_alias", "champion", second.version)
    assert models.by_alias("ltv_alias", "champion").version == second.version == "2"


def test_a_missing_model_or_alias_is_not_found(models: ModelRegistry) -> None:
    registered(models, "ltv_no_alias")
    for name in ("ltv_no_alias", "ltv_never_registered"):
        with pytest.raises(ModelNotFoundError, match=name):
            models.by_alias(name, "champion")


def test_the_newest_version_with_a_tag_is_found(models: ModelRegistry) -> None:
    registered(models, "ltv_find", fingerprint="a")
    wanted = registered(models, "ltv_find", fingerprint="a")
    registered(models, "ltv_find", fingerprint="b")
    assert models.find("ltv_find", tag="fingerprint", value="a") == wanted
    assert models.find("ltv_find", tag="fingerprint", value="z") is None
    assert models.find("ltv_unknown", tag="fingerprint", value="a") is None


def test_a_changed_a_missing_and_an_unrecorded_file_are_corrupt(models: ModelRegistry) -> None:
    version = registered(models, "ltv_corrupt", b"good")
    stored = Path(version.source.removeprefix("file://")) / "model.onnx"
    assert stored.read_bytes() == b"good"
    stored.write_bytes(b"evil")
    with pytest.raises(ArtifactCorruptError, match=r"model\.onnx is not the file"):
        models.artifacts(version, ["model.onnx"])
    stored.unlink()
    with pytest.raises(ArtifactCorruptError, match="cannot be read"):
        models.artifacts(version, ["model.onnx"])
    with pytest.raises(ArtifactCorruptError, match="no recorded"):
        models.artifacts(version, ["other.bin"])


def test_mlflow_may_unpickle_nothing_and_sends_no_telemetry(models: ModelRegistry) -> None:
    models.ping()
    from mlflow import environment_variables as mlflow_reads  # noqa: PLC0415 - after our variables are set
    from mlflow.telemetry import get_telemetry_client  # noqa: PLC0415 - as above

    assert mlflow_reads.MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get() is False
    assert mlflow_reads.MLFLOW_DISABLE_TELEMETRY.get() is True
    assert get_telemetry_client() is None


def _register_one(home: str) -> str:
    return registered(ModelRegistry(Settings(home=Path(home))), "ltv_race").version


def test_processes_that_open_a_new_registry_at_once_all_succeed(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        versions = pool.map(_register_one, [str(tmp_path)] * 2)
    assert sorted(versions) == ["1", "2"]
