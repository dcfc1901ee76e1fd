"""What the dashboard shows, computed from the tenant's own marts and scores.

Belongs here: periods, sums and ratios, as pure functions over the store's rows. Sums are integers
throughout, so they equal the mart's to the micro-unit.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import cast

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.score_store import ScoreStore
from tenant_plane.views import Campaign, Daily, DashboardStats, Freshness, HistogramBin, Ltv, Period, Totals

DAYS_OF: dict[Period, int] = {"7d": 7, "30d": 30, "90d": 90}
CAMPAIGNS_SHOWN_MODEL = "last_touch"

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
class Window:
    """Dates of a period, both included."""

    start: dt.date
    end: dt.date

    @property
    def dates(self) -> list[dt.date]:
        """Every date of the window."""
        return [self.start + dt.timedelta(days=n) for n in range((self.end - self.start).days + 1)]

    @property
    def previous(self) -> Window:
        """As many days, ending the day before."""
        length = self.end - self.start + dt.timedelta(days=1)
        return Window(self.start - length, self.end - length)


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
        latest_date=latest, pushed_at=_moment(max((s.pushed_at_ms for s in marts.slices()), default=None))
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
    window = Window(latest - dt.timedelta(days=DAYS_OF[period] - 1), latest)
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
    active = [_int(row, "active_users") for row in kpis]
    paid = [row for row in campaign_rows if row["source"] != "organic"]
    paid_installs = _sum(installs, "installs") - _sum(installs, "organic")
    paid_revenue_micros, spend_micros = _sum(paid, "revenue_micros"), _sum(campaign_rows, "spend_micros")
    return Totals(
        reported_days=len(kpis),
        events=_sum(kpis, "events"),
        sessions=_sum(kpis, "sessions"),
        new_users=_sum(kpis, "new_users"),
        purchases=_sum(kpis, "purchases"),
        purchases_other_currency=_sum(kpis, "purchases_other_currency"),
        daily_active_users_mean=sum(active) / len(active) if active else 0.0,
        daily_active_users_peak=max(active, default=0),
        revenue_micros=_sum(kpis, "revenue_micros"),
        installs=_sum(installs, "installs"),
        organic_installs=_sum(installs, "organic"),
        paid_installs=paid_installs,
        paid_revenue_micros=paid_revenue_micros,
        spend_micros=spend_micros,
        roas=_ratio(paid_revenue_micros, spend_micros),
        cpi_micros=_ratio(spend_micros, paid_installs),
    )


def daily(rows: WindowRows) -> list[Daily]:
    """One entry per date of the window, in order; a date that was never pushed says so."""
    kpis = {row["event_date"]: row for row in rows.kpis}
    installs = {row["event_date"]: _int(row, "installs") for row in rows.installs}
    nothing: Row = dict.fromkeys(("events", "active_users", "new_users", "revenue_micros"), 0)
    return [
        Daily(
            date=date,
            reported=date in kpis,
            events=_int(kpis.get(date, nothing), "events"),
            active_users=_int(kpis.get(date, nothing), "active_users"),
            new_users=_int(kpis.get(date, nothing), "new_users"),
            revenue_micros=_int(kpis.get(date, nothing), "revenue_micros"),
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
            installs=_int(row, "installs"),
            revenue_micros=_int(row, "revenue_micros"),
            spend_micros=_int(row, "spend_micros"),
            clicks=_int(row, "clicks"),
            impressions=_int(row, "impressions"),
            roas=_ratio(_int(row, "revenue_micros"), _int(row, "spend_micros")),
            cpi_micros=_ratio(_int(row, "spend_micros"), _int(row, "installs")),
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
    latest = scores.latest()
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


def _int(row: Row, column: str) -> int:
    return int(cast("int", row[column]))


def _sum(rows: list[Row], column: str) -> int:
    return sum(_int(row, column) for row in rows)


def _ratio(dividend: int, divisor: int) -> float | None:
    return dividend / divisor if divisor else None


def _moment(unix_ms: int | None) -> dt.datetime | None:
    return None if unix_ms is None else dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
