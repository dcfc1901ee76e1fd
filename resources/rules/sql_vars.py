"""A rule set as the dbt var `rules`: flat, every window resolved, nothing left to decide in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resources.rules.rule_set import RuleSet


def rule_vars(rules: RuleSet, blocked_ip_pseudonyms: Sequence[str] = ()) -> dict[str, Any]:
    """The dict that `dbt_project/` reads; `blocked_ip_pseudonyms` stand for `rules.blocked_networks`."""
    flat = rules.model_dump(mode="json", exclude={"channels", "blocked_networks"})
    channels = [
        {"source": entry.source, "medium": entry.medium, **rules.windows_of(entry)._asdict()}
        for entry in rules.channels
    ]
    return flat | {
        "channels": channels,
        "blocked_ip_pseudonyms": list(blocked_ip_pseudonyms),
        "lookback_days": rules.longest_window_days,
    }
