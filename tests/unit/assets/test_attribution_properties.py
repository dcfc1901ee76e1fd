"""The marts' SQL against the plain reference, and laws that hold in any world, on worlds where everything collides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.drills.small_worlds import (
    BLOCKED_IP,
    CURRENCY,
    RULE_SETS,
    TENANTS,
    Row,
    dates_of,
    many_small_worlds,
    world_of,
)
from benchmarks.mart_lab import MartLab, as_clean_events
from resources.rules import RuleSet
from tests.support.golden_cases import cells
from tests.support.marts_reference import reference_marts
from tests.support.waterfall_reference import Rules

EXAMPLES = 4  # two builds each, a second of CPU; `unmogrowp drill restate` is the long form
WORLDS_PER_EXAMPLE = 8
WORLDS_PER_RULE_SET = 40
MARTS = ("touch_decisions", "installs", "reengagements", "attributed_purchases")

Marts = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Built:
    """Worlds and the marts of them."""

    rules: RuleSet
    world: list[Row]
    marts: Marts
    marts_of_shuffled: Marts


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("properties") / "lab") as lab:
        yield lab


@pytest.fixture(scope="module", params=RULE_SETS, ids=("default rules", "wide rules", "narrow rules"))
def built(lab: MartLab, request: pytest.FixtureRequest) -> Built:
    random = Random(RULE_SETS.index(request.param))  # noqa: S311 - repeatable, not a secret
    world = many_small_worlds(random, WORLDS_PER_RULE_SET, most_events=60)
    marts = build(lab, world, request.param)
    return Built(request.param, world, marts, build(lab, random.sample(world, len(world)), request.param))


def build(lab: MartLab, world: list[Row], rules: RuleSet) -> Marts:
    """The marts of a world, every tenant's dates in one go."""
    lab.clear()
    lab.put(pl.DataFrame(world, infer_schema_length=None))
    for tenant in TENANTS:
        dates = dates_of([row for row in world if row["tenant_id"] == tenant])
        lab.build(tenant, dates[0], dates[-1], rules, MARTS, blocked_ip_pseudonyms=[BLOCKED_IP])
    return {name: lab.mart(name) for name in MARTS}


def assert_decided_as_by_the_reference(world: list[Row], marts: Marts, rules: RuleSet) -> None:
    """World by world: the reference looks at every touch for every conversion."""
    reference_rules = Rules(lambda _: rules, frozenset({BLOCKED_IP}))
    for name in sorted({world_of(row["app_id"]) for row in world}):
        own = pl.DataFrame(
            [row for row in world if world_of(row["app_id"]) == name], infer_schema_length=None
        )
        for mart, rows in reference_marts(as_clean_events(own).to_dicts(), reference_rules).items():
            columns = tuple(rows[0]) if rows else ("app_id",)
            decided = marts[mart].filter(pl.col("app_id").str.starts_with(f"{name}.")).to_dicts()
            assert cells(decided, columns) == cells(rows, columns), (name, mart)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,  # the suite is the same every time
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(
    world=st.randoms(use_true_random=False).map(lambda random: many_small_worlds(random, WORLDS_PER_EXAMPLE)),
    rules=st.sampled_from(RULE_SETS),
)
def test_the_sql_decides_as_the_reference_does(lab: MartLab, world: list[Row], rules: RuleSet) -> None:
    assert_decided_as_by_the_reference(world, build(lab, world, rules), rules)


def test_the_sql_decides_as_the_reference_does_in_crowded_worlds(built: Built) -> None:
    assert_decided_as_by_the_reference(built.world, built.marts, built.rules)


def test_crowded_worlds_hold_every_verdict_and_conversion(built: Built) -> None:
    decisions = built.marts["touch_decisions"]
    assert set(decisions["conversion_type"]) >= {"install", "re_attribution", "reinstall", "re_engagement"}
    assert set(decisions["verdict"]) >= {"won", "assist", "outside_window", "after_conversion", "injection"}


def test_the_order_of_the_events_changes_nothing(built: Built) -> None:
    assert {name: built.marts[name].equals(built.marts_of_shuffled[name]) for name in MARTS} == dict.fromkeys(
        MARTS, True
    )


def test_primary_rows_sum_to_the_revenue_and_name_each_purchase_once(built: Built) -> None:
    purchases = built.marts["attributed_purchases"]
    primary = purchases.filter(pl.col("is_primary") == 1)
    bought = [row for row in built.world if row["event_type"] == "purchase" and row["currency"] == CURRENCY]
    # summed in Python: the worlds hold the largest amounts that the contract allows
    assert sum(primary["revenue_micros"].to_list()) == sum(row["revenue_micros"] for row in bought)
    assert sorted(primary.select("tenant_id", "purchase_id").rows()) == sorted(
        (row["tenant_id"], row["event_id"]) for row in bought
    )
    assert set(purchases.group_by("tenant_id", "purchase_id").len()["len"]) <= {1, 2}


def test_credit_stays_inside_its_tenant_and_app(built: Built) -> None:
    home = {(row["tenant_id"], row["event_id"]): row["app_id"] for row in built.world}
    decisions = built.marts["touch_decisions"].select("tenant_id", "app_id", "conversion_id", "touch_id")
    assert decisions.height > 0
    assert [
        row for row in decisions.rows() if not home[row[0], row[3]] == home[row[0], row[2]] == row[1]
    ] == []
