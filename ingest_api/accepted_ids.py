"""Which of a replay's events have been accepted otherwise: event ids of raw.events, read a date at a time."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl

from resources.lake_filters import all_of, equals, received_between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest_api.replay_verdicts import Opened
    from resources.lake import Lake

DATES_REMEMBERED = 4  # dates whose accepted ids are held: 90 MB each at a million events a day


class AcceptedIds:
    """Which event ids raw.events holds, read a date at a time."""

    def __init__(self, lake: Lake, tenant_id: str, late_days: int) -> None:
        self._lake = lake
        self._tenant_id = tenant_id
        self._late = dt.timedelta(days=late_days + 2)
        self._by_date: dict[dt.date, pl.Series] = {}

    def among(self, rows: Iterable[Opened]) -> set[str]:
        """Those of the rows' event ids."""
        wanted: dict[dt.date, set[str]] = {}
        for opened in rows:
            for event_id, date in opened.events:
                wanted.setdefault(date, set()).add(event_id)
        found: set[str] = set()
        for date, event_ids in wanted.items():
            asked = pl.Series(sorted(event_ids), dtype=pl.String)
            found |= set(asked.filter(asked.is_in(self._of(date).implode())))
        return found

    def _of(self, date: dt.date) -> pl.Series:
        if date not in self._by_date:
            if len(self._by_date) >= DATES_REMEMBERED:
                self._by_date.pop(next(iter(self._by_date)))
            near = received_between(self._tenant_id, date - self._late, date + self._late)
            accepted = self._lake.read("raw.events", all_of(near, equals("event_date", date)), ["event_id"])
            self._by_date[date] = accepted["event_id"]
        return self._by_date[date]
