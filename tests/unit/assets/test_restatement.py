"""Versions of the past under other rules, and what differs: the project's SQL in process.

The oracle is the waterfall itself: a version under the rules in force is the mart, and one under other rules is the
mart as it would be had they been in force from the version's first date on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.mart_lab import MartLab
from resources.rules import DAY_MS, DEFAULT_RULES, RuleSet

if TYPE_CHECKING:
    from collections.abc import Collection

START = dt.datetime(2026, 3, 27, tzinfo=dt.UTC)  # a week, with the end of a month in it
FIRST, LAST = START.date(), START.date() + dt.timedelta(days=6)
MIDDLE = FIRST + dt.timedelta(days=4)
T1, T2 = "t1", "t2"
OTHER = RuleSet(click_window_ms=DAY_MS, min_ctit_ms=1000, reattribution_window_ms=3 * DAY_MS)
VERSIONS = ("decisions_versions", "installs_versions")
PRINT = {"ip_pseudonym": "n", "user_agent_pseudonym": "u", "os_version": "17"}

# type, id, hours since START, device, source, more
EVENTS: tuple[tuple[str, str, float, str, str, dict[str, str]], ...] = (
    ("click", "c_far", 1, "d1", "net_a", {}),
    ("install", "i_organic_then", 60, "d1", "", {}),
    ("click", "c_near", 60, "d2", "net_a", {}),
    ("install", "i_same", 62, "d2", "", {}),
    ("install", "i_never", 62, "d_none", "", {}),
    ("click", "c_old", 30, "d3", "net_a", {}),
    ("impression", "v_new", 99, "d3", "net_b", {}),
    ("install", "i_view_then", 100, "d3", "", {}),
    ("click", "c_quick", 70, "d4", "net_a", {}),
    ("install", "i_paid_then", 70 + 3 / 3600, "d4", "", {}),
    ("click", "c_device", 80, "d5", "net_a", {}),
    ("click", "c_print", 119, "d_elsewhere", "net_c", PRINT),
    ("install", "i_print_then", 120, "d5", "", PRINT),
    ("install", "i_once", 10, "d6", "", {}),
    ("click", "c_again", 129, "d6", "net_a", {}),
    ("install", "i_twice", 130, "d6", "", {}),
)
CHANGES = {
    "i_organic_then": "now organic",
    "i_view_then": "other touch",
    "i_paid_then": "now paid",
    "i_print_then": "other match type",
    "i_twice": "now a new install",
}


def frame(tenant: str, but: Collection[str] = ()) -> pl.DataFrame:
    rows = [
        {
            "tenant_id": tenant,
            "app_id": "app",
            "event_type": kind,
            "event_id": event_id,
            "event_time": START + dt.timedelta(milliseconds=round(at_h * 3_600_000)),
            "device_id": device,
            "source": source or None,
            **{name: more.get(name) for name in PRINT},
        }
        for kind, event_id, at_h, device, source, more in EVENTS
        if event_id not in but
    ]
    return pl.DataFrame(
        rows, schema_overrides={"event_time": pl.Datetime("us", "UTC")}, infer_schema_length=None
    )


def restate(
    lab: MartLab,
    tenant: str,
    rules: RuleSet = OTHER,
    first: dt.date = FIRST,
    against: RuleSet = DEFAULT_RULES,
) -> None:
    """Both versions, then what differs, as assets/restate.py has dbt do."""
    for version in (against, rules):
        lab.build(tenant, first, LAST, version, VERSIONS, with_parents=False)
    lab.build(tenant, first, LAST, rules, ("attribution_diff",), with_parents=False, against=against)


def version(lab: MartLab, mart: str, rules: RuleSet, tenant: str = T1) -> pl.DataFrame:
    return lab.mart(mart, tenant).filter(pl.col("ruleset_hash") == rules.content_hash)


def differing(lab: MartLab, tenant: str = T1) -> dict[str, dict[str, object]]:
    return {row["install_id"]: row for row in lab.mart("attribution_diff", tenant).iter_rows(named=True)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("restatement") / "lab") as opened:
        yield opened


@pytest.fixture
def lab(engine: MartLab) -> MartLab:
    """Both tenants' marts under the rules in force; ids, devices and apps are the same in both."""
    engine.clear()
    engine.put(pl.concat([frame(T1), frame(T2, but=["c_far"])]))
    for tenant in (T1, T2):
        engine.build(tenant, FIRST, LAST, models=("installs", "reengagements"))
    return engine


def test_a_restatement_leaves_the_marts_as_they_are_and_the_version_in_force_is_the_mart(
    lab: MartLab,
) -> None:
    names = ("install_events", "touch_decisions", "installs", "reengagements")
    before = {name: lab.mart(name) for name in names}
    restate(lab, T1)
    for name, rows in before.items():
        assert_frame_equal(lab.mart(name), rows)
    assert_frame_equal(version(lab, "installs_versions", DEFAULT_RULES), lab.mart("installs", T1))
    of_installs = lab.mart("touch_decisions", T1).filter(pl.col("conversion_type") != "re_engagement")
    assert_frame_equal(version(lab, "decisions_versions", DEFAULT_RULES), of_installs)


def test_exactly_the_changed_installs_differ_each_with_its_reason(lab: MartLab) -> None:
    restate(lab, T1)
    found = differing(lab)
    assert {install_id: row["change_kind"] for install_id, row in found.items()} == CHANGES
    reasons = {install_id: str(row["reason"]) for install_id, row in found.items()}
    assert reasons["i_organic_then"] == (
        "before, net_a won by touch c_far, which is now: click 212400000 ms before the conversion: the window is "
        "86400000 ms"
    )
    assert reasons["i_paid_then"] == (
        "now net_a wins by touch c_quick, which was before: click 3000 ms before the install: less than 5000 ms"
    )
    assert "touch c_old, which is now: click 252000000 ms before" in reasons["i_view_then"]
    assert "touch v_new, which was before: impression by device_id 3600000 ms" in reasons["i_view_then"]
    assert "number 2 in order" in reasons["i_view_then"]
    assert "outside the re-attribution window of 259200000 ms" in reasons["i_twice"]
    printed = found["i_print_then"]
    assert (printed["match_type_before"], printed["match_type_after"]) == ("device_id", "probabilistic")
    assert (printed["source_before"], printed["source_after"]) == ("net_a", "net_c")
    organic = found["i_organic_then"]
    assert (organic["touch_id_before"], organic["touch_id_after"]) == ("c_far", "")
    assert (organic["hash_before"], organic["hash_after"]) == (DEFAULT_RULES.content_hash, OTHER.content_hash)


def test_back_again_the_changes_are_the_other_way_round(lab: MartLab) -> None:
    restate(lab, T1, DEFAULT_RULES, against=OTHER)
    kinds = {install_id: row["change_kind"] for install_id, row in differing(lab).items()}
    assert kinds == CHANGES | {
        "i_organic_then": "now paid",
        "i_paid_then": "now organic",
        "i_twice": "now a reinstall",
    }


def test_a_version_is_what_the_marts_would_be_had_its_rules_been_in_force_from_its_first_date(
    lab: MartLab,
) -> None:
    for first in (FIRST, MIDDLE):
        restate(lab, T1, first=first)
        found = version(lab, "installs_versions", OTHER).filter(pl.col("event_date") >= first)
        decided = version(lab, "decisions_versions", OTHER).filter(pl.col("event_date") >= first)
        lab.build(T1, first, LAST, OTHER, models=("installs",))
        assert_frame_equal(lab.mart("installs", T1).filter(pl.col("event_date") >= first), found)
        expected = lab.mart("touch_decisions", T1).filter(pl.col("event_date") >= first)
        assert_frame_equal(expected.filter(pl.col("conversion_type") != "re_engagement"), decided)
        lab.build(T1, FIRST, LAST, models=("installs",))


def test_twice_gives_the_same_rows_and_tenants_do_not_touch_each_other_s(lab: MartLab) -> None:
    names = (*VERSIONS, "attribution_diff")
    restate(lab, T1)
    first = {name: lab.mart(name, T1) for name in names}
    restate(lab, T2)
    restate(lab, T1)
    for name, rows in first.items():
        assert_frame_equal(lab.mart(name, T1), rows)
    # the other tenant lacks the far click, so that install is organic under both
    assert {row["install_id"] for row in differing(lab, T2).values()} == CHANGES.keys() - {"i_organic_then"}


def test_an_emptied_slice_empties_of_the_restated_versions_and_of_no_other(lab: MartLab) -> None:
    third = RuleSet(click_window_ms=2 * DAY_MS)
    restate(lab, T1, third)
    kept = version(lab, "installs_versions", third)
    restate(lab, T1)
    gone = [event_id for kind, event_id, *_ in EVENTS if kind == "install"]
    lab.put(frame(T1, but=gone))
    restate(lab, T1)
    left = lab.mart("attribution_diff", T1)
    assert set(left["hash_after"]) == {third.content_hash}
    assert left.height == 2
    for rules in (DEFAULT_RULES, OTHER):
        assert version(lab, "installs_versions", rules).is_empty()
        assert version(lab, "decisions_versions", rules).is_empty()
    assert_frame_equal(version(lab, "installs_versions", third), kept)
