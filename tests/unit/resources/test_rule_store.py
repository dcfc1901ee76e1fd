"""Versions of rules in the registry, the same over SQLite and a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from resources.errors import (
    RulesChangedError,
    RuleVersionNotFoundError,
    TenantNotFoundError,
    TenantStateError,
)
from resources.registry import Registry, TenantState
from resources.rules import DAY_MS, DEFAULT_RULES, ChannelRules, RuleSet

DAY = dt.date(2026, 11, 10)
NEXT = DAY + dt.timedelta(days=1)
LATER = DAY + dt.timedelta(days=9)
SHORT = RuleSet(
    click_window_ms=DAY_MS,
    channels=(ChannelRules(source="L'Océan", view_window_ms=0),),
    blocked_networks=("198.51.100.0/24",),
)
LONG = RuleSet(click_window_ms=30 * DAY_MS)


def test_rules_are_kept_as_they_were_and_are_in_force_from_their_date(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    added = registry.add_rules("t1", SHORT, DAY, "ann", "fewer days")
    assert (added.version, added.effective_from, added.created_by, added.reason) == (
        1,
        DAY,
        "ann",
        "fewer days",
    )
    assert (added.rules, added.content_hash) == (SHORT, SHORT.content_hash)
    assert registry.rule_versions("t1") == (added,)
    assert (
        registry.rule_version("t1", 1)
        == registry.rules_on("t1", DAY)
        == registry.rules_on("t1", LATER)
        == added
    )
    before = registry.rules_on("t1", DAY - dt.timedelta(days=1))
    assert (before.version, before.rules, before.effective_from) == (0, DEFAULT_RULES, None)
    assert registry.rule_version("t1", 0) == before


def test_a_version_overrules_those_before_it_from_its_date_on(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    registry.add_rules("t1", SHORT, LATER, "ann")
    assert registry.add_rules("t1", LONG, NEXT, "bob").version == 2
    in_force = [registry.rules_on("t1", date).version for date in (DAY, NEXT, LATER)]
    assert in_force == [0, 2, 2]


def test_rules_already_in_force_make_no_version_and_no_audit_entry(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    assert registry.add_rules("t1", DEFAULT_RULES, DAY, "ann").version == 0
    first = registry.add_rules("t1", SHORT, DAY, "ann")
    assert registry.add_rules("t1", SHORT, DAY, "bob", "again") == first
    assert registry.add_rules("t1", SHORT, LATER, "bob") == first
    assert registry.add_rules("t1", SHORT, DAY - dt.timedelta(days=1), "ann").version == 2  # one day more
    assert [entry.action for entry in registry.audit("t1")] == [
        "tenant.requested",
        "rules.added",
        "rules.added",
    ]


def test_each_version_is_audited_with_what_was_in_force_before(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    registry.add_rules("t1", SHORT, DAY, "ann", "first")
    registry.add_rules("t1", LONG, NEXT, "bob", "second")
    first, second = registry.audit("t1")[1:]
    assert (first.actor, first.reason, first.before["version"], first.after["version"]) == (
        "ann",
        "first",
        0,
        1,
    )
    assert first.before["rules"] == DEFAULT_RULES.model_dump(mode="json")
    assert (second.before["content_hash"], second.after["content_hash"]) == (
        SHORT.content_hash,
        LONG.content_hash,
    )
    assert second.after["rules"]["click_window_ms"] == 30 * DAY_MS
    assert second.after["effective_from"] == NEXT.isoformat()


def test_a_decision_over_outdated_rules_is_refused(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    registry.add_rules("t1", SHORT, DAY, "ann", based_on=0)
    with pytest.raises(RulesChangedError, match="version 1, not 0"):
        registry.add_rules("t1", LONG, DAY, "bob", based_on=0)
    assert (
        registry.add_rules("t1", SHORT, DAY, "ann", based_on=0).version == 1
    )  # the same request, answered twice
    assert registry.add_rules("t1", LONG, DAY, "bob", based_on=1).version == 2


def test_no_tenant_sees_or_changes_another_s_rules(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    registry.request("t2", "starter", "ann")
    registry.add_rules("t1", SHORT, DAY, "ann")
    assert registry.rule_versions("t2") == ()
    assert registry.rules_on("t2", LATER).rules == DEFAULT_RULES
    with pytest.raises(RuleVersionNotFoundError, match="tenant t2 have no version 1"):
        registry.rule_version("t2", 1)
    assert registry.add_rules("t2", LONG, DAY, "ann").version == 1
    assert registry.rules_on("t1", DAY).rules == SHORT


def test_versions_come_in_pages(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    for number in range(1, 5):
        registry.add_rules("t1", RuleSet(click_window_ms=number * DAY_MS), DAY, "ann")
    assert [one.version for one in registry.rule_versions("t1", after_version=1, limit=2)] == [2, 3]


def test_unknown_tenants_and_versions_are_errors_and_a_deleted_tenant_gets_no_rules(
    registry: Registry,
) -> None:
    with pytest.raises(TenantNotFoundError, match="ghost"):
        registry.add_rules("ghost", SHORT, DAY, "ann")
    for version in (0, 1):
        with pytest.raises(TenantNotFoundError, match="ghost"):
            registry.rule_version("ghost", version)
    registry.request("t1", "starter", "ann")
    with pytest.raises(RuleVersionNotFoundError, match="no version 7"):
        registry.rule_version("t1", 7)
    registry.transition("t1", TenantState.PROVISIONING, actor="job")
    registry.transition("t1", TenantState.ACTIVE, actor="job")
    registry.request_deletion("t1", "ann")
    with pytest.raises(TenantStateError, match="gets no new rules"):
        registry.add_rules("t1", SHORT, DAY, "ann")


@pytest.mark.parametrize(
    "statement", ["UPDATE registry_rule_sets SET created_by = 'eve'", "DELETE FROM registry_rule_sets"]
)
def test_the_database_itself_refuses_to_change_a_version(registry: Registry, statement: str) -> None:
    registry.request("t1", "starter", "ann")
    added = registry.add_rules("t1", SHORT, DAY, "ann")
    with pytest.raises(DBAPIError, match="append only"), registry.writing() as session:
        session.execute(text(statement))
    assert registry.rule_versions("t1") == (added,)


def test_of_many_at_once_each_gets_a_version_of_its_own(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    gate = threading.Barrier(8)

    def add(number: int) -> int:
        gate.wait()
        return registry.add_rules("t1", RuleSet(click_cap_per_day=10 + number), DAY, "ann").version

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(add, range(8))) == list(range(1, 9))
