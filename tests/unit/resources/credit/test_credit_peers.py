"""The two Python peers on the same journeys: exact where they are, near where ChannelAttribution walks at random."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from resources.credit.models import Model, credit
from resources.credit.paths import group_paths
from tests.support.channel_attribution import Answers, recorded
from tests.support.peer_journeys import DRAWN, drawn_journeys

ROWS = DRAWN


@pytest.fixture(scope="module")
def channel_attribution() -> Answers:
    return recorded("drawn", drawn_journeys())


@pytest.fixture(scope="module")
def mam() -> Any:
    import mam  # noqa: PLC0415 - 2 s of import

    return mam


@pytest.mark.parametrize("model", [Model.FIRST, Model.LAST, Model.LINEAR])
def test_heuristics_equal_channel_attributions(channel_attribution: Answers, model: Model) -> None:
    theirs = channel_attribution[f"{model.value}_touch_conversions"]
    ours = credit(group_paths(ROWS), model)
    conversions = dict(zip(ours.channels, ours.conversions.tolist(), strict=True))
    if model is Model.LINEAR:
        assert conversions == pytest.approx(theirs, rel=1e-12)
    else:
        assert conversions == theirs
    micros = {name: value * 1e6 for name, value in channel_attribution[f"{model.value}_touch_value"].items()}
    assert dict(zip(ours.channels, ours.value_micros, strict=True)) == pytest.approx(micros, rel=0, abs=1.0)


def test_channel_attributions_random_walks_are_near(channel_attribution: Answers) -> None:
    ours = credit(group_paths(ROWS), Model.MARKOV)
    effects = ours.removal_effects
    assert effects is not None
    assert dict(zip(ours.channels, effects, strict=True)) == pytest.approx(
        channel_attribution["removal_effects"], rel=0.1
    )


def test_a_record_belongs_to_its_journeys() -> None:
    with pytest.raises(AssertionError, match="ask the peer anew"):
        recorded("drawn", drawn_journeys().head(10))


def test_removal_effects_equal_marketing_attribution_models_to_1e_9(mam: Any) -> None:
    outcomes = [(" > ".join(path), True, won) for path, won, _, _ in ROWS if won]
    outcomes += [(" > ".join(path), False, lost) for path, _, _, lost in ROWS if lost]
    grouped = pl.DataFrame(outcomes, schema=["path", "converted", "occurrences"], orient="row")
    model = mam.MAM(grouped, "grouped_journey", "path", "converted", occurrences_colname="occurrences")
    theirs = model.run_markov().metadata["removal_effect"].sort_index()["removal_effect"].to_numpy()
    assert credit(group_paths(ROWS), Model.MARKOV).removal_effects == pytest.approx(theirs, rel=0, abs=1e-9)
