"""Keys, ranges and the law of one tenant per run."""

from __future__ import annotations

import datetime as dt

import pytest

from assets.marts import contiguous, dbt_vars
from assets.partitions import RunSlices, contiguous_ranges, range_tags, slice_key, slices_of_keys, split_key
from resources.errors import MixedTenantsError, PermanentError
from resources.rules import DEFAULT_RULES, RuleSet

DAY = dt.date(2026, 11, 10)
DAYS = [DAY + dt.timedelta(days=n) for n in range(5)]


def test_a_key_says_its_tenant_and_date() -> None:
    assert split_key(str(slice_key("t1", DAY))) == ("t1", DAY)


def test_a_run_of_two_tenants_is_refused() -> None:
    with pytest.raises(MixedTenantsError, match="one run per tenant"):
        slices_of_keys(["2026-11-10|t1", "2026-11-10|t2"])


def test_a_runs_dates_come_ascending() -> None:
    assert slices_of_keys(["2026-11-11|t1", "2026-11-10|t1"]) == RunSlices("t1", (DAYS[0], DAYS[1]))


def test_ranges_cover_exactly_the_dates() -> None:
    assert contiguous_ranges([DAYS[3], DAYS[0], DAYS[1], DAYS[1]]) == [(DAYS[0], DAYS[1]), (DAYS[3], DAYS[3])]


def test_range_tags_name_one_tenant() -> None:
    assert range_tags("t1", DAYS[0], DAYS[1]) == {
        "dagster/asset_partition_range_start": "2026-11-10|t1",
        "dagster/asset_partition_range_end": "2026-11-11|t1",
        "unmogrowp/tenant": "t1",
    }


def test_marts_refuse_dates_with_gaps() -> None:
    with pytest.raises(PermanentError, match="gaps"):
        contiguous(RunSlices("t1", (DAYS[0], DAYS[2])))


def test_dbt_gets_one_tenants_first_and_last_date_and_the_rules() -> None:
    variables = dbt_vars(
        RunSlices("t1", (DAYS[0], DAYS[1])), clean_events="x", rules=DEFAULT_RULES, currency="EUR"
    )
    assert (variables["tenant_id"], variables["start_date"], variables["end_date"]) == (
        "t1",
        "2026-11-10",
        "2026-11-11",
    )
    assert variables["rules"]["lookback_days"] == 7
    assert variables["ruleset_hash"] == DEFAULT_RULES.content_hash


def test_a_changed_rule_changes_the_hash() -> None:
    assert RuleSet(click_window_ms=86_400_000).content_hash != DEFAULT_RULES.content_hash
