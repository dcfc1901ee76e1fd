"""What rules do to a run of the marts: its ranges, its vars, and one result per asset of several invocations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.marts import blocked_for, dbt_vars, one_result_each, rule_ranges
from assets.partitions import RunSlices
from resources.errors import SettingsError
from resources.pii import Keyring, TenantPii
from resources.rules import DAY_MS, DEFAULT_RULES, RuleSet, RuleVersion
from resources.settings import Settings

DAY = dt.date(2026, 11, 10)
DATES = tuple(DAY + dt.timedelta(days=number) for number in range(6))
SHORT, LONG = RuleSet(click_window_ms=DAY_MS), RuleSet(click_window_ms=30 * DAY_MS)
BLOCKING = RuleSet(blocked_networks=("198.51.100.0/23",))


def version(number: int, effective_from: dt.date, rules: RuleSet) -> RuleVersion:
    moment = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    return RuleVersion("t1", number, rules.content_hash, rules, effective_from, moment, "ann", None)


def cut(*versions: RuleVersion) -> list[tuple[int, int, RuleSet]]:
    """The ranges of a run over DATES: offset of the first and of the last date, and the rules."""
    ranges = rule_ranges(RunSlices("t1", DATES), versions)
    assert [date for slices, _ in ranges for date in slices.dates] == list(DATES)
    assert {slices.tenant_id for slices, _ in ranges} == {"t1"}
    return [((one.dates[0] - DAY).days, (one.dates[-1] - DAY).days, rules) for one, rules in ranges]


def test_a_run_is_cut_where_other_rules_begin() -> None:
    assert cut() == [(0, 5, DEFAULT_RULES)]
    assert cut(version(1, DATES[2], SHORT)) == [(0, 1, DEFAULT_RULES), (2, 5, SHORT)]
    assert cut(version(1, DATES[1], SHORT), version(2, DATES[4], LONG)) == [
        (0, 0, DEFAULT_RULES),
        (1, 3, SHORT),
        (4, 5, LONG),
    ]


def test_versions_of_the_same_content_are_one_range_and_the_same_content_apart_is_two() -> None:
    assert cut(version(1, DAY, SHORT), version(2, DATES[3], SHORT)) == [(0, 5, SHORT)]
    back = (version(1, DATES[2], SHORT), version(2, DATES[4], DEFAULT_RULES))
    assert cut(*back) == [(0, 1, DEFAULT_RULES), (2, 3, SHORT), (4, 5, DEFAULT_RULES)]


def test_every_range_is_told_its_rules_and_their_hash() -> None:
    slices = RunSlices("t1", DATES[:2])
    given = dbt_vars(
        slices, clean_events="x", rules=SHORT, currency="EUR", blocked_ip_pseudonyms=["p1_a", "p1_b"]
    )
    assert given["ruleset_hash"] == SHORT.content_hash
    assert given["rules"]["click_window_ms"] == DAY_MS
    assert given["rules"]["lookback_days"] == 1
    assert given["rules"]["blocked_ip_pseudonyms"] == ["p1_a", "p1_b"]


def test_blocked_networks_become_the_tenants_own_pseudonyms(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert blocked_for("t1", DEFAULT_RULES, settings) == []
    assert not settings.has_keyring, "rules that block nothing need no key, and make none"
    pii = TenantPii(Keyring(settings.keys()), "t1")  # as the lander does first
    expected = sorted(pii.pseudonym("ip", address) for address in ("198.51.100.77", "198.51.101.1"))
    assert blocked_for("t1", BLOCKING, settings) == expected
    assert not set(blocked_for("t2", BLOCKING, settings)) & set(expected)


def test_a_process_without_the_keyring_says_so_instead_of_making_another(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(SettingsError, match=r"tenant t1 block networks.*UNMOGROWP_KEYRING"):
        blocked_for("t1", BLOCKING, settings)
    assert not settings.has_keyring


def result(*, passed: bool, name: str = "unique") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, asset_key="installs", check_name=name)


def events_of(*runs: list[Any]) -> list[Any]:
    return list(one_result_each([partial(iter, events) for events in runs]))


def test_several_invocations_give_one_result_of_each_asset_and_check() -> None:
    first, last = dg.Output(1, "installs"), dg.Output(2, "installs")
    assert events_of([first, result(passed=True)], [last, result(passed=True)]) == [last, result(passed=True)]
    assert events_of([first]) == [first]


def test_a_check_that_failed_in_an_earlier_range_has_failed() -> None:
    bad, other = result(passed=False), result(passed=True, name="other")
    assert events_of([bad, other], [result(passed=True), other]) == [bad, other]
    assert events_of([result(passed=True)], [bad]) == [bad]


def test_observations_of_every_range_are_kept() -> None:
    seen = dg.AssetObservation("installs")
    assert events_of([seen], [seen]) == [seen, seen]


def test_an_invocation_that_fails_ends_the_run_before_the_next_begins() -> None:
    begun = []

    def failing() -> Iterator[Any]:
        begun.append("first")
        yield dg.Output(1, "installs")
        raise RuntimeError("dbt failed")

    def following() -> Iterator[Any]:
        begun.append("second")
        yield dg.Output(2, "installs")

    with pytest.raises(RuntimeError, match="dbt failed"):
        list(one_result_each([failing, following]))
    assert begun == ["first"]
