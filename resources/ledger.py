"""The ledger: what became of every delivery of a tenant, per event date and hour of receipt. Pure.

Law 4, as it is counted here:

    received = clean + duplicate + not yet clean + quarantined

- `received`: distinct deliveries, by `land_seq` in raw.events and by `quarantine_id` in raw.quarantine; one that
  was replayed is in both tables and counts once, where it landed.
- `clean`: rows of clean.events. `duplicate`: deliveries whose event id landed before, as in clean.
- `not_yet_clean`: deliveries that landed after clean last read the slice.
- `quarantined`: rows of raw.quarantine whose event no replay has landed. `replayed`: deliveries (accepted ones)
  that a replay landed.

The right side counts rows and the left side distinct ids, so a row that is lost, doubled or made up on its way
does not balance. A refused event counts on its own date where the door could have taken one of that date, else
(no date, or one years off) on the day it was received. Reading is `ledger_reader`'s.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import polars as pl

EVERY_LAND_SEQ = 2**63 - 1
RAW_COLUMNS = ("event_id", "event_date", "land_seq", "received_at")
CLEAN_COLUMNS = ("event_id", "event_date", "received_at", "land_seq")
QUARANTINE_COLUMNS = ("quarantine_id", "event_date", "received_date", "received_at", "reason_code")
REPLAY_COLUMNS = ("quarantine_id", "event_id", "received_at")
_LINE = ["date", "hour"]
_Counts = dict[tuple[dt.date, dt.datetime], "LedgerCounts"]


@dataclass(frozen=True)
class LedgerFrames:
    """One tenant's rows, with the columns named above; `raw` holds every delivery that may repeat a date's ids."""

    raw: pl.DataFrame
    clean: pl.DataFrame
    quarantine: pl.DataFrame
    replays: pl.DataFrame


@dataclass
class LedgerCounts:
    """Counts of deliveries; see the module. `missing` should be in clean, `unexpected` should not."""

    received: int = 0
    accepted: int = 0
    clean: int = 0
    duplicate: int = 0
    not_yet_clean: int = 0
    quarantined: int = 0
    replayed: int = 0
    missing: int = 0
    unexpected: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)

    @property
    def balances(self) -> bool:
        """Whether every delivery is accounted for."""
        accounted = self.clean + self.duplicate + self.not_yet_clean + self.quarantined
        return (
            self.received == accounted
            and self.quarantined == self.by_reason.total()
            and not self.missing
            and not self.unexpected
        )

    def document(self) -> dict[str, Any]:
        """The counts as JSON."""
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            **counts,
            "by_reason": dict(sorted(self.by_reason.items(), key=lambda item: (-item[1], item[0]))),
            "balances": self.balances,
        }


@dataclass(frozen=True)
class LedgerDay:
    """One event date: its hours of receipt (UTC, ascending) with their counts."""

    date: dt.date
    hours: Mapping[dt.datetime, LedgerCounts]

    @property
    def total(self) -> LedgerCounts:
        """The hours together."""
        return total_of(self.hours.values())

    @property
    def balances(self) -> bool:
        """Whether every hour balances."""
        return all(counts.balances for counts in self.hours.values())

    def document(self) -> dict[str, Any]:
        """The day as JSON."""
        hours = [{"hour": hour.isoformat(), **counts.document()} for hour, counts in self.hours.items()]
        return {
            "date": self.date.isoformat(),
            "balances": self.balances,
            "total": self.total.document(),
            "hours": hours,
        }


def total_of(parts: Iterable[LedgerCounts]) -> LedgerCounts:
    """The sum of several counts."""
    total = LedgerCounts()
    for part in parts:
        for one in fields(LedgerCounts):
            setattr(total, one.name, getattr(total, one.name) + getattr(part, one.name))
    return total


def ledger_days(
    frames: LedgerFrames, dates: Sequence[dt.date], cleaned_below: Mapping[dt.date, int], late_days: int
) -> list[LedgerDay]:
    """One day per date, in the order of `dates`.

    Args:
        frames: the tenant's rows.
        dates: the event dates asked for.
        cleaned_below: date → deliveries with a smaller `land_seq` were there when clean read the slice.
        late_days: how old an event may be when it comes.
    """
    counts: dict[tuple[dt.date, dt.datetime], LedgerCounts] = {}
    landed = _landed(frames, dates, cleaned_below)
    replayed = _replayed(frames)
    refused = _refused(frames.quarantine, dates, late_days).with_columns(
        is_replayed=pl.col("quarantine_id").is_in(replayed["quarantine_id"].to_list())
    )
    _count_received(counts, landed, refused)
    _count_accepted(counts, landed, replayed)
    _count_clean(counts, landed, frames.clean.filter(pl.col("event_date").is_in(list(dates))))
    _count_refused(counts, refused.filter(~pl.col("is_replayed")))
    return [
        LedgerDay(date, {hour: counts[day, hour] for day, hour in sorted(counts) if day == date})
        for date in dates
    ]


def _landed(
    frames: LedgerFrames, dates: Sequence[dt.date], cleaned_below: Mapping[dt.date, int]
) -> pl.DataFrame:
    """Deliveries of the dates, each the first of its id or not, within clean's reach or not."""
    reach = pl.DataFrame(
        {"event_date": list(dates), "below": [cleaned_below.get(date, 0) for date in dates]},
        schema={"event_date": pl.Date, "below": pl.Int64},
    )
    first = frames.raw.sort("land_seq").with_columns(is_first=pl.col("event_id").is_first_distinct())
    return (
        first.join(reach, on="event_date", how="inner")
        .with_columns(is_reached=pl.col("land_seq") < pl.col("below"))
        .with_columns(_line_of("event_date"))
    )


def _replayed(frames: LedgerFrames) -> pl.DataFrame:
    """Claims of replays that have landed: quarantine_id, event_id, received_at."""
    return frames.replays.unique().join(frames.raw, on=["event_id", "received_at"], how="semi")


def _refused(quarantine: pl.DataFrame, dates: Sequence[dt.date], late_days: int) -> pl.DataFrame:
    """Refused deliveries that count on the dates."""
    received, event = pl.col("received_date"), pl.col("event_date")
    earliest, latest = received.dt.offset_by(f"-{late_days + 1}d"), received.dt.offset_by("1d")
    counted_on = pl.when(event.is_between(earliest, latest)).then(event).otherwise(received)
    return (
        quarantine.with_columns(counted_on=counted_on)
        .filter(pl.col("counted_on").is_in(list(dates)))
        .with_columns(_line_of("counted_on"))
    )


def _count_received(counts: _Counts, landed: pl.DataFrame, refused: pl.DataFrame) -> None:
    _add(counts, "received", landed.unique("land_seq"))
    _add(counts, "received", refused.unique("quarantine_id").filter(~pl.col("is_replayed")))


def _count_accepted(counts: _Counts, landed: pl.DataFrame, replayed: pl.DataFrame) -> None:
    _add(counts, "accepted", landed)
    _add(counts, "replayed", landed.join(replayed, on=["event_id", "received_at"], how="semi"))
    _add(counts, "not_yet_clean", landed.filter(~pl.col("is_reached")))
    _add(counts, "duplicate", landed.filter(pl.col("is_reached") & ~pl.col("is_first")))


def _count_clean(counts: _Counts, landed: pl.DataFrame, clean: pl.DataFrame) -> None:
    clean = clean.with_columns(_line_of("event_date"))
    due = landed.filter(pl.col("is_reached") & pl.col("is_first"))
    key = ["event_id", *_LINE]
    _add(counts, "clean", clean)
    _add(counts, "missing", due.join(clean, on=key, how="anti"))
    _add(counts, "unexpected", clean.join(due, on=key, how="anti"))


def _count_refused(counts: _Counts, refused: pl.DataFrame) -> None:
    _add(counts, "quarantined", refused)
    for date, hour, code, number in refused.group_by([*_LINE, "reason_code"]).len().iter_rows():
        counts[date, hour].by_reason[code] += number


def _add(counts: _Counts, name: str, rows: pl.DataFrame) -> None:
    """Count rows per line under a name."""
    for date, hour, number in rows.group_by(_LINE).len().iter_rows():
        line = counts.setdefault((date, hour), LedgerCounts())
        setattr(line, name, getattr(line, name) + number)


def _line_of(date_column: str) -> list[pl.Expr]:
    return [pl.col(date_column).alias("date"), pl.col("received_at").dt.truncate("1h").alias("hour")]
