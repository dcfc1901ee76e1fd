"""The funnel: device-days from impression to purchase, in two halves, over all sources or one.

A device counts once per day and channel at a step, so a period's number is of device-days: the mart holds no
devices to count once over many days.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.report_views import Funnel, FunnelRow, FunnelStep
from tenant_plane.reports.periods import Window, coverage, newest_window, ratio, whole

FIRST_STEP_OF_INSTALLS = 3
STEPS = """
SELECT step_index, step, sum(devices) AS devices FROM slices WHERE ($source = '' OR source = $source)
GROUP BY step_index, step ORDER BY step_index, step
"""
CHANNELS = """
SELECT source, campaign,
    coalesce(sum(devices) FILTER (step = 'impression'), 0) AS impressions,
    coalesce(sum(devices) FILTER (step = 'click'), 0) AS clicks,
    coalesce(sum(devices) FILTER (step = 'install'), 0) AS installs,
    coalesce(sum(devices) FILTER (step = 'session'), 0) AS sessions,
    coalesce(sum(devices) FILTER (step = 'event'), 0) AS events,
    coalesce(sum(devices) FILTER (step = 'purchase'), 0) AS purchases
FROM slices WHERE ($source = '' OR source = $source)
GROUP BY source, campaign ORDER BY installs DESC, impressions DESC, source, campaign
"""
SOURCES = "SELECT DISTINCT source FROM slices ORDER BY source"


def funnel(tenant_id: str, period: str, source: str, marts: MartStore) -> Funnel:
    """The funnel of a period, of one source or (empty) of all."""
    window = newest_window(marts, period)
    asked: dict[str, object] = {"source": source}
    now = _read(STEPS, marts, window, asked)
    before = _read(STEPS, marts, window.previous if window else None, asked)
    reported_days, previous_days = coverage(marts, "funnel_daily", window)
    return Funnel(
        tenant_id=tenant_id,
        period=period,
        from_=window.start if window else None,
        to=window.end if window else None,
        reported_days=reported_days,
        previous_reported_days=previous_days,
        source=source,
        sources=[str(row["source"]) for row in _read(SOURCES, marts, window, {})],
        steps=steps(now, before),
        rows=[_row(row) for row in _read(CHANNELS, marts, window, asked)],
    )


def steps(now: Iterable[Row], before: Iterable[Row]) -> list[FunnelStep]:
    """The steps in order, each against the first and the earlier one of its half."""
    previous = {row["step"]: whole(row, "devices") for row in before}
    found: list[FunnelStep] = []
    for row in now:
        index, devices = whole(row, "step_index"), whole(row, "devices")
        half = _half(index)
        same_half = [step for step in found if step.half == half]
        found.append(
            FunnelStep(
                step_index=index,
                step=str(row["step"]),
                half=half,
                devices=devices,
                previous_devices=previous.get(row["step"], 0),
                share_of_first=ratio(devices, same_half[0].devices) if same_half else None,
                share_of_earlier=ratio(devices, same_half[-1].devices) if same_half else None,
            )
        )
    return found


def _half(step_index: int) -> Literal["before_install", "from_install"]:
    return "before_install" if step_index < FIRST_STEP_OF_INSTALLS else "from_install"


def _row(row: Row) -> FunnelRow:
    names = ("impressions", "clicks", "installs", "sessions", "events", "purchases")
    numbers = {name: whole(row, name) for name in names}
    return FunnelRow(source=str(row["source"]), campaign=str(row["campaign"]), **numbers)


def _read(sql: str, marts: MartStore, window: Window | None, parameters: dict[str, object]) -> list[Row]:
    if window is None:
        return []
    return marts.query(sql, "funnel_daily", window.start, window.end, parameters)
