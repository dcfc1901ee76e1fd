"""The cohort heat map: retention, revenue to date and ROAS of installs by age, day 0 to day 180.

Short periods show a row per day; 90 days are shown by week and a year by 30 days, as 365 rows are no picture.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tenant_plane.mart_store import MartStore, Row
from tenant_plane.report_views import CohortCell, CohortRow, Cohorts
from tenant_plane.reports.periods import Window, day, newest_window, ratio, whole

# every day of the first week, where most people leave, then wider
AGES = (0, 1, 2, 3, 4, 5, 6, 7, 14, 21, 30, 45, 60, 90, 120, 150, 180)
DAYS_PER_ROW = {"7d": 1, "30d": 1, "90d": 7, "365d": 30}
COHORTS = """
SELECT cohort_date, day_n, source = 'organic' AS is_organic, sum(cohort_size) AS size,
    sum(active_devices) AS active_devices, sum(revenue_micros) AS revenue_micros, sum(spend_micros) AS spend_micros
FROM slices WHERE cohort_date BETWEEN $first AND $last AND ($source = '' OR source = $source)
GROUP BY cohort_date, day_n, is_organic
"""
SOURCES = "SELECT DISTINCT source FROM slices WHERE cohort_date >= $first ORDER BY source"


@dataclass
class Cohort:
    """The installs of one day: size and spend of day 0, activity and revenue by age."""

    size: int = 0
    spend_micros: int = 0
    active: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    revenue_micros: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    paid_revenue_micros: dict[int, int] = field(default_factory=lambda: defaultdict(int))


Days = dict[dt.date, Cohort]


def cohorts(tenant_id: str, period: str, source: str, marts: MartStore) -> Cohorts:
    """The heat map of the installs of a period, of one source or (empty) of all."""
    window = newest_window(marts, period)
    if window is None:
        return Cohorts(
            tenant_id=tenant_id,
            period=period,
            from_=None,
            to=None,
            source=source,
            sources=[],
            days=[],
            rows=[],
            overall=[],
            previous=[],
        )
    now = by_day(_read(marts, window, window.end, source))
    before = by_day(_read(marts, window.previous, window.end, source))
    ages = [age for age in AGES if age <= (window.end - window.start).days]
    groups = grouped(window, DAYS_PER_ROW[period])
    known = marts.query(SOURCES, "cohorts", window.start, window.end, {"first": window.start})
    return Cohorts(
        tenant_id=tenant_id,
        period=period,
        from_=window.start,
        to=window.end,
        source=source,
        sources=[str(row["source"]) for row in known],
        days=ages,
        rows=[cohort_row(group, now, ages, window.end) for group in groups],
        overall=overall(window.dates, now, ages, window.end),
        previous=overall(window.previous.dates, before, ages, window.end),
    )


def by_day(rows: Iterable[Row]) -> Days:
    """The mart's rows by the day of the install."""
    found: Days = defaultdict(Cohort)
    for row in rows:
        cohort, age = found[day(row, "cohort_date")], whole(row, "day_n")
        if age == 0:
            cohort.size += whole(row, "size")
            cohort.spend_micros += whole(row, "spend_micros")
        cohort.active[age] += whole(row, "active_devices")
        cohort.revenue_micros[age] += whole(row, "revenue_micros")
        if not row["is_organic"]:
            cohort.paid_revenue_micros[age] += whole(row, "revenue_micros")
    return dict(found)


def grouped(window: Window, size: int) -> list[Window]:
    """The window in rows of `size` days, newest first; the oldest row takes what is left."""
    groups: list[Window] = []
    end = window.end
    while end >= window.start:
        start = max(window.start, end - dt.timedelta(days=size - 1))
        groups.append(Window(start, end))
        end = start - dt.timedelta(days=1)
    return groups


def cohort_row(group: Window, days: Days, ages: Sequence[int], latest: dt.date) -> CohortRow:
    """One row: its cells end where its youngest day has not reached the age."""
    reached = [age for age in ages if group.end + dt.timedelta(days=age) <= latest]
    there = [days[date] for date in group.dates if date in days]
    return CohortRow(
        from_=group.start,
        to=group.end,
        size=sum(cohort.size for cohort in there),
        spend_micros=sum(cohort.spend_micros for cohort in there),
        cells=[cell(age, there) for age in reached],
    )


def overall(dates: Iterable[dt.date], days: Days, ages: Sequence[int], latest: dt.date) -> list[CohortCell]:
    """Every age over all the days that have reached it; weighted by installs, as the sums are."""
    known = [date for date in dates if date in days]
    return [cell(age, [days[date] for date in known if (latest - date).days >= age]) for age in ages]


def cell(age: int, there: Sequence[Cohort]) -> CohortCell:
    """Sums over cohorts that have all reached the age, then the ratios."""
    size = sum(cohort.size for cohort in there)
    return CohortCell(
        day=age,
        retention=ratio(sum(cohort.active.get(age, 0) for cohort in there), size),
        revenue_per_install_micros=ratio(_to_date([cohort.revenue_micros for cohort in there], age), size),
        roas=ratio(
            _to_date([cohort.paid_revenue_micros for cohort in there], age),
            sum(cohort.spend_micros for cohort in there),
        ),
    )


def _to_date(by_age: Iterable[dict[int, int]], age: int) -> int:
    return sum(micros for one in by_age for at, micros in one.items() if at <= age)


def _read(marts: MartStore, window: Window, latest: dt.date, source: str) -> list[Row]:
    parameters = {"first": window.start, "last": window.end, "source": source}
    return marts.query(COHORTS, "cohorts", window.start, latest, parameters)
