"""Periods of the dashboard, and reading numbers out of the store's rows. No marts' names belong here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from tenant_plane.mart_store import MartStore, Row

DAYS_OF: dict[str, int] = {"7d": 7, "30d": 30, "90d": 90, "365d": 365}


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


def newest_window(marts: MartStore, period: str) -> Window | None:
    """The period that ends at the newest date with KPIs, not today; none before the first push."""
    latest = marts.latest_date("kpi_daily")
    return None if latest is None else window_ending(latest, period)


def coverage(marts: MartStore, mart: str, window: Window | None) -> tuple[int, int]:
    """Days of the window, and of the one before, that were pushed: less before would make all look like growth."""
    if window is None:
        return 0, 0
    pushed = {each.date for each in marts.slices() if each.mart == mart}
    return len(pushed.intersection(window.dates)), len(pushed.intersection(window.previous.dates))


def window_ending(end: dt.date, period: str) -> Window:
    """The period whose last date is `end`."""
    return Window(end - dt.timedelta(days=DAYS_OF[period] - 1), end)


def whole(row: Row, column: str) -> int:
    """An integer of a row."""
    return int(cast("int", row[column]))


def real(row: Row, column: str) -> float:
    """A fraction of a row."""
    return float(cast("float", row[column]))


def day(row: Row, column: str) -> dt.date:
    """A date of a row."""
    return cast("dt.date", row[column])


def total(rows: Iterable[Row], column: str) -> int:
    """The sum of a column."""
    return sum(whole(row, column) for row in rows)


def ratio(dividend: float, divisor: float) -> float | None:
    """None where there is nothing to divide by."""
    return dividend / divisor if divisor else None


def moment(unix_ms: int | None) -> dt.datetime | None:
    """A moment in UTC."""
    return None if unix_ms is None else dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
