"""Multi-touch credit in SQL: conserved, exact in money, the same numbers as resources.credit, in any order."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.mart_lab import MartLab
from resources.credit.models import TOUCH_WEIGHTS, Model
from resources.credit.money import allot
from resources.credit.paths import PathBuilder
from tests.support.credit_world import (
    FIRST,
    LAST,
    MODELS,
    RULES,
    TENANT,
    Event,
    Journey,
    Naive,
    frame,
    random_world,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILT = (*MODELS, "reengagements", "attributed_purchases", "campaign_daily")
SQL_MODELS = ("first", "last", "linear", "position", "w", "time_decay")
DAY_MS = 86_400_000
SEEDS = (1, 2)

World = tuple[list[Event], dict[str, pl.DataFrame]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("credit") / "lab") as opened:
        yield opened


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest, lab: MartLab) -> World:
    rows = random_world(request.param)
    return rows, marts(lab, rows)


def marts(lab: MartLab, rows: list[Event], *, days_at_once: int = 25) -> dict[str, pl.DataFrame]:
    lab.clear()
    lab.put(frame(rows))
    for start in range(0, (LAST - FIRST).days + 1, days_at_once):
        first, last = (FIRST + dt.timedelta(days=start + n) for n in (0, days_at_once - 1))
        lab.build(TENANT, first, min(last, LAST), RULES, BUILT)
    return {name: lab.mart(name) for name in BUILT}


def test_weights_of_a_conversion_sum_to_one_and_parts_to_its_revenue_under_every_model(world: World) -> None:
    _, built = world
    sums = (
        built["attribution_credits"]
        .group_by("conversion_id", "model")
        .agg(pl.col("weight").sum(), pl.col("revenue_micros").sum())
    )
    conversions = built["credited_conversions"]
    assert sums.height == conversions.height * len(SQL_MODELS) > 300
    assert (sums["weight"] - 1.0).abs().max() < 1e-9
    joined = sums.join(conversions, on="conversion_id")
    assert (joined["revenue_micros"] == joined["revenue_micros_right"]).all()
    assert joined["revenue_micros"].abs().max() > 2**45


def test_every_purchase_and_named_event_and_new_install_is_credited_once(world: World) -> None:
    rows, built = world
    credited = built["credited_conversions"]
    expected = {
        row["event_id"]
        for row in rows
        if row["event_type"] == "purchase" or row.get("event_name") == "level's end"
    }
    found = credited.filter(pl.col("conversion_type") != "install")["conversion_id"].to_list()
    assert sorted(found) == sorted(expected)
    installs = credited.filter(pl.col("conversion_type") == "install")["conversion_id"].to_list()
    assert sorted(installs) == sorted(built["installs"]["install_id"].to_list())


def test_journeys_are_the_installs_touches_and_the_users_after_it(world: World) -> None:
    rows, built = world
    naive, by_id = naive_of(world), {row["event_id"]: row for row in rows}
    longest = 0
    for conversion_id, found in linear_touches(built).items():
        conversion = by_id[conversion_id]
        if conversion["event_type"] == "install":
            expected = [touch[2] for touch in naive.install_touches.get(conversion_id, [])]
        else:
            expected = [touch[2] for touch in naive.journey(conversion).touches]
        assert found == (expected or [""])
        longest = max(longest, len(expected))
    assert longest > 4


def test_weights_are_those_of_resources_credit(world: World) -> None:
    rows, built = world
    naive, by_id = naive_of(world), {row["event_id"]: row for row in rows}
    weights = weights_by_touch(built["attribution_credits"])
    milestones = 0
    for conversion_id, touches in linear_touches(built).items():
        conversion = by_id[conversion_id]
        if touches == [""]:
            assert all(weights[conversion_id, model] == {"": 1.0} for model in SQL_MODELS)
            continue
        journey = (
            Journey(sorted(naive.install_touches[conversion_id]))
            if conversion["event_type"] == "install"
            else naive.journey(conversion)
        )
        milestones += journey.registration > 0 and journey.first_purchase > 0
        for model in SQL_MODELS:
            found = weights[conversion_id, model]
            expected = python_weights(journey, conversion, Model(model))
            assert list(found) == [touch for touch, weight in expected.items() if weight]
            assert list(found.values()) == pytest.approx([w for w in expected.values() if w], rel=1e-12)
    assert milestones > 10


def test_parts_of_revenue_are_the_largest_remainders_exactly(world: World) -> None:
    _, built = world
    revenue = dict(built["credited_conversions"].select("conversion_id", "revenue_micros").iter_rows())
    parts: dict[tuple[str, str], list[tuple[int, float, int]]] = defaultdict(list)
    for row in built["attribution_credits"].iter_rows(named=True):
        parts[row["conversion_id"], row["model"]].append(
            (row["position"], row["weight"], row["revenue_micros"])
        )
    for (conversion_id, _), unsorted in parts.items():
        total, rows = revenue[conversion_id], sorted(unsorted)
        claims = [Fraction(int(weight * 2**60), 2**60) * abs(total) for _, weight, _ in rows]
        sign = -1 if total < 0 else 1
        assert [part for *_, part in rows] == [sign * part for part in allot(abs(total), claims)]


def test_shuffled_events_built_a_few_days_at_a_time_give_the_same_rows(lab: MartLab) -> None:
    rows = random_world(4, users=12)
    at_once = marts(lab, rows)
    shuffled = [rows[place] for place in np.random.default_rng(4).permutation(len(rows))]
    for name, table in marts(lab, shuffled, days_at_once=4).items():
        assert_frame_equal(table, at_once[name])


def test_paths_hold_every_conversion_once_with_its_value(world: World) -> None:
    _, built = world
    paths, conversions = built["journey_paths"], built["credited_conversions"]
    by = ("event_date", "app_id", "conversion_type", "event_name")
    counted = paths.group_by(by).agg(pl.col("conversions").sum(), pl.col("value_micros").sum())
    expected = conversions.group_by(by).agg(
        pl.len().cast(pl.Int64).alias("conversions"), pl.col("revenue_micros").sum().alias("value_micros")
    )
    assert_frame_equal(counted.filter(pl.col("conversions") > 0).sort(by), expected.sort(by))
    assert paths["nulls"].sum() > 0


def test_campaigns_have_each_models_credit_beside_the_same_spend(world: World) -> None:
    _, built = world
    campaigns, by = built["campaign_daily"], ("event_date", "app_id")
    totals = (
        built["credited_conversions"]
        .group_by(by)
        .agg(
            (pl.col("conversion_type") == "install").sum().cast(pl.Float64).alias("installs"),
            pl.col("revenue_micros").sum().alias("revenue_micros"),
        )
    )
    converting = totals.filter((pl.col("installs") > 0) | (pl.col("revenue_micros") != 0))
    spend = {40: "quiet", 5_000_000: "net_0"}
    for model in ("last_touch", *SQL_MODELS):
        rows = campaigns.filter(pl.col("model") == model)
        sums = rows.group_by(by).agg(pl.col("credited_installs").sum(), pl.col("revenue_micros").sum())
        joined = converting.join(sums, on=by, how="left")
        assert (joined["installs"] - joined["credited_installs"]).abs().max() < 1e-9
        assert (joined["revenue_micros"] == joined["revenue_micros_right"]).all()
        assert sums["credited_installs"].sum() == pytest.approx(totals["installs"].sum())
        assert sums["revenue_micros"].sum() == totals["revenue_micros"].sum()
        spent = rows.filter(pl.col("spend_micros") > 0)
        assert dict(spent.select("spend_micros", "source").iter_rows()) == spend
        whole = rows["installs"].sum()
        assert whole == (built["installs"].height if model == "last_touch" else 0)


def naive_of(world: World) -> Naive:
    rows, built = world
    install_touches: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    decisions = built["touch_decisions"].filter(pl.col("candidate_rank") > 0)
    for row in decisions.iter_rows(named=True):
        at_ms = int(row["touch_time"].timestamp() * 1000)
        install_touches[row["conversion_id"]].append((at_ms, row["tier"], row["touch_id"]))
    return Naive(rows, {key: sorted(touches) for key, touches in install_touches.items()}, RULES)


def linear_touches(built: dict[str, pl.DataFrame]) -> dict[str, list[str]]:
    """Conversion → its touches, oldest first: linear leaves none out."""
    linear = (
        built["attribution_credits"].filter(pl.col("model") == "linear").sort("conversion_id", "position")
    )
    grouped = linear.group_by("conversion_id", maintain_order=True).agg(pl.col("touch_id"))
    return dict(grouped.iter_rows())


def weights_by_touch(credits_: pl.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in credits_.sort("position").iter_rows(named=True):
        found[row["conversion_id"], row["model"]][row["touch_id"]] = row["weight"]
    return found


def python_weights(journey: Journey, conversion: dict[str, Any], model: Model) -> dict[str, float]:
    at_ms = conversion["event_time"].timestamp() * 1000
    builder = PathBuilder()
    builder.add(
        [touch[2] for touch in journey.touches],
        conversions=1,
        ages_days=[(at_ms - touch[0]) / DAY_MS for touch in journey.touches],
        milestones=(journey.registration, journey.first_purchase),
    )
    weights = TOUCH_WEIGHTS[model](builder.build())
    return dict(zip((touch[2] for touch in journey.touches), weights.tolist(), strict=True))
