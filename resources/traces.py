"""Reads why a conversion was credited as it was: the conversion, its candidate touches in order, the rules.

The command and the control plane read the same. Deciding is the SQL's (`dbt_project/models/marts/touch_decisions.sql`);
here nothing is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.clickhouse import ClickHouseRefusedError
from resources.errors import TraceNotFoundError
from resources.rules.versions import default_version, version_on
from resources.trace_fields import ConsideredTouch

if TYPE_CHECKING:
    import datetime as dt

    from resources.clickhouse import ClickHouse, Parameters
    from resources.registry import Registry
    from resources.rules import RuleVersion

MAX_CANDIDATES = 500  # as many as a journey holds; a shared network can bring thousands
REFUSED = frozenset({"injection", "hyper_engagement", "blocked_ip"})

_CREDIT = (
    "match_type, tier, touch_id, touch_type, touch_time, ctit_ms, source, medium, campaign, adgroup, creative"
)
# two small tables by id first; its date and app then find the candidates by the big table's order
_CONVERSION = f"""
SELECT
    event_date, app_id, conversion_id, conversion_type, conversion_time, device_id, install_id, {_CREDIT}, assists,
    ruleset_hash
FROM (
    SELECT
        event_date, app_id, install_id AS conversion_id, 'install' AS conversion_type,
        install_time AS conversion_time, device_id, install_id, {_CREDIT}, assists, ruleset_hash
    FROM installs
    WHERE tenant_id = {{tenant_id:String}} AND install_id = {{conversion_id:String}}
    UNION ALL
    SELECT
        event_date, app_id, conversion_id, conversion_type, conversion_time, device_id, install_id, {_CREDIT},
        assists, ruleset_hash
    FROM reengagements
    WHERE tenant_id = {{tenant_id:String}} AND conversion_id = {{conversion_id:String}}
)
ORDER BY event_date DESC
LIMIT 1
"""  # noqa: S608 - our own columns; values are bound
_CANDIDATES = f"""
SELECT
    touch_id, touch_type, touch_time, source, medium, campaign, adgroup, creative, match_type, tier, ctit_ms,
    window_ms, candidate_rank, waterfall_position, verdict, reason, count() OVER () AS candidates_total
FROM touch_decisions
WHERE
    tenant_id = {{tenant_id:String}} AND event_date = {{event_date:Date}} AND app_id = {{app_id:String}}
    AND conversion_id = {{conversion_id:String}}
ORDER BY waterfall_position = 0, waterfall_position, tier, touch_time DESC, touch_id
LIMIT {MAX_CANDIDATES}
"""  # noqa: S608 - as above
_RETURN = """
SELECT event_date FROM returning_sessions
WHERE tenant_id = {tenant_id:String} AND session_id = {conversion_id:String} LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class TraceRules:
    """The rules that decided, and the version in force on that date now; `version` None: no version has that hash."""

    ruleset_hash: str
    version: int | None
    version_in_force: int
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """One conversion: who has its credit, the candidates in the waterfall's order, and sentences about it.

    An organic conversion has match type and source `organic`, tier 5, and no touch. A reinstall that keeps its
    install's credit has that one's channel, and no touch either.
    """

    tenant_id: str
    event_date: dt.date
    app_id: str
    conversion_id: str
    conversion_type: str
    conversion_time: dt.datetime
    device_id: str
    install_id: str
    match_type: str
    tier: int
    touch_id: str
    touch_type: str
    touch_time: dt.datetime | None
    ctit_ms: int | None
    source: str
    medium: str
    campaign: str
    adgroup: str
    creative: str
    assists: Sequence[str]
    rules: TraceRules
    candidates_total: int
    candidates: tuple[ConsideredTouch, ...]
    notes: tuple[str, ...]


def read_trace(clickhouse: ClickHouse, registry: Registry, tenant_id: str, conversion_id: str) -> Trace:
    """The trace of an install, reinstall or re-engagement, by its event id; at most MAX_CANDIDATES candidates.

    Raises:
        TenantNotFoundError: there is no such tenant.
        TraceNotFoundError: the tenant's marts hold no such conversion; the message says what may be the cause.
        ClickHouseUnavailableError: ClickHouse does not answer.
    """
    registry.get(tenant_id)
    wanted = {"tenant_id": tenant_id, "conversion_id": conversion_id}
    found = _rows(clickhouse, _CONVERSION, wanted)
    if not found:
        raise TraceNotFoundError(_why_not(bool(_rows(clickhouse, _RETURN, wanted))))
    conversion = found[0]
    place = wanted | {"event_date": conversion["event_date"], "app_id": conversion["app_id"]}
    rows = _rows(clickhouse, _CANDIDATES, place)
    total = rows[0]["candidates_total"] if rows else 0
    candidates = tuple(ConsideredTouch.model_validate(row) for row in rows)
    rules = traced_rules(
        tenant_id,
        registry.rule_versions(tenant_id),
        conversion["event_date"],
        conversion.pop("ruleset_hash"),
    )
    return Trace(
        tenant_id=tenant_id,
        **conversion,
        rules=rules,
        candidates_total=total,
        candidates=candidates,
        notes=tuple(notes(conversion, candidates, total, rules)),
    )


def traced_rules(
    tenant_id: str, versions: Sequence[RuleVersion], date: dt.date, ruleset_hash: str
) -> TraceRules:
    """Which version the hash is: the one in force on the date where it has it, else the newest that does."""
    in_force = version_on(tenant_id, versions, date)
    if in_force.content_hash == ruleset_hash:
        return TraceRules(ruleset_hash, in_force.version, in_force.version, is_in_force=True)
    same = [
        one.version for one in (default_version(tenant_id), *versions) if one.content_hash == ruleset_hash
    ]
    return TraceRules(ruleset_hash, max(same, default=None), in_force.version, is_in_force=False)


def notes(
    conversion: dict[str, Any], candidates: Sequence[ConsideredTouch], total: int, rules: TraceRules
) -> list[str]:
    """What the rows alone do not say."""
    found = []
    if not total:
        found.append(
            "no click or impression is a candidate: none shares a click id, the referrer or the device in the 30 days "
            "before, none the network, user agent and OS version in the 24 hours before"
        )
    elif not any(candidate.candidate_rank for candidate in candidates):
        refused = sum(candidate.verdict in REFUSED for candidate in candidates)
        found.append(f"no candidate was eligible; {refused} of {total} were refused as fraud")
    if conversion["conversion_type"] == "reinstall":
        found.append(
            "a reinstall inside the re-attribution window without an eligible touch: "
            + (
                "it counts as organic"
                if conversion["match_type"] == "organic"
                else "it keeps its install's credit"
            )
        )
    if total > len(candidates):
        found.append(f"{total} candidates; here are the first {len(candidates)} in order")
    if not rules.is_in_force:
        found.append(
            f"decided under rules that are not those in force on {conversion['event_date']} now (version "
            f"{rules.version_in_force}): `unmogrowp backfill --select marts` decides that date again"
        )
    return found


def _why_not(is_return: bool) -> str:
    if is_return:
        return (
            "this session came back after the device's inactivity, but no click was eligible: it is no conversion, so "
            "nothing was credited"
        )
    return (
        "there is no trace of this id: it may not have landed (`unmogrowp ledger` shows what has), its date may not be "
        "computed yet (`unmogrowp backfill --select marts`), it may be another tenant's, or no install, reinstall or "
        "re-engagement"
    )


def _rows(clickhouse: ClickHouse, sql: str, parameters: Parameters) -> list[dict[str, Any]]:
    """Rows; none before the first slice of any tenant was computed, when there are no tables."""
    try:
        return clickhouse.query_rows(sql, parameters)
    except ClickHouseRefusedError as error:
        if not error.is_unknown_table:
            raise
        return []
