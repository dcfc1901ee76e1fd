"""The reports' pure functions, without a plane."""

from __future__ import annotations

import datetime as dt

from tenant_plane.mart_store import StoredSlice
from tenant_plane.reports.cohorts import Cohort, by_day, cell, cohort_row, grouped, overall
from tenant_plane.reports.data_state import mart_set
from tenant_plane.reports.periods import Window
from tests.e2e.dashboard_world import LAST


def test_groups_are_whole_from_the_newest_day_back() -> None:
    window = Window(dt.date(2026, 3, 1), dt.date(2026, 3, 9))
    assert grouped(window, 7) == [
        Window(dt.date(2026, 3, 3), dt.date(2026, 3, 9)),
        Window(dt.date(2026, 3, 1), dt.date(2026, 3, 2)),
    ]


def test_a_group_s_cells_end_where_its_youngest_day_is_too_young() -> None:
    days = {dt.date(2026, 3, 1): Cohort(size=10), dt.date(2026, 3, 2): Cohort(size=30)}
    group = Window(dt.date(2026, 3, 1), dt.date(2026, 3, 2))
    row = cohort_row(group, days, [0, 1, 2], dt.date(2026, 3, 3))
    assert [each.day for each in row.cells] == [0, 1]
    assert row.size == 40
    all_days = overall(group.dates, days, [0, 1, 2], dt.date(2026, 3, 3))
    assert [each.retention for each in all_days] == [0, 0, 0]  # of day 2, the older ten alone
    assert overall(group.dates, days, [3], dt.date(2026, 3, 3))[0].retention is None


def test_activity_without_an_install_day_has_no_ratio() -> None:
    rows: list[dict[str, object]] = [
        {
            "cohort_date": LAST,
            "day_n": 1,
            "is_organic": False,
            "size": 0,
            "active_devices": 3,
            "revenue_micros": 9,
            "spend_micros": 0,
        }
    ]
    only = by_day(rows)[LAST]
    assert cell(1, [only]).retention is None
    assert only.paid_revenue_micros[1] == 9


def test_days_missing_between_the_first_and_the_newest_are_counted() -> None:
    there = [StoredSlice("installs", LAST - dt.timedelta(days=age), 1, 5) for age in (0, 1, 4)]
    assert mart_set("installs", there, 10).missing_days == 2
    assert mart_set("installs", [], 0).missing_days == 0
