"""What a restatement found: how many installs changed, and each channel's installs under either rule set.

The rows are dbt's (`dbt_project/models/restatement/`); running it is `assets/restate.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from resources.clickhouse import ClickHouse

# tags of a restatement's run: numbers of the tenant's rule versions, 0 the defaults
VERSION_TAG = "unmogrowp/rules_version"
AGAINST_TAG = "unmogrowp/rules_against"

_CHANGES = """
SELECT change_kind, count() AS installs
FROM attribution_diff
WHERE
    tenant_id = {tenant_id:String} AND event_date BETWEEN {first:Date} AND {last:Date}
    AND hash_before = {hash_before:String} AND hash_after = {hash_after:String}
GROUP BY change_kind
ORDER BY change_kind
"""
_CREDIT = """
SELECT
    source,
    countIf(ruleset_hash = {hash_before:String}) AS before,
    countIf(ruleset_hash = {hash_after:String}) AS after
FROM installs_versions
WHERE
    tenant_id = {tenant_id:String} AND event_date BETWEEN {first:Date} AND {last:Date}
    AND ruleset_hash IN ({hash_before:String}, {hash_after:String})
GROUP BY source
ORDER BY before DESC, after DESC, source
"""


@dataclass(frozen=True, slots=True)
class ChannelInstalls:
    """A channel's installs under the rules compared with, and under those asked about."""

    source: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class RestatementSummary:
    """Changed installs by kind, and installs by channel, most first."""

    changes: dict[str, int]
    credit: tuple[ChannelInstalls, ...]

    @property
    def changed(self) -> int:
        """Installs whose credit differs."""
        return sum(self.changes.values())


def restatement_summary(
    clickhouse: ClickHouse,
    tenant_id: str,
    first: dt.date,
    last: dt.date,
    *,
    hash_before: str,
    hash_after: str,
) -> RestatementSummary:
    """Counts of a tenant's dates whose restatement has run; raises as `ClickHouse.query_rows`."""
    values = {
        "tenant_id": tenant_id,
        "first": first,
        "last": last,
        "hash_before": hash_before,
        "hash_after": hash_after,
    }
    return RestatementSummary(
        changes={row["change_kind"]: row["installs"] for row in clickhouse.query_rows(_CHANGES, values)},
        credit=tuple(ChannelInstalls(**row) for row in clickhouse.query_rows(_CREDIT, values)),
    )
