"""Metrics against closed forms and scikit-learn, baselines, and the promotion gate."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy ships no types
from sklearn.metrics import mean_tweedie_deviance

from ml_assets.evaluation import Metrics, decile_table, evaluate, gate, mean_baseline, source_baseline

RNG = np.random.default_rng(7)
ACTUAL = np.where(RNG.random(500) < 0.7, 0.0, RNG.gamma(1.0, 5.0, 500))
PREDICTED = np.clip(ACTUAL * 0.5 + RNG.random(500), 0.01, None)


def test_deviance_and_spearman_equal_the_reference_libraries() -> None:
    metrics = evaluate(ACTUAL, PREDICTED)
    assert metrics.tweedie_deviance == pytest.approx(mean_tweedie_deviance(ACTUAL, PREDICTED, power=1.5))
    assert metrics.spearman == pytest.approx(spearmanr(ACTUAL, PREDICTED).statistic)


def test_errors_are_the_textbook_s() -> None:
    metrics = evaluate(np.array([0.0, 4.0]), np.array([1.0, 1.0]))
    assert metrics.mae == 2.0
    assert metrics.rmse == pytest.approx(np.sqrt(5.0))
    assert (metrics.mean_actual, metrics.mean_predicted, metrics.rows) == (2.0, 1.0, 2)


def test_a_perfect_order_has_a_normalised_gini_of_one_and_a_constant_of_zero() -> None:
    assert evaluate(ACTUAL, ACTUAL + 0.1).normalised_gini == pytest.approx(1.0)
    constant = evaluate(ACTUAL, np.full(500, 2.0))
    assert constant.normalised_gini == pytest.approx(0.0, abs=1e-2)
    assert (constant.spearman, constant.lift_top_decile) == (0.0, 1.0)


def test_the_order_of_rows_changes_nothing_not_even_with_ties() -> None:
    order = RNG.permutation(500)
    tied = np.round(PREDICTED)
    assert evaluate(ACTUAL, tied).normalised_gini == pytest.approx(
        evaluate(ACTUAL[order], tied[order]).normalised_gini
    )


def test_lift_of_the_top_tenth_is_its_mean_over_the_mean() -> None:
    actual = np.array([10.0] + [0.0] * 9)
    assert evaluate(actual, actual + 1).lift_top_decile == 10.0


def test_all_zero_revenue_gives_finite_metrics() -> None:
    values = dataclasses.asdict(evaluate(np.zeros(20), np.full(20, 0.3))).values()
    assert all(np.isfinite(value) for value in values)


def test_tenths_cover_every_row_from_the_highest_down() -> None:
    table = decile_table(ACTUAL, PREDICTED)
    assert sum(rows for _, rows, _, _ in table) == 500
    predicted = [mean for _, _, _, mean in table]
    assert predicted == sorted(predicted, reverse=True)


def test_the_source_baseline_knows_sources_and_falls_back_to_the_mean() -> None:
    sources = pl.Series(["a"] * 1000 + ["b"] * 1000)
    actual = np.array([1.0] * 1000 + [3.0] * 1000)
    a, b, unseen = source_baseline(sources, actual, pl.Series(["a", "b", "c"]))
    assert a == pytest.approx(1.0, abs=0.03)
    assert b == pytest.approx(3.0, abs=0.03)
    assert unseen == 2.0
    assert mean_baseline(actual, 2).tolist() == [2.0, 2.0]


def metrics(deviance: float, gini: float) -> Metrics:
    return dataclasses.replace(
        evaluate(np.array([0.0, 1.0]), np.array([0.5, 0.5])), tweedie_deviance=deviance, normalised_gini=gini
    )


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted"),
    [
        (metrics(1.0, 0.5), None, True),
        (metrics(2.0, 0.5), None, False),
        (metrics(1.0, 0.1), None, False),
        (metrics(1.0, 0.5), metrics(0.9, 0.4), False),
        (metrics(1.0, 0.5), metrics(1.0, 0.5), True),
    ],
    ids=["first", "deviance of a baseline", "gini of a baseline", "better champion", "equal champion"],
)
def test_only_a_challenger_that_beats_baselines_and_champion_is_promoted(
    challenger: Metrics, champion: Metrics | None, promoted: bool
) -> None:
    baselines = {"mean": metrics(2.0, 0.0), "source": metrics(1.8, 0.1)}
    verdict = gate(challenger, baselines, challenger, champion)
    assert verdict.promoted is promoted
    assert verdict.reason
