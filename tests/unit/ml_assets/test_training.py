"""Training is deterministic, ONNX equals XGBoost, and the model beats what it must."""

import json

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from ml_assets.judging import Judged, judge, too_little
from ml_assets.labels import HOLDOUT_PERCENT, folds, labelled, split
from ml_assets.training import PARITY_MAX, parity, target_units, train
from resources.feature_encoding import feature_matrix
from resources.ltv_scorer import LtvScorer, open_session, predict_units
from tests.unit.ml_assets.synthetic_users import HORIZON_DAYS, features, purchases_of


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    users = features("t1", 1500)
    return labelled(users, purchases_of(users), horizon_days=HORIZON_DAYS, currency="USD")


@pytest.fixture(scope="module")
def judged(frame: pl.DataFrame) -> Judged:
    return judge(frame, None)


def test_training_again_gives_the_same_bytes(frame: pl.DataFrame, judged: Judged) -> None:
    again = judge(frame, None)
    assert again.model == judged.model
    assert again.metrics() == judged.metrics()


def test_the_model_beats_both_baselines_on_the_holdout(judged: Judged) -> None:
    assert judged.verdict.promoted
    for metrics in (judged.holdout, judged.crossfit):
        for baseline in ("mean", "source"):
            assert metrics["model"].tweedie_deviance < metrics[baseline].tweedie_deviance
            assert metrics["model"].rmse < metrics[baseline].rmse
        assert metrics["model"].normalised_gini > 0.3
        assert metrics["model"].lift_top_decile > 2


def test_every_user_is_predicted_once_by_a_model_that_has_not_seen_it(frame: pl.DataFrame) -> None:
    parts = folds(frame)
    held_out = [user for _, part in parts for user in part["user_id"].to_list()]
    assert sorted(held_out) == sorted(frame["user_id"].to_list())
    assert all(set(rest["user_id"]).isdisjoint(part["user_id"]) for rest, part in parts)
    assert parts[0][1].equals(split(frame, HOLDOUT_PERCENT)[1])


def test_predictions_of_the_training_users_sum_to_their_revenue(frame: pl.DataFrame, judged: Judged) -> None:
    rest, _ = split(frame, HOLDOUT_PERCENT)
    predicted = predict_units(open_session(judged.model.onnx), feature_matrix(rest, judged.model.encoding))
    assert predicted.sum() == pytest.approx(target_units(rest).sum(), rel=1e-5)


def test_onnx_predicts_what_the_archived_booster_predicts(frame: pl.DataFrame, judged: Judged) -> None:
    booster = xgb.Booster(model_file=bytearray(judged.model.ubj))
    matrix = feature_matrix(frame, judged.model.encoding)
    assert parity(booster, judged.model.onnx, matrix) < PARITY_MAX


def test_a_booster_of_other_data_is_not_at_parity(frame: pl.DataFrame, judged: Judged) -> None:
    other = train(frame.head(400))
    booster = xgb.Booster(model_file=bytearray(other.ubj))
    assert parity(booster, judged.model.onnx, feature_matrix(frame, judged.model.encoding)) > PARITY_MAX


def test_scoring_gives_what_training_evaluated_row_by_row(frame: pl.DataFrame, judged: Judged) -> None:
    stored = judged.model.encoding.from_json(judged.model.encoding.to_json())
    scorer = LtvScorer("ltv_t1", "1", HORIZON_DAYS, stored, judged.model.onnx)
    matrix = feature_matrix(frame, judged.model.encoding)
    evaluated = predict_units(open_session(judged.model.onnx), matrix) * 1e6
    one_by_one = np.concatenate([scorer.predict_micros(frame[row]) for row in range(0, 200)])
    np.testing.assert_array_equal(one_by_one, evaluated[:200])
    assert (evaluated >= 0).all()


def test_an_equal_champion_lets_the_challenger_pass_and_a_better_one_stops_it(
    frame: pl.DataFrame, judged: Judged
) -> None:
    champion = LtvScorer("ltv_t1", "1", HORIZON_DAYS, judged.model.encoding, judged.model.onnx)
    assert judge(frame, champion).verdict.promoted
    noisy = frame.with_columns(pl.col("session_ms").shuffle(seed=3), pl.col("purchases").shuffle(seed=4))
    weaker = judge(noisy, champion)
    assert weaker.holdout["champion"] != weaker.holdout["model"]


def test_too_few_users_or_payers_train_nothing_and_say_so(frame: pl.DataFrame) -> None:
    assert too_little(frame, rows_min=200) is None
    assert "10 users" in str(too_little(frame.head(10), rows_min=200))
    nobody_pays = frame.with_columns(pl.lit(0).alias("label_revenue_micros"))
    assert "0 paying users" in str(too_little(nobody_pays, rows_min=200))


def test_every_metric_is_a_finite_number(judged: Judged) -> None:
    metrics = judged.metrics()
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
