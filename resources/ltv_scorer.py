"""A loaded LTV model: features in, predicted revenue out, the same for the batch asset and the service.

Loading verifies checksums (the model registry does it) and that the model is the tenant's own. Training is
not here, and neither is the choice of the champion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from resources.errors import ArtifactCorruptError, MixedTenantsError
from resources.feature_encoding import FeatureEncoding, feature_matrix

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnxruntime as ort
    import polars as pl

    from resources.model_registry import ModelRegistry, ModelVersion

MODEL_FILE = "model.onnx"
ARCHIVE_FILE = "model.ubj"
ENCODING_FILE = "encoding.json"
CARD_FILE = "card.json"
CHAMPION = "champion"
CHALLENGER = "challenger"
MICROS_PER_UNIT = 1_000_000  # the model predicts currency units: micros would leave float32's exact range


def ltv_model_name(tenant_id: str) -> str:
    """Registered name of a tenant's LTV model."""
    return f"ltv_{tenant_id}"


@dataclass(frozen=True)
class LtvScorer:
    """One verified model version, ready to predict."""

    name: str
    version: str
    horizon_days: int
    encoding: FeatureEncoding
    onnx: bytes

    def predict_micros(self, features: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Predicted revenue of each row within the horizon after its as-of day, micros, never negative."""
        matrix = feature_matrix(features, self.encoding)
        return predict_units(self._session, matrix) * MICROS_PER_UNIT

    @cached_property
    def _session(self) -> ort.InferenceSession:
        return open_session(self.onnx)


def open_session(onnx: bytes) -> ort.InferenceSession:
    """An ONNX session of one thread: tree ensembles of this size lose time to more."""
    import onnxruntime as ort  # noqa: PLC0415 - heavy, wanted only where a model runs

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def predict_units(session: ort.InferenceSession, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Predictions in currency units; no rows give none, a (numerically) negative one is 0."""
    import numpy as np  # noqa: PLC0415 - comes with onnxruntime

    if not len(matrix):
        return np.zeros(0, dtype=np.float64)
    raw = session.run(None, {session.get_inputs()[0].name: matrix})[0]
    return np.maximum(np.asarray(raw, dtype=np.float64).ravel(), 0.0)


def load_ltv_scorer(models: ModelRegistry, tenant_id: str, alias: str = CHAMPION) -> LtvScorer:
    """The tenant's model under this alias, its artifacts verified.

    Raises:
        ModelNotFoundError: the tenant has no model of that alias.
        ArtifactCorruptError: a file is not the one that was registered.
        MixedTenantsError: the model of that name was trained for another tenant.
    """
    return scorer_of(models, models.by_alias(ltv_model_name(tenant_id), alias), tenant_id)


def scorer_of(models: ModelRegistry, version: ModelVersion, tenant_id: str) -> LtvScorer:
    """The scorer of one model version; raises as `load_ltv_scorer` does."""
    owner = version.tags.get("tenant_id")
    if owner != tenant_id:
        raise MixedTenantsError(
            f"model {version.name} version {version.version} was trained for tenant {owner!r}, not for "
            f"{tenant_id}: train this tenant's own"
        )
    files = models.artifacts(version, (MODEL_FILE, ENCODING_FILE, CARD_FILE))
    try:
        horizon_days = int(json.loads(files[CARD_FILE])["horizon_days"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorruptError(
            f"{version.name} version {version.version}: {CARD_FILE} has no horizon; train the model again"
        ) from error
    encoding = FeatureEncoding.from_json(files[ENCODING_FILE])
    return LtvScorer(version.name, version.version, horizon_days, encoding, files[MODEL_FILE])
