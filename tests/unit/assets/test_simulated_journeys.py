"""Journeys of the simulator through the real SQL, credited by ours and by the peers: the same removal effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from benchmarks.mart_lab import MartLab
from resources.credit.channel_models import channel_credits
from resources.credit.frames import group_frame
from resources.credit.markov import removal_effects
from tests.support.channel_attribution import recorded
from tests.support.peer_journeys import as_peer_reads, fill_simulated, install_paths

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("simulated") / "lab") as opened:
        fill_simulated(opened)
        yield opened


@pytest.fixture(scope="module")
def paths(lab: MartLab) -> pl.DataFrame:
    """The installs' journeys of the whole period."""
    return install_paths(lab)


def test_removal_effects_of_simulated_journeys_equal_marketing_attribution_models_to_1e_9(
    paths: pl.DataFrame,
) -> None:
    import mam  # noqa: PLC0415 - 2 s of import

    assert paths["conversions"].sum() > 300
    assert paths["nulls"].sum() > 300
    outcomes = pl.concat(
        paths.filter(pl.col(column) > 0).select(
            "text", pl.lit(converted).alias("converted"), pl.col(column).alias("occurrences")
        )
        for column, converted in (("conversions", True), ("nulls", False))
    )
    model = mam.MAM(outcomes, "grouped_journey", "text", "converted", occurrences_colname="occurrences")
    theirs = model.run_markov().metadata["removal_effect"].sort_index()["removal_effect"]
    ours = group_frame(paths.select(pl.col("path").alias("channels"), "conversions", "nulls", "value_micros"))
    assert list(theirs.index) == list(ours.channels)
    assert removal_effects(ours) == pytest.approx(theirs.to_numpy(), rel=0, abs=1e-9)


def test_heuristics_of_simulated_journeys_equal_channel_attributions(
    lab: MartLab, paths: pl.DataFrame
) -> None:
    answers = recorded("simulated", as_peer_reads(paths))
    credits_ = lab.mart("attribution_credits").filter(pl.col("conversion_type") == "install")
    for model in ("first", "last", "linear"):
        theirs = answers[f"{model}_touch_conversions"]
        sums = credits_.filter(pl.col("model") == model).group_by("source").agg(pl.col("weight").sum())
        ours = dict(sums.iter_rows())
        assert {name: ours.get(name, 0.0) for name in theirs} == pytest.approx(theirs, rel=1e-12, abs=1e-9)


def test_every_model_credits_every_simulated_conversion_once(lab: MartLab) -> None:
    key = ["app_id", "conversion_type", "event_name"]
    sums = (
        lab.mart("attribution_credits")
        .group_by(*key, "model", pl.col("source").alias("channel"))
        .agg(pl.col("weight").sum().alias("conversions"), pl.col("revenue_micros").sum())
    )
    journeys = (
        lab.mart("journey_paths")
        .group_by(*key, "path")
        .agg(pl.col("conversions", "nulls", "value_micros").sum())
    )
    expected = (
        lab.mart("credited_conversions")
        .group_by(key)
        .agg(pl.len().alias("count"), pl.col("revenue_micros").sum())
    )
    totals = (
        channel_credits(sums, journeys)
        .group_by(*key, "model")
        .agg(pl.col("conversions").sum(), pl.col("revenue_micros").sum())
        .join(expected, on=key)
    )
    assert totals.height == expected.height * 12 > 12
    assert (totals["conversions"] / totals["count"] - 1).abs().max() < 1e-9
    assert (totals["revenue_micros"] == totals["revenue_micros_right"]).all()
