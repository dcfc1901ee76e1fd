"""Which later dates a changed slice reopens: those whose marts depend on it, and no other."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from assets.reopening import COLUMNS, Influence, changed_inputs, dates_that_depend
from resources.rules import DAY_MS, RuleSet

DAY = dt.date(2026, 11, 10)
NOON = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)
SCHEMA = {
    **dict.fromkeys(COLUMNS, pl.String()),
    "event_time": pl.Datetime("us", "UTC"),
    "event_date": pl.Date(),
}
DEFAULTS = Influence.of(())


def event(
    event_type: str, day: int = 0, *, hour: float = 0, device: str | None = "d1", **fields: Any
) -> dict[str, Any]:
    """An event at noon of DAY + day, some hours later."""
    time = NOON + dt.timedelta(days=day, hours=hour)
    named = f"{event_type}-{device}-{day}-{hour}-{fields.get('app_id', '')}-{fields.get('click_id', '')}"
    row = {"event_id": named, "event_type": event_type, "event_time": time, "event_date": time.date()}
    return {**dict.fromkeys(COLUMNS), **row, "app_id": "app", "device_id": device, **fields}


def rows(*events: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(events), schema=SCHEMA)


def reopened(
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    later: list[dict[str, Any]],
    influence: Influence = DEFAULTS,
    *,
    own: tuple[int, ...] = (0,),
    sightings: tuple[dict[str, Any], ...] = (),
) -> list[int]:
    """The reopened dates as days after DAY."""
    own_dates = {DAY + dt.timedelta(days=n) for n in own}
    dates = dates_that_depend(
        rows(*before),
        rows(*after),
        rows(*later),
        rows(*sightings),
        own_dates=own_dates,
        influence=influence,
    )
    return [(date - DAY).days for date in dates]


CLICK = event("click", click_id="c1", source="net")
VIEW = event("impression", source="net")


def test_a_late_session_of_a_device_without_later_activity_reopens_nothing() -> None:
    others = [event("session", 1, device="d2"), event("purchase", 2, device="d2")]
    assert reopened([], [event("session")], others) == []


def test_a_spend_report_is_no_input_of_attribution() -> None:
    assert changed_inputs(rows(), rows(event("ad_spend"))).is_empty()


def test_an_added_a_withdrawn_and_an_altered_touch_are_all_changes() -> None:
    altered = {**CLICK, "click_id": "c9"}
    assert changed_inputs(rows(CLICK), rows(altered))["click_id"].sort().to_list() == ["c1", "c9"]
    assert changed_inputs(rows(CLICK), rows(VIEW)).height == 2
    assert changed_inputs(rows(CLICK), rows(CLICK)).is_empty()


def test_a_late_touch_reopens_the_install_of_its_device_and_all_that_follows_from_it() -> None:
    later = [
        event("install", 3),
        event("session", 4),
        event("purchase", 200),
        event("install", 3, device="d2"),
        event("purchase", 5, app_id="another app"),
    ]
    assert reopened([], [VIEW], later) == reopened([VIEW], [], later) == [3, 4, 200]


def test_a_late_touch_reopens_no_install_beyond_the_longest_window() -> None:
    assert reopened([], [CLICK], [event("install", 30)]) == [30]
    assert reopened([], [CLICK], [event("install", 31), event("purchase", 31)]) == []


def test_a_late_click_reopens_what_matches_its_click_id_also_without_a_device() -> None:
    by_referrer = event("install", 1, device="d5", referrer_click_id="c1")
    by_link = event("install", 2, device=None, click_id="c1")
    assert reopened([], [CLICK], [by_referrer, by_link, event("purchase", 4, device="d5")]) == [1, 2, 4]
    assert reopened([], [{**VIEW, "click_id": "c1", "device_id": "dx"}], [by_referrer, by_link]) == []


def test_a_fingerprint_reaches_to_the_next_day_and_needs_all_its_parts() -> None:
    print_ = {"ip_pseudonym": "ip", "user_agent_pseudonym": "ua", "os_version": "17"}
    touch = event("click", device="browser", **print_)
    later = [event("install", 1, device="d7", **print_), event("install", 2, device="d8", **print_)]
    assert reopened([], [touch], later) == [1]
    assert reopened([], [{**touch, "os_version": None}], later) == []


def test_a_late_click_reopens_the_day_on_which_its_device_comes_back_and_its_purchases_for_90_days() -> None:
    back = event("session", 10)
    assert reopened([], [CLICK], [back, event("purchase", 40), event("purchase", 101)]) == [10, 40]


def test_a_late_click_of_a_device_that_was_never_away_reopens_none_of_its_sessions() -> None:
    daily = [event("session", day) for day in range(1, 8)]
    assert reopened(
        [], [event("session", hour=-1), event("session", hour=-1, device="d2"), CLICK], daily
    ) == [1]
    assert reopened([event("session", hour=-1)], [event("session", hour=-1), CLICK], daily) == []


def test_a_late_session_reopens_the_devices_next_day_only_if_it_was_or_is_away_long_enough() -> None:
    later = [event("session", 9), event("session", 10)]
    assert reopened([], [event("session")], later) == [9]
    early = event("session", -6)
    assert reopened([early], [early, event("session", -1)], [event("session", 0)], own=(-6, -1)) == []
    assert reopened([early], [early, event("session", -1)], [event("session", 2)], own=(-6, -1)) == [2]


def test_the_shortest_inactivity_of_any_rule_set_decides() -> None:
    day_long = Influence.of([RuleSet(inactivity_ms=DAY_MS)])
    before, after = [event("session", -3)], [event("session", -3), event("session", -1, hour=-6)]
    assert reopened(before, after, [event("session", 1)], own=(-3, -1)) == []
    assert reopened(before, after, [event("session", 1)], day_long, own=(-3, -1)) == [1]


def test_a_late_install_reopens_every_later_day_of_its_device() -> None:
    later = [
        event("session", 1),
        event("install", 80),
        event("purchase", 300),
        event("purchase", 1, device="d2"),
    ]
    assert reopened([], [event("install")], later) == [1, 80, 300]


def test_a_click_beyond_the_smallest_cap_moves_its_siblings() -> None:
    clicks = [event("click", hour=n / 10, click_id=f"k{n}", source="net") for n in range(6)]
    other_device = event("install", 1, device="d9", referrer_click_id="k5")
    assert reopened(clicks[1:5], clicks[:5], [event("install", 1, device="d9", referrer_click_id="k4")]) == []
    assert reopened(clicks[1:], clicks, [other_device]) == [1]


def test_a_touch_reopens_later_purchases_on_every_device_of_its_user() -> None:
    phone, tablet = {"device": "phone", "user_id": "u"}, {"device": "tablet", "user_id": "u"}
    touch = event("impression", device="phone")
    later = [
        event("session", 1, hour=-20, **phone),
        event("purchase", 2, **tablet),
        event("purchase", 31, **tablet),
    ]
    seen = event("session", hour=-2, **phone)
    assert reopened([seen], [seen, touch], later) == [2]


def test_a_touch_reopens_a_purchase_of_the_user_whom_its_device_named_only_before() -> None:
    touch = event("impression", device="d3", source="net")
    later = [event("purchase", 1, device="d1", user_id="u1")]
    seen_before = event("session", -6, device="d3", user_id="u1")
    assert reopened([], [touch], later) == []
    assert reopened([], [touch], later, sightings=(seen_before,)) == [1]
    assert reopened([], [touch], later, sightings=({**seen_before, "app_id": "other"},)) == []


def test_a_first_purchase_or_a_named_event_is_a_milestone_of_later_ones() -> None:
    later = [
        event("purchase", 3),
        event("event", 4, event_name="level"),
        event("event", 5, event_name="other"),
    ]
    level = Influence.of([RuleSet(conversion_events=("level",))])
    late = event("event", event_name="level")
    before = [event("session", hour=-1)]
    assert reopened(before, [*before, event("purchase")], later) == [3]
    assert reopened(before, [*before, late], later) == []
    assert reopened(before, [*before, late], later, level) == [3, 4]


def test_dates_of_the_run_itself_are_not_reopened() -> None:
    assert reopened([], [CLICK], [event("install", 1), event("install", 2)], own=(0, 1)) == [2]
