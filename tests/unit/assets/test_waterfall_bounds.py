"""What the waterfall decides where the vendors' examples end: used-up touches, deep links, midnight, history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from benchmarks.mart_lab import MartLab
from resources.rules import DAY_MS, DEFAULT_RULES, RuleSet

FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 4, 9)
MARTS = ("touch_decisions", "installs", "reengagements", "attributed_purchases")
SECOND = 1 / 86_400  # in days


def event(event_id: str, event_type: str, day: float, **fields: Any) -> dict[str, Any]:
    """An event so many days after FIRST, of device d in app a."""
    time = dt.datetime(2026, 3, 1, tzinfo=dt.UTC) + dt.timedelta(days=day)
    named = {"tenant_id": "t1", "event_id": event_id, "event_type": event_type, "event_time": time}
    return {**named, "app_id": "a", "device_id": "d", **fields}


def click(event_id: str, day: float, **fields: Any) -> dict[str, Any]:
    return event(event_id, "click", day, source="net", **fields)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


def marts(
    lab: MartLab, *events: dict[str, Any], rules: RuleSet = DEFAULT_RULES, by_day: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The marts of these events, made in one go or date by date, as rows by name."""
    lab.clear()
    lab.put(pl.DataFrame(list(events), infer_schema_length=None))
    days = sorted({row["event_time"].date() for row in events})
    for first, last in [(day, day) for day in days] if by_day else [(FIRST, LAST)]:
        lab.build("t1", first, last, rules, MARTS)
    return {name: lab.mart(name).to_dicts() for name in MARTS}


def verdicts(made: dict[str, list[dict[str, Any]]], conversion_id: str) -> dict[str, str]:
    rows = made["touch_decisions"]
    return {row["touch_id"]: row["verdict"] for row in rows if row["conversion_id"] == conversion_id}


def test_a_touch_that_led_to_the_install_makes_no_re_attribution_of_the_reinstall(lab: MartLab) -> None:
    made = marts(lab, click("k1", 0), event("i1", "install", 0.1), event("i2", "install", 2))
    assert verdicts(made, "i2") == {"k1": "outside_window"}
    (row,) = made["reengagements"]
    assert (row["conversion_type"], row["source"], row["touch_id"]) == ("reinstall", "net", "")
    assert row["window_ends_at"] == row["conversion_time"]


def test_an_old_click_does_not_bring_a_device_back_that_has_been_active_since(lab: MartLab) -> None:
    wide = RuleSet(click_window_ms=30 * DAY_MS, inactivity_ms=DAY_MS)
    events = (click("k1", 0), event("i1", "install", 0.1), event("s1", "session", 5))
    assert marts(lab, *events, rules=wide)["reengagements"] == []
    made = marts(lab, *events, click("k2", 4), rules=wide)
    assert verdicts(made, "s1") == {"k1": "outside_window", "k2": "won"}


def test_a_second_after_its_click_a_session_is_a_return_and_an_install_an_injection(lab: MartLab) -> None:
    installed = (click("k0", 0.5), event("i1", "install", 0.5 + SECOND))
    made = marts(lab, *installed, click("k1", 10), event("s1", "session", 10 + SECOND))
    assert verdicts(made, "i1") == {"k0": "injection"}
    assert verdicts(made, "s1") == {"k0": "outside_window", "k1": "won"}
    assert [row["conversion_type"] for row in made["reengagements"]] == ["re_engagement"]


def test_a_touch_after_the_conversion_is_kept_to_the_end_of_its_utc_day(lab: MartLab) -> None:
    late = 1 - 1 / 96  # a quarter of an hour before midnight
    made = marts(lab, event("i1", "install", late), click("k1", late + 1 / 192), click("k2", 1.001))
    assert verdicts(made, "i1") == {"k1": "after_conversion"}
    assert made["installs"][0]["match_type"] == "organic"


def test_a_fingerprint_reaches_over_midnight_and_needs_its_app(lab: MartLab) -> None:
    same = {"ip_pseudonym": "ip", "user_agent_pseudonym": "ua", "os_version": "17"}
    touches = [click(f"k{app}", 0.9, device_id="browser", app_id=app, **same) for app in ("a", "b")]
    made = marts(lab, *touches, event("i1", "install", 1.5, **same))
    assert verdicts(made, "i1") == {"ka": "won"}
    assert made["installs"][0]["match_type"] == "probabilistic"


def test_dates_made_one_by_one_are_those_made_in_one_go(lab: MartLab) -> None:
    events = [
        click("k1", 0),
        event("i1", "install", 0.1),
        event("s1", "session", 3),
        event("i2", "install", 20),
    ]
    events += [click("k2", 30), event("s2", "session", 30.5), event("i3", "install", 39)]
    rules = RuleSet(reattribution_window_ms=21 * DAY_MS)
    made = marts(lab, *events, rules=rules)
    assert marts(lab, *events, rules=rules, by_day=True) == made
    assert [row["install_id"] for row in made["installs"]] == ["i1", "i3"]
    kinds = [(row["conversion_id"], row["conversion_type"]) for row in made["reengagements"]]
    assert sorted(kinds) == [("i2", "reinstall"), ("s2", "re_engagement")]
