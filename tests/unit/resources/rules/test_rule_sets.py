"""Rule sets: defaults, allowed ranges, the hash, channels, which version is in force, what dbt is given."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from resources.dbt_files import DBT_PROJECT_DIR
from resources.rules import DAY_MS, DEFAULT_RULES, HOUR_MS, ChannelRules, RuleSet, RuleVersion, version_on
from resources.rules.edits import short_names
from resources.rules.rule_set import MAX_RULES_BYTES
from resources.rules.sql_vars import rule_vars
from resources.rules.versions import changes_nothing, default_version, overruled
from resources.settings import APPLICATION_ROOT

DAY = dt.date(2026, 11, 10)


def days(number: int) -> dt.date:
    return DAY + dt.timedelta(days=number)


def version(number: int, effective_from: dt.date, rules: RuleSet) -> RuleVersion:
    moment = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    return RuleVersion("t1", number, rules.content_hash, rules, effective_from, moment, "ann", None)


SHORT, LONG = RuleSet(click_window_ms=DAY_MS), RuleSet(click_window_ms=30 * DAY_MS)


@pytest.mark.parametrize(
    ("field", "least", "most", "may_be_off", "default"),
    [
        ("click_window_ms", HOUR_MS, 30 * DAY_MS, False, 7 * DAY_MS),
        ("probabilistic_click_window_ms", HOUR_MS, 24 * HOUR_MS, True, 24 * HOUR_MS),
        ("view_window_ms", HOUR_MS, 48 * HOUR_MS, True, 24 * HOUR_MS),
        ("probabilistic_view_window_ms", HOUR_MS, 24 * HOUR_MS, True, 0),
        ("reattribution_window_ms", DAY_MS, 730 * DAY_MS, False, 90 * DAY_MS),
        ("inactivity_ms", DAY_MS, 90 * DAY_MS, False, 7 * DAY_MS),
        ("reengagement_window_ms", DAY_MS, 90 * DAY_MS, False, 30 * DAY_MS),
        ("click_cap_per_day", 5, 1000, False, 50),
        ("min_ctit_ms", 1, 60_000, True, 5000),
    ],
)
def test_every_rule_takes_its_range_and_nothing_beyond(
    field: str, least: int, most: int, may_be_off: bool, default: int
) -> None:
    assert getattr(DEFAULT_RULES, field) == default
    for value in (least, most, *([0] if may_be_off else [])):
        assert getattr(RuleSet.model_validate({field: value}), field) == value
    beyond: list[Any] = [most + 1, -1, True, str(default), float(default), None]
    if not may_be_off:
        beyond.append(0)
    if least > 1:
        beyond.append(least - 1)
    for value in beyond:
        with pytest.raises(ValidationError):
            RuleSet.model_validate({field: value})


def test_a_value_out_of_range_is_told_what_is_allowed() -> None:
    with pytest.raises(ValidationError, match=r"must be 1 h to 30 d \(3600000 to 2592000000 ms\)"):
        RuleSet(click_window_ms=1)
    with pytest.raises(ValidationError, match=r"must be off, or 1 h to 1 d \(0, or 3600000 to 86400000 ms\)"):
        RuleSet(probabilistic_view_window_ms=1)


@pytest.mark.parametrize(
    "document",
    [
        {"clickWindow": DAY_MS},
        {"clickWindowMs": DAY_MS, "click_window_ms": DAY_MS},
        {"channels": [{"source": ""}]},
        {"channels": [{"source": "a", "viewWindowMs": 5}]},
        {"channels": [{"source": "a"}, {"source": "a", "clickWindowMs": DAY_MS}]},
        {"channels": [{"source": "a", "medium": "b"}] * 2},
        {"channels": [{"source": f"s{number}"} for number in range(201)]},
        {"reinstallWithoutTouch": "forget"},
        {"conversionEvents": ["a\x00"]},
        {"registrationEvent": ""},
        {"conversionEvents": [f"e{number}" for number in range(101)]},
    ],
)
def test_documents_that_are_no_rules_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RuleSet.model_validate(document)


def test_both_spellings_are_read_and_are_the_same_rules() -> None:
    assert RuleSet.model_validate({"clickWindowMs": DAY_MS}) == RuleSet(click_window_ms=DAY_MS) == SHORT
    assert json.loads(SHORT.model_dump_json(by_alias=True))["clickWindowMs"] == DAY_MS


def test_rules_too_large_for_one_argument_are_refused() -> None:
    names = ["ü" * 120 + str(number) for number in range(100)]  # six bytes each in ASCII JSON
    with pytest.raises(ValidationError, match=f"may be {MAX_RULES_BYTES}"):
        RuleSet.model_validate({"conversion_events": names})


def test_the_hash_is_of_the_content_whatever_its_order() -> None:
    one, two = ChannelRules(source="a"), ChannelRules(source="a", medium="cpc", click_window_ms=HOUR_MS)
    assert RuleSet(channels=(one, two)) == RuleSet(channels=(two, one))
    assert RuleSet(channels=(one, two)).content_hash == RuleSet(channels=(two, one)).content_hash
    assert (
        RuleSet(conversion_events=("b", "a", "b")).content_hash
        == RuleSet(conversion_events=("a", "b")).content_hash
    )
    changed = [RuleSet.model_validate(change) for change in ONE_CHANGE_EACH]
    hashes = {rules.content_hash for rules in (DEFAULT_RULES, *changed)}
    assert len(hashes) == len(ONE_CHANGE_EACH) + 1
    assert {name for change in ONE_CHANGE_EACH for name in change} == set(RuleSet.model_fields)
    assert (
        DEFAULT_RULES.content_hash == "c0b5fe3c55984c8e"
    )  # rows of the marts name it: changing it is a release


ONE_CHANGE_EACH: list[dict[str, Any]] = [
    {"click_window_ms": DAY_MS},
    {"probabilistic_click_window_ms": 0},
    {"view_window_ms": 0},
    {"probabilistic_view_window_ms": HOUR_MS},
    {"channels": [{"source": "a"}]},
    {"reattribution_window_ms": DAY_MS},
    {"inactivity_ms": DAY_MS},
    {"reengagement_window_ms": DAY_MS},
    {"reinstall_without_touch": "organic"},
    {"click_cap_per_day": 5},
    {"min_ctit_ms": 0},
    {"blocked_networks": ["198.51.100.0/24"]},
    {"conversion_events": ["signup"]},
    {"registration_event": "signup"},
]


def test_a_channel_takes_its_medium_s_entry_then_its_source_s_then_the_rule_set_s() -> None:
    rules = RuleSet(
        view_window_ms=2 * HOUR_MS,
        channels=(
            ChannelRules(source="net", click_window_ms=DAY_MS, view_window_ms=0),
            ChannelRules(source="net", medium="video", view_window_ms=HOUR_MS),
        ),
    )
    assert rules.windows_for("net", "video") == (7 * DAY_MS, 24 * HOUR_MS, HOUR_MS, 0)
    assert rules.windows_for("net", "cpc") == rules.windows_for("net", None) == (DAY_MS, 24 * HOUR_MS, 0, 0)
    assert rules.windows_for("other", "video") == (7 * DAY_MS, 24 * HOUR_MS, 2 * HOUR_MS, 0)


def test_the_longest_window_looks_into_the_channels_and_rounds_up_to_days() -> None:
    assert DEFAULT_RULES.longest_window_days == 7
    assert RuleSet(click_window_ms=HOUR_MS, view_window_ms=25 * HOUR_MS).longest_window_days == 2
    longer = RuleSet(channels=(ChannelRules(source="a", click_window_ms=29 * DAY_MS + 1),))
    assert (longer.longest_window_ms, longer.longest_window_days) == (29 * DAY_MS + 1, 30)


def test_dbt_gets_every_scalar_and_every_window_resolved() -> None:
    rules = RuleSet(
        channels=(ChannelRules(source="net", click_window_ms=DAY_MS),), conversion_events=("signup",)
    )
    given = rule_vars(rules, ["p1_x"])
    assert given["channels"] == [
        {
            "source": "net",
            "medium": None,
            "click_window_ms": DAY_MS,
            "probabilistic_click_window_ms": 24 * HOUR_MS,
            "view_window_ms": 24 * HOUR_MS,
            "probabilistic_view_window_ms": 0,
        }
    ]
    assert (given["blocked_ip_pseudonyms"], given["conversion_events"]) == (["p1_x"], ["signup"])
    assert json.loads(json.dumps(given)) == given


def test_what_dbt_parses_with_are_the_default_rules() -> None:
    project = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text())
    assert project["vars"]["rules"] == rule_vars(DEFAULT_RULES)


def test_the_highest_version_that_has_begun_is_in_force() -> None:
    versions = [version(1, DAY, SHORT), version(2, days(5), LONG), version(3, days(2), DEFAULT_RULES)]
    in_force = [version_on("t1", versions, days(number)).version for number in (-1, 0, 1, 2, 5, 9)]
    assert in_force == [0, 1, 1, 3, 3, 3]  # version 3 is above version 2, and began before it
    assert version_on("t1", [], DAY) == default_version("t1")
    assert default_version("t1").rules == DEFAULT_RULES


def test_rules_change_nothing_only_where_they_are_in_force_on_every_date_from_then_on() -> None:
    versions = [version(1, DAY, SHORT), version(2, days(5), LONG)]
    assert changes_nothing("t1", [], DEFAULT_RULES, DAY)
    assert changes_nothing("t1", versions, LONG, days(5))
    assert changes_nothing("t1", versions, LONG, days(9))
    assert not changes_nothing(
        "t1", versions, SHORT, days(1)
    )  # in force that day, and no longer from day 5 on
    assert not changes_nothing("t1", versions, SHORT, days(5))
    assert [one.version for one in overruled(versions, DAY)] == [2]


def test_the_operator_guide_lists_every_rule() -> None:
    guide = (APPLICATION_ROOT / "docs" / "operator-guide.md").read_text()
    section = guide.partition("## Attribution rules")[2].partition("\n## ")[0]
    assert [name for name in short_names() if f"| `{name}" not in section] == []
