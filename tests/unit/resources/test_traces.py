"""What a trace says beside its rows: which version of the rules decided. Reading it is tested over HTTP."""

from __future__ import annotations

import datetime as dt

import pytest

from resources.rules import DAY_MS, DEFAULT_RULES, RuleSet, RuleVersion
from resources.traces import TraceRules, traced_rules

DATE = dt.date(2026, 3, 5)
NARROW, WIDE = RuleSet(click_window_ms=DAY_MS), RuleSet(click_window_ms=9 * DAY_MS)


def version(number: int, rules: RuleSet, effective_from: dt.date) -> RuleVersion:
    return RuleVersion("t1", number, rules.content_hash, rules, effective_from, None, None, None)


# the same rules twice: the one in force is named, not the newest; one that is not in force by the newest
VERSIONS = (
    version(1, NARROW, DATE - dt.timedelta(days=1)),
    version(2, WIDE, DATE + dt.timedelta(days=1)),
    version(3, NARROW, DATE + dt.timedelta(days=2)),
    version(4, WIDE, DATE + dt.timedelta(days=3)),
)


@pytest.mark.parametrize(
    ("ruleset_hash", "found", "is_in_force"),
    [
        (NARROW.content_hash, 1, True),
        (WIDE.content_hash, 4, False),
        (DEFAULT_RULES.content_hash, 0, False),
        ("0123456789abcdef", None, False),
    ],
)
def test_the_version_that_decided_is_found_by_its_hash(
    ruleset_hash: str, found: int | None, is_in_force: bool
) -> None:
    assert traced_rules("t1", VERSIONS, DATE, ruleset_hash) == TraceRules(ruleset_hash, found, 1, is_in_force)


def test_without_versions_the_defaults_decided() -> None:
    found = traced_rules("t1", (), DATE, DEFAULT_RULES.content_hash)
    assert (found.version, found.is_in_force) == (0, True)
