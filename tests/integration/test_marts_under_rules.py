"""One run of the marts over dates under several rule sets: each date by its own, whatever the run's extent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
from polars.testing import assert_frame_equal

from resources.pii import Keyring, TenantPii
from resources.rules import DAY_MS, DEFAULT_RULES, HOUR_MS, RuleSet

FIRST = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=4)
DAYS = [FIRST + dt.timedelta(days=number) for number in range(3)]
BLOCKED_ADDRESS = "198.51.100.9"
NARROW = RuleSet(click_window_ms=HOUR_MS)
BLOCKING = RuleSet(click_window_ms=2 * DAY_MS, blocked_networks=("198.51.100.0/24",))


def decisions_and_what_they_read(defs: dg.Definitions) -> list[str]:
    """The mart of decisions and the marts before it."""
    before = dg.AssetSelection.assets("touch_decisions").upstream() & dg.AssetSelection.groups("marts")
    return sorted(key.path[-1] for key in before.resolve(defs.resolve_asset_graph()))


def test_a_run_over_three_rule_sets_decides_each_date_by_its_own(platform: Any, make_event: Any) -> None:
    tenant = platform.activate("mt_rules")
    pii = TenantPii(Keyring(platform.settings.keys()), tenant)
    for number, day in enumerate(DAYS):
        at = dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)
        device, address = f"d{number}", pii.pseudonym("ip", BLOCKED_ADDRESS)
        platform.land(
            make_event(tenant, "click", at, deviceId=device, source="net", campaign="c", ip=address),
            make_event(tenant, "install", at + dt.timedelta(hours=2), deviceId=device, campaign="x"),
        )
    platform.registry.add_rules(tenant, NARROW, DAYS[1], "test")
    platform.registry.add_rules(tenant, BLOCKING, DAYS[2], "test")
    models = decisions_and_what_they_read(platform.defs)
    result = platform.materialize(tenant, DAYS[0], DAYS[-1], "clean_events", *models)
    assert result.success
    materialized = [event.asset_key.path[-1] for event in result.get_asset_materialization_events()]
    assert sorted(set(materialized)) == sorted(("clean_events", *models)), "dagster was told of each"
    found = platform.mart("touch_decisions", tenant).sort("event_date")
    assert found["verdict"].to_list() == ["won", "outside_window", "blocked_ip"]
    assert found["ruleset_hash"].to_list() == [
        rules.content_hash for rules in (DEFAULT_RULES, NARROW, BLOCKING)
    ]
    assert platform.materialize(tenant, DAYS[1], DAYS[1], *models).success
    assert_frame_equal(platform.mart("touch_decisions", tenant).sort("event_date"), found)
