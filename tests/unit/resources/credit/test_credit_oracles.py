"""Numbers that others published, or that exact fractions give, against the models."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from resources.credit import markov, shapley
from resources.credit.markov import build_chain, effects_by_inverse, effects_by_series, removal_effects
from resources.credit.models import Model, credit
from resources.credit.paths import group_paths
from resources.credit.shapley import shapley_rate_values
from resources.errors import NotEnoughDataError, SettingsError
from resources.settings import APPLICATION_ROOT
from tests.support.peer_journeys import journeys
from tests.unit.resources.credit import naive_credit as naive
from tests.unit.resources.credit.naive_credit import TOY, Row

FRACTRIBUTION = APPLICATION_ROOT.parent / "shared/data/snowplow_fractribution/integration_tests/data/expected"
needs_fractribution = pytest.mark.skipif(
    not FRACTRIBUTION.is_dir(), reason="snowplow's fractribution data are not beside the checkout"
)


def test_the_closed_form_toy_to_1e_12() -> None:
    given = credit(group_paths(TOY), Model.MARKOV)
    assert given.removal_effects == pytest.approx(
        [0.7109788359788359, 0.5403439153439153, 0.7916666666666667], rel=0, abs=1e-12
    )
    assert given.conversions == pytest.approx(
        [8.352217546131435, 6.347685335059891, 9.300097118808678], rel=0, abs=1e-12
    )


@pytest.mark.parametrize(("order", "seed"), product((1, 2, 3), (1, 2)))
def test_removal_effects_equal_elimination_with_exact_fractions(order: int, seed: int) -> None:
    rows = journeys(seed, channels=4, count=25)
    expected = [float(effect) for effect in naive.removal_effects(rows, order)]
    chain = build_chain(group_paths(rows), order)
    assert effects_by_inverse(chain, 4) == pytest.approx(expected, rel=0, abs=1e-12)
    assert effects_by_series(chain, 4) == pytest.approx(expected, rel=0, abs=1e-12)


def test_a_chain_too_large_for_an_inverse_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = group_paths(journeys(3, channels=20, count=2_000))
    by_inverse = removal_effects(paths, 2)
    monkeypatch.setattr(markov, "DENSE_STATES", 10)
    monkeypatch.setattr(markov, "TABLE_STATES", 10)
    assert removal_effects(paths, 2) == pytest.approx(by_inverse, rel=0, abs=1e-11)


def test_walks_that_stay_long_with_one_channel_are_followed_to_the_end() -> None:
    paths = group_paths([(("A",) * 400 + ("B",), 1, 0, 0), (("A",) * 400, 0, 0, 1), (("B",), 1, 0, 3)])
    chain = build_chain(paths, 1)
    assert effects_by_series(chain, 2) == pytest.approx(effects_by_inverse(chain, 2), rel=0, abs=1e-10)


def test_an_order_that_is_none_and_channels_too_many_for_one_are_refused() -> None:
    with pytest.raises(SettingsError, match="order 4 here: choose 1 to 3"):
        removal_effects(group_paths(TOY), 4)
    many = replace(group_paths(TOY), channels=("one of many",) * 1_700_000)
    with pytest.raises(NotEnoughDataError, match="1,700,000 channels are too many for order 3"):
        removal_effects(many, 3)


@pytest.mark.parametrize("seed", range(4))
def test_shapley_equals_the_mean_over_every_order_of_channels(seed: int) -> None:
    rows = journeys(seed, channels=5, count=30)
    paths = group_paths(rows)
    expected = [float(value) for value in naive.shapley(rows, naive.conversions_worth)]
    assert credit(paths, Model.SHAPLEY).conversions == pytest.approx(expected, rel=1e-12)
    expected = [float(value) for value in naive.shapley(rows, naive.rate_worth)]
    assert shapley_rate_values(paths).values == pytest.approx(expected, rel=0, abs=1e-13)


def test_sampled_shapley_is_within_its_stated_error_of_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = group_paths(journeys(5, channels=10, count=600))
    exact = shapley_rate_values(paths)
    assert exact.standard_errors is None
    monkeypatch.setattr(shapley, "EXACT_CHANNELS", 9)
    sampled = shapley_rate_values(paths)
    assert sampled.standard_errors is not None
    off_by_errors = np.abs(sampled.values - exact.values) / sampled.standard_errors
    assert (
        off_by_errors.max() < 4
    )  # of ten normal deviates one is beyond in 1 of 1,600 samples, and this is fixed
    assert 0.3 < np.sqrt((off_by_errors**2).mean()) < 2  # nor is the error overstated
    assert sampled.values.sum() == pytest.approx(exact.values.sum(), rel=1e-12)
    coarse = shapley_rate_values(paths, sampled_orders=200)
    assert coarse.standard_errors is not None
    assert 2 < (coarse.standard_errors / sampled.standard_errors).mean() < 5  # a tenth of the orders: √10


def test_more_than_15_channels_are_sampled_and_say_so() -> None:
    given = credit(group_paths(journeys(6, channels=16, count=300)), Model.SHAPLEY_RATE)
    assert given.standard_errors is not None
    assert (given.standard_errors > 0).all()
    assert (
        credit(group_paths(journeys(6, channels=15, count=300)), Model.SHAPLEY_RATE).standard_errors is None
    )


@pytest.mark.parametrize("seed", range(4))
def test_removal_per_path_equals_its_definition(seed: int) -> None:
    rows = journeys(seed, channels=3, count=40, mean_touches=2.0)
    expected = [float(value) for value in naive.removal_per_path(rows)]
    assert credit(group_paths(rows), Model.REMOVAL_PER_PATH).conversions == pytest.approx(expected, rel=1e-9)


def expected_csv(name: str) -> list[dict[str, str]]:
    text = (FRACTRIBUTION / f"snowplow_fractribution_{name}_expected.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


def micros(amount: str) -> int:
    return round(float(amount or 0) * 1e6)


def path_summary() -> list[Row]:
    return [
        (
            tuple(row["transformed_path"].split(" > ")),
            int(row["conversions"]),
            micros(row["revenue"]),
            int(row["non_conversions"]),
        )
        for row in expected_csv("path_summary")
    ]


@needs_fractribution
@pytest.mark.parametrize(
    ("model", "theirs"), [(Model.REMOVAL_PER_PATH, "shapley"), (Model.LAST, "last_touch")]
)
def test_snowplows_expected_channel_attribution_within_1e_9(model: Model, theirs: str) -> None:
    rows = [row for row in expected_csv("channel_attribution") if row["ATTRIBUTION_TYPE"] == theirs]
    given = credit(group_paths(path_summary()), model)
    assert len(rows) == len(given.channels) == 6
    for row in rows:
        place = given.channels.index(row["CHANNEL"])
        assert given.conversions[place] == pytest.approx(float(row["CONVERSIONS"]), rel=0, abs=1e-9)
        assert given.value_micros[place] == pytest.approx(float(row["REVENUE"]) * 1e6, rel=0, abs=1)
        if model is Model.LAST:
            assert given.conversions[place] == int(row["CONVERSIONS"])
            assert given.value_micros[place] == micros(row["REVENUE"])


@needs_fractribution
def test_snowplows_journeys_group_to_its_path_summary() -> None:
    rows: list[Row] = [
        (tuple(row["transformed_path"].split(" > ")), 1, micros(row["revenue"]), 0)
        for row in expected_csv("paths_to_conversion")
    ]
    rows += [
        (tuple(row["transformed_path"].split(" > ")), 0, 0, 1)
        for row in expected_csv("paths_to_non_conversion")
    ]
    ours, theirs = group_paths(rows), group_paths(path_summary())
    assert ours.channels == theirs.channels
    for column in ("codes", "ends", "conversions", "value_micros", "nulls"):
        assert getattr(ours, column).tolist() == getattr(theirs, column).tolist(), column


def test_no_dagster_comes_with_the_library() -> None:
    code = (
        "import sys, resources.credit.models, resources.credit.path_file; sys.exit('dagster' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=APPLICATION_ROOT)
