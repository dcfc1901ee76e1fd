"""Credit by campaign under each model, the difference between two, and credit by channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.report_views import Attribution, AttributionRow, ChannelCredit, Channels, Model
from tenant_plane.reports.periods import Window, coverage, newest_window, ratio, real, whole

# fractions are added as decimals: a sum of doubles depends on the order in which threads come to it
CREDIT = """
SELECT model, source, campaign,
    CAST(sum(CAST(credited_installs AS DECIMAL(18, 6))) AS DOUBLE) AS installs, sum(revenue_micros) AS revenue_micros,
    sum(spend_micros) AS spend_micros, sum(clicks) AS clicks
FROM slices GROUP BY model, source, campaign
"""
CHANNELS = """
SELECT channel, model,
    CAST(coalesce(sum(CAST(conversions AS DECIMAL(18, 6))) FILTER (conversion_type = 'install'), 0) AS DOUBLE)
        AS installs,
    coalesce(sum(revenue_micros) FILTER (conversion_type = 'purchase'), 0) AS revenue_micros
FROM slices GROUP BY channel, model ORDER BY channel, model
"""

Key = tuple[str, str]
NOTHING: Row = {"installs": 0.0, "revenue_micros": 0, "spend_micros": 0, "clicks": 0}


def attribution(tenant_id: str, period: str, model: Model, against: Model, marts: MartStore) -> Attribution:
    """Campaigns of the period, dearest first."""
    window = newest_window(marts, period)
    now = [] if window is None else _read(CREDIT, "campaign_daily", marts, window)
    before = [] if window is None else _read(CREDIT, "campaign_daily", marts, window.previous)
    reported_days, previous_days = coverage(marts, "campaign_daily", window)
    return Attribution(
        tenant_id=tenant_id,
        period=period,
        from_=window.start if window else None,
        to=window.end if window else None,
        reported_days=reported_days,
        previous_reported_days=previous_days,
        model=model,
        against=against,
        models=sorted({str(row["model"]) for row in now}),
        rows=credit_rows(by_campaign(now, model), by_campaign(now, against), by_campaign(before, model)),
    )


def channels(tenant_id: str, period: str, marts: MartStore) -> Channels:
    """Every channel under every model."""
    window = newest_window(marts, period)
    now = [] if window is None else _read(CHANNELS, "channel_credits", marts, window)
    before = [] if window is None else _read(CHANNELS, "channel_credits", marts, window.previous)
    earlier = {(row["channel"], row["model"]): real(row, "installs") for row in before}
    return Channels(
        tenant_id=tenant_id,
        period=period,
        from_=window.start if window else None,
        to=window.end if window else None,
        rows=[
            ChannelCredit(
                channel=str(row["channel"]),
                model=str(row["model"]),
                installs=real(row, "installs"),
                revenue_micros=whole(row, "revenue_micros"),
                previous_installs=earlier.get((row["channel"], row["model"]), 0.0),
            )
            for row in now
        ],
    )


def by_campaign(rows: Iterable[Row], model: str) -> dict[Key, Row]:
    """One model's rows by source and campaign."""
    return {(str(row["source"]), str(row["campaign"])): row for row in rows if row["model"] == model}


def credit_rows(
    now: Mapping[Key, Row], other: Mapping[Key, Row], before: Mapping[Key, Row]
) -> list[AttributionRow]:
    """One row per campaign that either model knows; what a model does not credit is zero there."""
    rows = [
        _credit_row(key, now.get(key, NOTHING), other.get(key, NOTHING), before.get(key, NOTHING))
        for key in now.keys() | other.keys()
    ]
    return sorted(rows, key=lambda row: (-row.spend_micros, -row.installs, row.source, row.campaign))


def _credit_row(key: Key, now: Row, other: Row, before: Row) -> AttributionRow:
    installs, revenue_micros = real(now, "installs"), whole(now, "revenue_micros")
    # a campaign that only the other model credits has its spend in that model's rows: it is the same spend
    spend_micros = max(whole(now, "spend_micros"), whole(other, "spend_micros"))
    return AttributionRow(
        source=key[0],
        campaign=key[1],
        spend_micros=spend_micros,
        clicks=max(whole(now, "clicks"), whole(other, "clicks")),
        installs=installs,
        revenue_micros=revenue_micros,
        cpi_micros=ratio(spend_micros, installs) if spend_micros else None,
        roas=ratio(revenue_micros, spend_micros),
        against_installs=real(other, "installs"),
        against_revenue_micros=whole(other, "revenue_micros"),
        installs_difference=installs - real(other, "installs"),
        revenue_difference_micros=revenue_micros - whole(other, "revenue_micros"),
        previous_installs=real(before, "installs"),
        previous_revenue_micros=whole(before, "revenue_micros"),
    )


def _read(sql: str, mart: str, marts: MartStore, window: Window) -> list[Row]:
    return marts.query(sql, mart, window.start, window.end)
