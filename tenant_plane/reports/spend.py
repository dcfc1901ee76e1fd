"""Ad spend and what it brought, by day and by source; last-touch credit, paid sources alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.report_views import Spend, SpendDay, SpendRow, SpendTotals
from tenant_plane.reports.periods import Window, coverage, day, newest_window, ratio, total, whole

BY_DAY = """
SELECT event_date, sum(spend_micros) AS spend_micros, sum(revenue_micros) AS revenue_micros,
    sum(installs) AS installs
FROM slices WHERE model = 'last_touch' AND source <> 'organic' GROUP BY event_date
"""
BY_SOURCE = """
SELECT source, sum(spend_micros) AS spend_micros, sum(impressions) AS impressions, sum(clicks) AS clicks,
    sum(installs) AS installs, sum(revenue_micros) AS revenue_micros
FROM slices WHERE model = 'last_touch' AND source <> 'organic' GROUP BY source
"""
NOTHING: Row = dict.fromkeys(("spend_micros", "revenue_micros", "installs"), 0)


def spend(tenant_id: str, period: str, marts: MartStore) -> Spend:
    """Spend of the period that ends at the newest date with KPIs."""
    window = newest_window(marts, period)
    now = [] if window is None else _read(BY_DAY, marts, window)
    before = [] if window is None else _read(BY_DAY, marts, window.previous)
    sources = [] if window is None else _read(BY_SOURCE, marts, window)
    sources_before = [] if window is None else _read(BY_SOURCE, marts, window.previous)
    pushed = {each.date for each in marts.slices() if each.mart == "campaign_daily"}
    reported_days, previous_days = coverage(marts, "campaign_daily", window)
    return Spend(
        tenant_id=tenant_id,
        period=period,
        from_=window.start if window else None,
        to=window.end if window else None,
        totals=totals(now, reported_days),
        previous=totals(before, previous_days),
        daily=days(window.dates if window else [], now, pushed),
        rows=rows_by_source(sources, sources_before),
    )


def totals(rows: list[Row], reported_days: int) -> SpendTotals:
    """Sums over the days, and the ratios of the sums."""
    spend_micros, revenue_micros, installs = (
        total(rows, name) for name in ("spend_micros", "revenue_micros", "installs")
    )
    return SpendTotals(
        reported_days=reported_days,
        spend_micros=spend_micros,
        paid_revenue_micros=revenue_micros,
        paid_installs=installs,
        roas=ratio(revenue_micros, spend_micros),
        cpi_micros=ratio(spend_micros, installs),
    )


def days(dates: Iterable[dt.date], rows: Iterable[Row], pushed: set[dt.date]) -> list[SpendDay]:
    """Every date of the period, in order; one without paid rows is zero, one never pushed says so."""
    by_date = {day(row, "event_date"): row for row in rows}
    return [_day(date, by_date.get(date, NOTHING), date in pushed) for date in dates]


def rows_by_source(now: Iterable[Row], before: Iterable[Row]) -> list[SpendRow]:
    """Sources of either period, dearest first."""
    current = {str(row["source"]): row for row in now}
    earlier = {str(row["source"]): row for row in before}
    found = [
        _row(source, current.get(source), earlier.get(source, NOTHING)) for source in current.keys() | earlier
    ]
    return sorted(found, key=lambda row: (-row.spend_micros, -row.revenue_micros, row.source))


def _day(date: dt.date, row: Row, reported: bool) -> SpendDay:
    return SpendDay(
        date=date,
        reported=reported,
        spend_micros=whole(row, "spend_micros"),
        paid_revenue_micros=whole(row, "revenue_micros"),
        paid_installs=whole(row, "installs"),
        roas=ratio(whole(row, "revenue_micros"), whole(row, "spend_micros")),
        cpi_micros=ratio(whole(row, "spend_micros"), whole(row, "installs")),
    )


def _row(source: str, row: Row | None, before: Row) -> SpendRow:
    now = row or {**NOTHING, "impressions": 0, "clicks": 0}
    spend_micros, revenue_micros = whole(now, "spend_micros"), whole(now, "revenue_micros")
    return SpendRow(
        source=source,
        spend_micros=spend_micros,
        impressions=whole(now, "impressions"),
        clicks=whole(now, "clicks"),
        installs=whole(now, "installs"),
        revenue_micros=revenue_micros,
        roas=ratio(revenue_micros, spend_micros),
        cpi_micros=ratio(spend_micros, whole(now, "installs")) if spend_micros else None,
        previous_spend_micros=whole(before, "spend_micros"),
        previous_revenue_micros=whole(before, "revenue_micros"),
        previous_roas=ratio(whole(before, "revenue_micros"), whole(before, "spend_micros")),
    )


def _read(sql: str, marts: MartStore, window: Window) -> list[Row]:
    return marts.query(sql, "campaign_daily", window.start, window.end)
