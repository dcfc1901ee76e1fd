"""Training the LTV model: XGBoost with a Tweedie objective, converted to ONNX and proven equal to it.

Deterministic: one thread, a fixed seed, rows in their sorted order. Data, metrics and storage are elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.evaluation import TWEEDIE_POWER
from ml_assets.labels import LABEL, split
from resources.errors import ContractError
from resources.feature_encoding import FeatureEncoding, feature_matrix, learn_encoding
from resources.ltv_scorer import MICROS_PER_UNIT, open_session, predict_units

SEED = 20_260_101
ROUNDS_MAX = 400
EARLY_STOPPING_ROUNDS = 30
VALIDATION_PERCENT = 20  # of the training users, to find the number of rounds; then all of them train
PARITY_MAX = 1e-4  # |onnx - xgboost| relative; measured 1e-6 over 60 trees, float32 sums in another order
ONNX_OPSET = 15

PARAMS: dict[str, object] = {
    "objective": "reg:tweedie",
    "tweedie_variance_power": TWEEDIE_POWER,
    "eval_metric": f"tweedie-nloglik@{TWEEDIE_POWER}",
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.05,
    "min_child_weight": 5.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "lambda": 1.0,
    "seed": SEED,
    "nthread": 1,
}
RECIPE = repr(
    (
        sorted(PARAMS.items()),
        ROUNDS_MAX,
        EARLY_STOPPING_ROUNDS,
        VALIDATION_PERCENT,
        ONNX_OPSET,
        "mean-calibrated",
    )
)


@dataclass(frozen=True)
class TrainedModel:
    """A model's files and what is worth knowing of its training."""

    onnx: bytes
    ubj: bytes
    encoding: FeatureEncoding
    rounds: int
    parity: float


def train(frame: pl.DataFrame) -> TrainedModel:
    """Train on these labelled rows (ml_assets.labels.labelled), which must be the training part alone.

    Raises:
        ContractError: the ONNX model does not predict what XGBoost predicts.
    """
    import xgboost as xgb  # noqa: PLC0415 - 2 s of import with scikit-learn

    encoding = learn_encoding(frame)
    rounds = _best_rounds(frame, encoding)
    matrix = _matrix(frame, encoding)
    booster = xgb.train(PARAMS, matrix, num_boost_round=rounds, verbose_eval=False)
    _calibrate(booster, matrix)
    onnx = _to_onnx(booster, len(encoding.columns))
    difference = parity(booster, onnx, feature_matrix(frame, encoding))
    if difference >= PARITY_MAX:
        raise ContractError(
            f"the ONNX model differs from XGBoost by {difference:.1e}, over {PARITY_MAX:.0e}: "
            "do not serve it; check the versions of onnxmltools and xgboost"
        )
    return TrainedModel(onnx, bytes(booster.save_raw("ubj")), encoding, rounds, difference)


def target_units(frame: pl.DataFrame) -> npt.NDArray[np.float64]:
    """The target of labelled rows: revenue in currency units, refunds beyond the revenue count as 0."""
    values: npt.NDArray[np.float64] = (frame[LABEL].clip(lower_bound=0) / MICROS_PER_UNIT).to_numpy()
    return values


def parity(booster: Any, onnx: bytes, matrix: npt.NDArray[np.float32]) -> float:
    """Largest |onnx - xgboost| relative to xgboost over these rows."""
    import xgboost as xgb  # noqa: PLC0415 - see train

    expected = booster.predict(xgb.DMatrix(matrix)).astype(np.float64)
    got = predict_units(open_session(onnx), matrix)
    return float((np.abs(got - expected) / np.maximum(np.abs(expected), 1e-6)).max(initial=0.0))


def _calibrate(booster: Any, matrix: Any) -> None:
    """Scale the predictions so that their mean over the training rows is the target's.

    Few small steps on a log scale lower the many zeros sooner than they raise the payers: on the simulator's
    tenants (32 splits of 850 to 2,100 users) held-out predictions summed to 65 % of the training mean, and to
    94 % after this; RMSE fell from 0.83 to 0.79 of the per-source baseline's. With the log link the base
    score is a factor, so the ONNX and the archived model carry it as well.
    """
    predicted = float(booster.predict(matrix).mean(dtype=np.float64))
    actual = float(matrix.get_label().mean(dtype=np.float64))
    config = json.loads(booster.save_config())["learner"]["learner_model_param"]
    base_score = float(json.loads(config["base_score"])[0])
    booster.set_param({"base_score": base_score * actual / predicted})


def _best_rounds(frame: pl.DataFrame, encoding: FeatureEncoding) -> int:
    import xgboost as xgb  # noqa: PLC0415 - see train

    fit, validation = split(frame, VALIDATION_PERCENT, salt="rounds")
    booster = xgb.train(
        PARAMS,
        _matrix(fit, encoding),
        num_boost_round=ROUNDS_MAX,
        evals=[(_matrix(validation, encoding), "validation")],
        early_stopping_rounds=EARLY_STOPPING_ROUNDS,
        verbose_eval=False,
    )
    return int(booster.best_iteration) + 1


def _matrix(frame: pl.DataFrame, encoding: FeatureEncoding) -> Any:
    import xgboost as xgb  # noqa: PLC0415 - see train

    return xgb.DMatrix(feature_matrix(frame, encoding), label=target_units(frame))


def _to_onnx(booster: Any, columns: int) -> bytes:
    from onnxmltools.convert import convert_xgboost  # noqa: PLC0415 - 3 s of import
    from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415 - as above

    model = convert_xgboost(
        booster,
        name="ltv",  # the default is a random uuid: the same training must give the same bytes
        initial_types=[("features", FloatTensorType([None, columns]))],
        target_opset=ONNX_OPSET,
    )
    return bytes(model.SerializeToString())
