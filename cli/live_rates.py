"""From counters at several moments to rates: what `status --watch` shows. Pure: moments come in, no clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.live_samples import Sample, Series, Values

EVENTS = "unmogrowp_ingest_events_total"
REQUESTS = "unmogrowp_ingest_requests_total"
LANDED = ("unmogrowp_lander_rows_total", "unmogrowp_lander_quarantined_total")
MINUTE_S = 60.0
_REFUSED_FROM = 400  # HTTP statuses


def increase(before: Values, after: Values) -> dict[Series, float]:
    """What each counter grew by. A smaller value means a restart from zero; a new series began there."""
    grown = {}
    for series, value in after.items():
        earlier = before.get(series, 0.0)
        grown[series] = value - earlier if value >= earlier else value
    return grown


class Counters:
    """The counters of one service over the last minute."""

    def __init__(self, span_s: float = MINUTE_S) -> None:
        self._span_s = span_s
        self._seen: deque[tuple[float, Values]] = deque()

    def see(self, at_s: float, values: Values) -> None:
        """Take a look in; those older than the span go, but for one that reaches back over it."""
        self._seen.append((at_s, values))
        while len(self._seen) > 2 and self._seen[1][0] <= at_s - self._span_s:  # noqa: PLR2004 - a pair
            self._seen.popleft()

    def last_per_s(self) -> dict[Series, float] | None:
        """Growth per second between the last two looks; None until there are two."""
        if len(self._seen) < 2:  # noqa: PLR2004 - a pair
            return None
        (began_s, before), (ended_s, after) = self._seen[-2], self._seen[-1]
        return {series: grown / (ended_s - began_s) for series, grown in increase(before, after).items()}

    def over_span(self) -> dict[Series, float]:
        """Growth over the span, restarts and all."""
        total: dict[Series, float] = {}
        for (_, before), (_, after) in pairwise(self._seen):
            for series, grown in increase(before, after).items():
                total[series] = total.get(series, 0.0) + grown
        return total


def summed(values: Values | None, names: Iterable[str], **labels: str) -> float | None:
    """The sum of the series of these names that have these labels; None of no values."""
    if values is None:
        return None
    wanted, given = frozenset(names), labels.items()
    return sum(value for (name, pairs), value in values.items() if name in wanted and given <= set(pairs))


class Board:
    """What a series of samples says: `document` after each."""

    def __init__(self) -> None:
        self._door = Counters()
        self._lander = Counters()

    def document(
        self, sample: Sample, *, at: str, is_running: bool, tenants: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """The document of `status --watch --json` for a new sample. A rate that is not known yet is null."""
        for counters, look in ((self._door, sample.door), (self._lander, sample.lander)):
            if look.values is not None:
                counters.see(sample.at_s, look.values)
        return {
            "at": at,
            "running": is_running,
            "door": self._door_document(sample),
            "lander": self._lander_document(sample),
            "tenants": self._tenants(sample, tenants),
        }

    def _door_document(self, sample: Sample) -> dict[str, Any]:
        look = sample.door
        rates = self._door.last_per_s() if look.values is not None else None
        refused = {
            series: value
            for series, value in (rates or {}).items()
            if series[0] == REQUESTS and int(dict(series[1])["status"]) >= _REFUSED_FROM
        }
        return {
            "url": look.url,
            "state": look.state,
            "error": look.error,
            "events_per_s": _rounded(summed(rates, [EVENTS])),
            "quarantined_per_s": _rounded(summed(rates, [EVENTS], outcome="quarantined")),
            "requests_per_s": _rounded(summed(rates, [REQUESTS])),
            "refused_requests_per_s": _rounded(None if rates is None else sum(refused.values())),
            "log_bytes": _gauge(look.values, "unmogrowp_ingest_log_bytes"),
            "log_budget_bytes": _gauge(look.values, "unmogrowp_ingest_log_budget_bytes"),
        }

    def _lander_document(self, sample: Sample) -> dict[str, Any]:
        look, file = sample.lander, sample.lander_file
        rates = self._lander.last_per_s() if look.values is not None else None
        known = {
            "backlog_bytes": _gauge(look.values, "unmogrowp_lander_backlog_bytes"),
            "lag_s": _gauge(look.values, "unmogrowp_lander_lag_seconds"),
            "failures_in_a_row": _gauge(look.values, "unmogrowp_lander_failures_in_a_row"),
        }
        if look.values is None:  # away: what it last wrote of itself, which `as_of` dates
            known = {name: file.get(name) for name in known}
        return {
            "url": look.url,
            "state": look.state,
            "error": file.get("error") or look.error,
            "events_per_s": _rounded(summed(rates, LANDED)),
            **known,
            "last_commit_at": file.get("last_commit_at"),
            "as_of": file.get("at"),
        }

    def _tenants(self, sample: Sample, tenants: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rates = self._door.last_per_s() if sample.door.values is not None else None
        minute = self._door.over_span()
        counted = {dict(pairs)["tenant_id"] for name, pairs in minute if name == EVENTS}
        by_id: Mapping[str, dict[str, Any]] = {tenant["tenant_id"]: tenant for tenant in tenants}
        rows = []
        for tenant_id in sorted(counted | by_id.keys()):
            sent = summed(minute, [EVENTS], tenant_id=tenant_id) or 0.0
            refused = summed(minute, [EVENTS], tenant_id=tenant_id, outcome="quarantined") or 0.0
            known = by_id.get(tenant_id, {})
            rows.append(
                {
                    "tenant_id": tenant_id,
                    "events_per_s": _rounded(summed(rates, [EVENTS], tenant_id=tenant_id)),
                    "events_last_minute": int(sent),
                    "quarantined_last_minute": int(refused),
                    "quarantine_share_last_minute": round(refused / sent, 4) if sent else None,
                    **{name: known.get(name) for name in ("state", "raw_to", "clean_to", "scores_to")},
                }
            )
        return rows


def _gauge(values: Values | None, name: str) -> float | None:
    value = None if values is None else values.get((name, ()))
    return None if value is None or math.isnan(value) else value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
