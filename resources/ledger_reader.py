"""Reads the ledger's rows from the lake: only the columns it counts, only the days they can be in.

Counting is `resources.ledger`'s. Every table is read at one snapshot: clean first, then raw, so that what clean
holds is in what is read of raw.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import dropwhile
from typing import TYPE_CHECKING

from resources.errors import SnapshotExpiredError
from resources.lake import RAW_SNAPSHOT_KEY
from resources.lake_filters import all_of, any_of, day_shifted, equals, is_in, received_between
from resources.lake_history import LAND_SEQ_KEY, kept_snapshots, landed_until
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

if TYPE_CHECKING:
    import polars as pl
    from pyiceberg.table import Table

    from resources.lake import Lake, SnapshotChange


def ledger_now(lake: Lake, tenant_id: str, dates: Sequence[dt.date], late_days: int) -> list[LedgerDay]:
    """The ledger of these event dates as the lake is now; what landed since clean read a slice is not yet clean."""
    changes, _ = lake.changes_since("clean.events", None)
    clean_snapshot = changes[-1].snapshot_id if changes else None
    frames = read_frames(lake, tenant_id, dates, late_days, clean_snapshot=clean_snapshot)
    raw_table = lake.table("raw.events")
    cleaned_below = {
        date: _cleaned_below(raw_table, frames.clean, date, _newest_commit(changes, tenant_id, [date]))
        for date in dates
    }
    return ledger_days(frames, dates, cleaned_below, late_days)


def ledger_of_run(lake: Lake, tenant_id: str, dates: Sequence[dt.date], late_days: int) -> list[LedgerDay]:
    """The ledger of slices that one run has just made: everything clean read must be accounted for in clean.

    What landed since then is the next run's; counting it here would fail the slice for having been on time.
    """
    changes, _ = lake.changes_since("clean.events", None)
    commit = _newest_commit(changes, tenant_id, dates)
    raw_snapshot = _raw_snapshot_of(commit) if commit is not None else None
    frames = read_frames(
        lake,
        tenant_id,
        dates,
        late_days,
        clean_snapshot=changes[-1].snapshot_id if changes else None,
        raw_snapshot=raw_snapshot,
    )
    return ledger_days(frames, dates, dict.fromkeys(dates, EVERY_LAND_SEQ), late_days)


def read_frames(
    lake: Lake,
    tenant_id: str,
    dates: Sequence[dt.date],
    late_days: int,
    *,
    clean_snapshot: int | None = None,
    raw_snapshot: int | None = None,
) -> LedgerFrames:
    """The rows that count on these dates, and the deliveries that may repeat an id of them.

    An event is taken for `late_days`, so its deliveries, repeats and replays, and the refusals that count on its
    date, all lie within that many days of it.
    """
    margin_days = late_days + 2
    first, end = day_shifted(min(dates), -margin_days), day_shifted(max(dates), margin_days + 1)
    near = received_between(tenant_id, first, end)
    counted_here = any_of(
        is_in("event_date", dates),
        is_in("received_date", dates),  # no date of its own, or one the door could not have taken
    )
    clean_slices = all_of(equals("tenant_id", tenant_id), is_in("event_date", dates))
    return LedgerFrames(
        clean=lake.read("clean.events", clean_slices, CLEAN_COLUMNS, clean_snapshot),
        raw=lake.read("raw.events", near, RAW_COLUMNS, raw_snapshot),
        quarantine=lake.read("raw.quarantine", all_of(near, counted_here), QUARANTINE_COLUMNS),
        replays=lake.read(
            "raw.replays", received_between(tenant_id, first, end, "quarantined_at"), REPLAY_COLUMNS
        ),
    )


def _newest_commit(
    changes: Sequence[SnapshotChange], tenant_id: str, dates: Sequence[dt.date]
) -> SnapshotChange | None:
    """The newest commit to clean.events that made all of these slices; None when there is none (any more)."""
    for change in reversed(changes):
        if set(dates) <= set(change.slices.get(tenant_id, ())):
            return change
    return None


def _raw_snapshot_of(commit: SnapshotChange) -> int | None:
    return int(commit.summary.get(RAW_SNAPSHOT_KEY) or 0) or None


def _cleaned_below(raw: Table, clean: pl.DataFrame, date: dt.date, commit: SnapshotChange | None) -> int:
    """The `land_seq` from which on clean had read nothing when it made the slice.

    The commit names its snapshot of raw.events, which says the next `land_seq`. Where one of the two has expired,
    the slice's newest row says up to where clean had read at least.
    """
    next_land_seq = _land_seq_at(raw, _raw_snapshot_of(commit)) if commit is not None else None
    if next_land_seq is not None:
        return next_land_seq
    newest = clean.filter(clean["event_date"] == date)["land_seq"].max()
    return newest + 1 if isinstance(newest, int) else 0


def _land_seq_at(raw: Table, snapshot_id: int | None) -> int | None:
    """The next `land_seq` after a snapshot of raw.events; a compaction has none: the snapshot before it counts."""
    if snapshot_id is None:
        return None
    newest_first = kept_snapshots(raw)[::-1]
    known = dropwhile(lambda snapshot: snapshot.snapshot_id != snapshot_id, newest_first)
    for snapshot in known:
        if LAND_SEQ_KEY in snapshot.summary:
            return int(snapshot.summary[LAND_SEQ_KEY])
    try:
        return landed_until(raw, snapshot_id)
    except SnapshotExpiredError:
        return None
