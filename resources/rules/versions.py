"""Versions of a tenant's rules, and which one is in force on an event date. Where they are kept is the registry's.

The event date alone decides, never when something runs: so a slice computed again comes out the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from resources.rules.rule_set import DEFAULT_RULES, RuleSet


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """One version of a tenant's rules. Version 0 is the platform's defaults, which nobody wrote down."""

    tenant_id: str
    version: int
    content_hash: str
    rules: RuleSet
    effective_from: dt.date | None
    created_at: dt.datetime | None
    created_by: str | None
    reason: str | None


def default_version(tenant_id: str) -> RuleVersion:
    """Version 0: in force from the beginning, until another is."""
    return RuleVersion(tenant_id, 0, DEFAULT_RULES.content_hash, DEFAULT_RULES, None, None, None, None)


def version_on(tenant_id: str, versions: Iterable[RuleVersion], date: dt.date) -> RuleVersion:
    """The version in force on an event date: the highest one that is effective by then."""
    begun = (one for one in versions if one.effective_from is None or one.effective_from <= date)
    return max(begun, key=lambda one: one.version, default=default_version(tenant_id))


def changes_nothing(
    tenant_id: str, versions: Iterable[RuleVersion], rules: RuleSet, effective_from: dt.date
) -> bool:
    """Whether these rules are in force already on every date from `effective_from` on."""
    known = list(versions)
    later = {
        one.effective_from for one in known if one.effective_from and one.effective_from > effective_from
    }
    return all(version_on(tenant_id, known, date).rules == rules for date in {effective_from, *later})


def overruled(versions: Iterable[RuleVersion], effective_from: dt.date) -> list[RuleVersion]:
    """Versions that begin after `effective_from`: a new one from that date on takes their place too."""
    return [one for one in versions if one.effective_from and one.effective_from > effective_from]
