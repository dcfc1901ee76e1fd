"""The two Python peers on the same journeys: exact where they are, and near where ChannelAttribution walks at random.

They are in no group of requirements yet; without them `naive_credit` is the oracle.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from resources.credit.models import Model, credit
from resources.credit.paths import group_paths
from tests.unit.resources.credit.test_credit_oracles import journeys

ROWS = journeys(11, channels=9, count=2_000)
FRAME = pl.DataFrame(
    [(" > ".join(path), won, value / 1e6, lost) for path, won, value, lost in ROWS],
    schema=["path", "conversions", "value", "nulls"],
    orient="row",
)


@pytest.fixture(scope="module")
def channel_attribution() -> Any:
    return pytest.importorskip(
        "ChannelAttribution",
        reason="the peer ChannelAttribution builds from source only: install it by hand to compare",
    )


@pytest.fixture(scope="module")
def mam() -> Any:
    import mam  # noqa: PLC0415 - 2 s of import

    return mam


@pytest.mark.parametrize("model", [Model.FIRST, Model.LAST, Model.LINEAR])
def test_heuristics_equal_channel_attributions(channel_attribution: Any, model: Model) -> None:
    table = channel_attribution.heuristic_models(
        FRAME.to_pandas(), "path", "conversions", var_value="value", flg_pro=False
    )
    theirs = table.set_index("channel_name").sort_index()
    ours = credit(group_paths(ROWS), model)
    assert list(theirs.index) == list(ours.channels)
    column = theirs[f"{model.value}_touch_conversions"].to_numpy()
    if model is Model.LINEAR:
        assert ours.conversions == pytest.approx(column, rel=1e-12)
    else:
        assert ours.conversions.tolist() == column.tolist()
    values = (theirs[f"{model.value}_touch_value"] * 1e6).tolist()
    assert list(ours.value_micros) == pytest.approx(values, rel=0, abs=1.0)


def test_channel_attributions_random_walks_are_near(channel_attribution: Any) -> None:
    answer = channel_attribution.markov_model(
        FRAME.to_pandas(),
        "path",
        "conversions",
        var_null="nulls",
        out_more=True,
        flg_pro=False,
        verbose=False,
    )
    theirs = answer["removal_effects"].set_index("channel_name").sort_index().iloc[:, 0].to_numpy()
    assert credit(group_paths(ROWS), Model.MARKOV).removal_effects == pytest.approx(theirs, rel=0.1)


def test_removal_effects_equal_marketing_attribution_models_to_1e_9(mam: Any) -> None:
    outcomes = [(" > ".join(path), True, won) for path, won, _, _ in ROWS if won]
    outcomes += [(" > ".join(path), False, lost) for path, _, _, lost in ROWS if lost]
    grouped = pl.DataFrame(outcomes, schema=["path", "converted", "occurrences"], orient="row")
    model = mam.MAM(grouped, "grouped_journey", "path", "converted", occurrences_colname="occurrences")
    theirs = model.run_markov().metadata["removal_effect"].sort_index()["removal_effect"].to_numpy()
    assert credit(group_paths(ROWS), Model.MARKOV).removal_effects == pytest.approx(theirs, rel=0, abs=1e-9)
