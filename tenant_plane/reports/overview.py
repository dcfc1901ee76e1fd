"""The overview: key figures of a period and the one before, days, campaigns by last touch, predicted values."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.reports.periods import Window, moment, ratio, total, whole, window_ending
from tenant_plane.score_store import CHURN, ScoreStore
from tenant_plane.views import Campaign, Daily, DashboardStats, Freshness, HistogramBin, Ltv, Period, Totals

KPIS_BY_DAY = """
SELECT event_date, sum(events) AS events, sum(active_users) AS active_users, sum(new_users) AS new_users,
    sum(sessions) AS sessions, sum(purchases) AS purchases, sum(revenue_micros) AS revenue_micros,
    sum(purchases_other_currency) AS purchases_other_currency
FROM slices GROUP BY event_date
"""
INSTALLS_BY_DAY = """
SELECT event_date, count(*) AS installs, count(*) FILTER (match_type = 'organic') AS organic
FROM slices GROUP BY event_date
"""
CAMPAIGNS = """
SELECT source, campaign, sum(installs) AS installs, sum(revenue_micros) AS revenue_micros,
    sum(spend_micros) AS spend_micros, sum(clicks) AS clicks, sum(impressions) AS impressions
FROM slices WHERE model = 'last_touch' GROUP BY source, campaign
"""


@dataclass(frozen=True)
class WindowRows:
    """A window and the marts' sums in it."""

    window: Window
    kpis: list[Row]
    installs: list[Row]
    campaigns: list[Row]


def stats(tenant_id: str, period: Period, marts: MartStore, scores: ScoreStore) -> DashboardStats:
    """The dashboard's numbers for the period that ends at the newest date with KPIs."""
    latest = marts.latest_date("kpi_daily")
    freshness = Freshness(
        latest_date=latest, pushed_at=moment(max((s.pushed_at_ms for s in marts.slices()), default=None))
    )
    if latest is None:
        return DashboardStats(
            tenant_id=tenant_id,
            period=period,
            from_=None,
            to=None,
            totals=totals([], [], []),
            previous=totals([], [], []),
            daily=[],
            campaigns=[],
            ltv=_ltv(scores),
            freshness=freshness,
        )
    window = window_ending(latest, period)
    now, before = _read(marts, window), _read(marts, window.previous)
    return DashboardStats(
        tenant_id=tenant_id,
        period=period,
        from_=window.start,
        to=window.end,
        totals=totals(now.kpis, now.installs, now.campaigns),
        previous=totals(before.kpis, before.installs, before.campaigns),
        daily=daily(now),
        campaigns=campaigns(now.campaigns),
        ltv=_ltv(scores),
        freshness=freshness,
    )


def totals(kpis: list[Row], installs: list[Row], campaign_rows: list[Row]) -> Totals:
    """Sums over a window's rows, and the ratios of the sums."""
    active = [whole(row, "active_users") for row in kpis]
    paid = [row for row in campaign_rows if row["source"] != "organic"]
    paid_installs = total(installs, "installs") - total(installs, "organic")
    paid_revenue_micros, spend_micros = total(paid, "revenue_micros"), total(campaign_rows, "spend_micros")
    return Totals(
        reported_days=len(kpis),
        events=total(kpis, "events"),
        sessions=total(kpis, "sessions"),
        new_users=total(kpis, "new_users"),
        purchases=total(kpis, "purchases"),
        purchases_other_currency=total(kpis, "purchases_other_currency"),
        daily_active_users_mean=sum(active) / len(active) if active else 0.0,
        daily_active_users_peak=max(active, default=0),
        revenue_micros=total(kpis, "revenue_micros"),
        installs=total(installs, "installs"),
        organic_installs=total(installs, "organic"),
        paid_installs=paid_installs,
        paid_revenue_micros=paid_revenue_micros,
        spend_micros=spend_micros,
        roas=ratio(paid_revenue_micros, spend_micros),
        cpi_micros=ratio(spend_micros, paid_installs),
    )


def daily(rows: WindowRows) -> list[Daily]:
    """One entry per date of the window, in order; a date that was never pushed says so."""
    kpis = {row["event_date"]: row for row in rows.kpis}
    installs = {row["event_date"]: whole(row, "installs") for row in rows.installs}
    nothing: Row = dict.fromkeys(("events", "active_users", "new_users", "revenue_micros"), 0)
    return [
        Daily(
            date=date,
            reported=date in kpis,
            events=whole(kpis.get(date, nothing), "events"),
            active_users=whole(kpis.get(date, nothing), "active_users"),
            new_users=whole(kpis.get(date, nothing), "new_users"),
            revenue_micros=whole(kpis.get(date, nothing), "revenue_micros"),
            installs=installs.get(date, 0),
        )
        for date in rows.window.dates
    ]


def campaigns(rows: list[Row]) -> list[Campaign]:
    """Campaigns of a window, dearest first, then most installs, then by name."""
    found = [
        Campaign(
            source=str(row["source"]),
            campaign=str(row["campaign"]),
            installs=whole(row, "installs"),
            revenue_micros=whole(row, "revenue_micros"),
            spend_micros=whole(row, "spend_micros"),
            clicks=whole(row, "clicks"),
            impressions=whole(row, "impressions"),
            roas=ratio(whole(row, "revenue_micros"), whole(row, "spend_micros")),
            cpi_micros=ratio(whole(row, "spend_micros"), whole(row, "installs")),
        )
        for row in rows
    ]
    return sorted(found, key=lambda row: (-row.spend_micros, -row.installs, row.source, row.campaign))


def _read(marts: MartStore, window: Window) -> WindowRows:
    return WindowRows(
        window,
        kpis=marts.query(KPIS_BY_DAY, "kpi_daily", window.start, window.end),
        installs=marts.query(INSTALLS_BY_DAY, "installs", window.start, window.end),
        campaigns=marts.query(CAMPAIGNS, "campaign_daily", window.start, window.end),
    )


def _ltv(scores: ScoreStore) -> Ltv | None:
    latest = scores.latest(excluding=CHURN)
    found = None if latest is None else scores.distribution(latest)
    if latest is None or found is None:
        return None
    return Ltv(
        model=latest.model,
        as_of=latest.as_of,
        users=found.users,
        mean_micros=found.mean_micros,
        p50_micros=found.p50_micros,
        p90_micros=found.p90_micros,
        histogram=[HistogramBin(**vars(each)) for each in found.histogram],
    )
