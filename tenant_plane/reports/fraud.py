"""Fraud by source and rule: what was rejected before credit, what is flagged after it, and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.report_views import Fraud, FraudDay, FraudFinding, FraudTotals
from tenant_plane.reports.periods import Window, coverage, day, newest_window, real, whole

FINDINGS = """
SELECT source, rule, verdict, count(DISTINCT event_date) AS days, sum(touches) AS touches,
    sum(installs) AS installs, max(share) AS highest_share, arg_max(norm, event_date) AS norm,
    max(event_date) AS latest_date, arg_max(reason, (event_date, app_id)) AS reason
FROM slices GROUP BY source, rule, verdict
"""
DAYS = """
SELECT event_date, coalesce(sum(touches) FILTER (verdict = 'rejected'), 0) AS rejected_touches,
    count(*) FILTER (verdict = 'flagged') AS flagged_findings
FROM slices GROUP BY event_date
"""
NOTHING: Row = {"touches": 0, "installs": 0, "rejected_touches": 0, "flagged_findings": 0}


def fraud(tenant_id: str, period: str, marts: MartStore) -> Fraud:
    """Findings of the period, those with most rejected touches first, then those about most installs."""
    window = newest_window(marts, period)
    now, days_now = _read(FINDINGS, marts, window), _read(DAYS, marts, window)
    earlier = window.previous if window else None
    before, days_before = _read(FINDINGS, marts, earlier), _read(DAYS, marts, earlier)
    pushed = {each.date for each in marts.slices() if each.mart == "fraud_daily"}
    reported_days, previous_days = coverage(marts, "fraud_daily", window)
    return Fraud(
        tenant_id=tenant_id,
        period=period,
        from_=window.start if window else None,
        to=window.end if window else None,
        totals=totals(days_now, now, reported_days),
        previous=totals(days_before, before, previous_days),
        daily=days(window.dates if window else [], days_now, pushed),
        findings=findings(now, before),
    )


def totals(by_day: Iterable[Row], found: Iterable[Row], reported_days: int) -> FraudTotals:
    """Sums over the days, and how many sources something was found of."""
    rows = list(by_day)
    return FraudTotals(
        reported_days=reported_days,
        rejected_touches=sum(whole(row, "rejected_touches") for row in rows),
        flagged_findings=sum(whole(row, "flagged_findings") for row in rows),
        sources=len({row["source"] for row in found}),
    )


def days(dates: Iterable[dt.date], rows: Iterable[Row], pushed: set[dt.date]) -> list[FraudDay]:
    """Every date of the period; a date that was pushed without rows had no fraud."""
    by_date = {day(row, "event_date"): row for row in rows}
    return [
        FraudDay(
            date=date,
            reported=date in pushed,
            rejected_touches=whole(by_date.get(date, NOTHING), "rejected_touches"),
            flagged_findings=whole(by_date.get(date, NOTHING), "flagged_findings"),
        )
        for date in dates
    ]


def findings(now: Iterable[Row], before: Iterable[Row]) -> list[FraudFinding]:
    """One finding per source, rule and verdict of the period."""
    earlier = {_key(row): row for row in before}
    found = [_finding(row, earlier.get(_key(row), NOTHING)) for row in now]
    return sorted(found, key=lambda one: (-one.touches, -one.installs, one.source, one.rule))


def _finding(row: Row, before: Row) -> FraudFinding:
    return FraudFinding(
        source=str(row["source"]),
        rule=str(row["rule"]),
        verdict=str(row["verdict"]),
        days=whole(row, "days"),
        touches=whole(row, "touches"),
        installs=whole(row, "installs"),
        highest_share=real(row, "highest_share"),
        norm=real(row, "norm"),
        latest_date=day(row, "latest_date"),
        reason=str(row["reason"]),
        previous_touches=whole(before, "touches"),
        previous_installs=whole(before, "installs"),
    )


def _key(row: Row) -> tuple[object, ...]:
    return row["source"], row["rule"], row["verdict"]


def _read(sql: str, marts: MartStore, window: Window | None) -> list[Row]:
    return [] if window is None else marts.query(sql, "fraud_daily", window.start, window.end)
