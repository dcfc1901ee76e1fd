"""The ledger's arithmetic: what balances, and that nothing lost, doubled or made up does."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from resources.ledger import (
    CLEAN_COLUMNS,
    EVERY_LAND_SEQ,
    QUARANTINE_COLUMNS,
    RAW_COLUMNS,
    REPLAY_COLUMNS,
    LedgerDay,
    LedgerFrames,
    ledger_days,
)

DAY = dt.date(2026, 11, 10)
NEXT = DAY + dt.timedelta(days=1)
LATE_DAYS = 30
TYPES: dict[str, Any] = {
    "event_id": pl.String,
    "event_date": pl.Date,
    "land_seq": pl.Int64,
    "received_at": pl.Datetime("us", "UTC"),
    "received_date": pl.Date,
    "quarantine_id": pl.String,
    "reason_code": pl.String,
}


def at(hour: int, day: dt.date = DAY) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, 30, tzinfo=dt.UTC)


def frame(columns: tuple[str, ...], *rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={name: TYPES[name] for name in columns}, orient="row")


def refused(name: str, date: dt.date | None, received_at: dt.datetime, code: str = "bad_format") -> Any:
    return (name, date, received_at.date(), received_at, code)


# three deliveries of two events and one of the next day's, all but one landed before clean read the slice
RAW = (
    ("a", DAY, 1, at(8)),
    ("a", DAY, 2, at(9)),
    ("b", DAY, 3, at(9)),
    ("c", DAY, 9, at(10)),
    ("d", NEXT, 4, at(9)),
)
CLEAN = (("a", DAY, at(8), 1), ("b", DAY, at(9), 3))
QUARANTINE = (
    refused("q1", DAY, at(9)),
    refused("q2", None, at(9), "not_json"),
    refused("q3", dt.date(2094, 1, 1), at(10), "timestamp_in_future"),
    refused("q4", NEXT, at(9)),
)
WHOLE = LedgerFrames(
    frame(RAW_COLUMNS, *RAW),
    frame(CLEAN_COLUMNS, *CLEAN),
    frame(QUARANTINE_COLUMNS, *QUARANTINE),
    frame(REPLAY_COLUMNS),
)


def day_of(frames: LedgerFrames, below: int = 5) -> LedgerDay:
    [day] = ledger_days(frames, [DAY], {DAY: below}, LATE_DAYS)
    return day


def test_every_delivery_is_counted_under_one_name_in_its_hour() -> None:
    day = day_of(WHOLE)
    assert day.balances
    lines = {
        hour.hour: (line.received, line.clean, line.duplicate, line.not_yet_clean, line.quarantined)
        for hour, line in day.hours.items()
    }
    assert lines == {8: (1, 1, 0, 0, 0), 9: (4, 1, 1, 0, 2), 10: (2, 0, 0, 1, 1)}
    assert day.total.by_reason == {"bad_format": 1, "not_json": 1, "timestamp_in_future": 1}
    assert (day.total.received, day.total.accepted) == (7, 4)
    document = day.total.document()
    assert document["received"] == document["clean"] + document["duplicate"] + document[
        "not_yet_clean"
    ] + sum(document["by_reason"].values())


def test_a_date_without_anything_is_empty_and_balances() -> None:
    [day] = ledger_days(WHOLE, [dt.date(2026, 1, 1)], {}, LATE_DAYS)
    assert day.hours == {}
    assert day.balances
    assert day.total.received == 0


def test_a_slice_that_was_never_cleaned_is_not_yet_clean() -> None:
    day = day_of(replace(WHOLE, clean=WHOLE.clean.clear()), below=0)
    assert day.balances
    assert (day.total.clean, day.total.not_yet_clean) == (0, 4)


def test_a_replayed_delivery_moves_from_quarantined_to_accepted_once_it_has_landed() -> None:
    claimed = replace(WHOLE, replays=frame(REPLAY_COLUMNS, ("q1", "e", at(11))))
    assert day_of(claimed).total == day_of(WHOLE).total
    landed = replace(claimed, raw=frame(RAW_COLUMNS, *RAW, ("e", DAY, 10, at(11))))
    day = day_of(landed)
    assert day.balances
    assert (day.total.received, day.total.accepted, day.total.quarantined, day.total.replayed) == (7, 5, 2, 1)
    twice = replace(landed, raw=frame(RAW_COLUMNS, *RAW, ("e", DAY, 4, at(11)), ("e", DAY, 4 + 1, at(11))))
    assert day_of(twice).total.received == 8  # sent twice all the same: one of them is a duplicate


BROKEN = {
    "clean lost a row": replace(WHOLE, clean=WHOLE.clean.head(1)),
    "clean holds a row twice": replace(WHOLE, clean=pl.concat([WHOLE.clean, WHOLE.clean.head(1)])),
    "clean holds a made up row": replace(
        WHOLE, clean=frame(CLEAN_COLUMNS, ("a", DAY, at(8), 1), ("z", DAY, at(9), 3))
    ),
    "clean holds a repeat as well": replace(WHOLE, clean=frame(CLEAN_COLUMNS, *CLEAN, ("a", DAY, at(9), 2))),
    "a commit to raw was written twice": replace(WHOLE, raw=pl.concat([WHOLE.raw, WHOLE.raw.head(1)])),
    "raw lost a row that clean has": replace(WHOLE, raw=WHOLE.raw.filter(pl.col("event_id") != "b")),
    "a commit to quarantine was written twice": replace(
        WHOLE, quarantine=pl.concat([WHOLE.quarantine, WHOLE.quarantine.head(1)])
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_lost_doubled_or_made_up_does_not_balance(fault: str) -> None:
    assert day_of(WHOLE, EVERY_LAND_SEQ).total.missing == 1  # the one that was not there yet
    assert day_of(WHOLE).balances
    assert not day_of(BROKEN[fault]).balances


def test_a_refused_event_counts_on_its_own_date_within_the_late_window_else_on_the_day_it_came() -> None:
    oldest = DAY - dt.timedelta(days=LATE_DAYS + 1)
    dates = {"in": oldest, "out": oldest - dt.timedelta(days=1), "ahead": DAY + dt.timedelta(days=2)}
    rows = [refused(name, date, at(9)) for name, date in dates.items()]
    frames = replace(WHOLE, quarantine=frame(QUARANTINE_COLUMNS, *rows))
    days = ledger_days(frames, [DAY, *dates.values()], {DAY: 5}, LATE_DAYS)
    counted = {day.date: day.total.quarantined for day in days}
    assert counted == {DAY: 2, dates["in"]: 1, dates["out"]: 0, dates["ahead"]: 0}
