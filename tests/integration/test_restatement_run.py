"""A restatement over a real lake and engine: the marts stay, the versions are replaced alone, dates empty."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.partitions import range_tags
from resources.clickhouse import ClickHouse
from resources.errors import PermanentError
from resources.restatements import AGAINST_TAG, VERSION_TAG, ChannelInstalls, restatement_summary
from resources.rules import DEFAULT_RULES, HOUR_MS, RuleSet

FIRST = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)
LAST = FIRST + dt.timedelta(days=1)
NARROW = RuleSet(click_window_ms=HOUR_MS)
TABLES = ("decisions_versions", "installs_versions", "attribution_diff")


def restate(platform: Any, tenant: str, version: int, against: int) -> dg.ExecuteInProcessResult:
    """The run that `unmogrowp rules restate` launches, in this process."""
    tags = range_tags(tenant, FIRST, LAST) | {VERSION_TAG: str(version), AGAINST_TAG: str(against)}
    result: dg.ExecuteInProcessResult = platform.defs.resolve_job_def("restate_job").execute_in_process(
        tags=tags, instance=platform.instance
    )
    return result


def test_a_restatement_compares_two_versions_beside_the_marts(platform: Any, make_event: Any) -> None:
    tenant = platform.activate("mt_restated")
    for number, day in enumerate((FIRST, LAST)):
        at = dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)
        device = f"d{number}"
        platform.land(
            make_event(tenant, "click", at, deviceId=device, source="net", campaign="c"),
            make_event(tenant, "install", at + dt.timedelta(hours=2), deviceId=device, campaign="x"),
        )
    assert platform.materialize(tenant, FIRST, LAST).success
    platform.registry.add_rules(tenant, NARROW, LAST + dt.timedelta(days=30), "test")
    marts = platform.marts(tenant)

    assert restate(platform, tenant, version=1, against=0).success
    made = {name: platform.mart(name, tenant) for name in TABLES}
    assert made["attribution_diff"]["change_kind"].to_list() == ["now organic", "now organic"]
    assert "the window is 3600000 ms" in made["attribution_diff"]["reason"][0]
    in_force = made["installs_versions"].filter(pl.col("ruleset_hash") == DEFAULT_RULES.content_hash)
    assert_frame_equal(in_force, marts["installs"])
    found = restatement_summary(
        ClickHouse.from_settings(platform.settings),
        tenant,
        FIRST,
        LAST,
        hash_before=DEFAULT_RULES.content_hash,
        hash_after=NARROW.content_hash,
    )
    assert found.changes == {"now organic": 2}
    assert found.credit == (ChannelInstalls("net", 2, 0), ChannelInstalls("organic", 0, 2))

    assert restate(platform, tenant, version=1, against=0).success
    for name, rows in made.items():
        assert_frame_equal(platform.mart(name, tenant), rows)

    none = platform.lake.read_slices("clean.events", tenant, [LAST]).clear()
    platform.lake.replace_slice("clean.events", none, tenant_id=tenant, date=LAST, run_id="test")
    assert restate(platform, tenant, version=1, against=0).success
    for name, rows in made.items():
        assert_frame_equal(platform.mart(name, tenant), rows.filter(pl.col("event_date") == FIRST))
    for name, rows in marts.items():
        assert_frame_equal(platform.mart(name, tenant), rows)


def test_a_run_that_does_not_say_two_different_rule_sets_fails_with_the_way_out(platform: Any) -> None:
    tenant = platform.activate("mt_restated_twice")
    with pytest.raises(PermanentError, match="--against"):
        restate(platform, tenant, version=0, against=0)
    with pytest.raises(PermanentError, match="unmogrowp rules restate"):
        platform.defs.resolve_job_def("restate_job").execute_in_process(
            tags=range_tags(tenant, FIRST, LAST), instance=platform.instance
        )
