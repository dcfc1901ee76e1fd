"""Random arrivals of a small world: on time, late, twice, or taken back; and what is clean after each.

Pure functions over deliveries. What the marts make of it is `benchmarks.drills.restate`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from benchmarks.drills.small_worlds import Row

LATE_SHARE = 0.4  # of the events; the others come in the order in which they happened
TWICE_SHARE = 0.15
CHANGED_COPY_SHARE = 0.5  # of the second deliveries: another time or device, which must change nothing
WITHDRAWN_SHARE = 0.1


class Delivery(NamedTuple):
    """A row that arrives, or an event id that is taken back."""

    row: Row
    is_withdrawal: bool


def arrivals(random: Random, world: Sequence[Row], batches: int) -> list[list[Delivery]]:
    """The world's events in so many batches: late ones in any later batch, some twice, some taken back afterwards."""
    in_time = sorted(world, key=lambda row: row["event_time"])
    arriving: list[list[Delivery]] = [[] for _ in range(batches)]
    for place, row in enumerate(in_time):
        due = place * batches // len(in_time)
        batch = random.randint(due, batches - 1) if random.random() < LATE_SHARE else due
        arriving[batch].append(Delivery(row, is_withdrawal=False))
        again = random.randint(batch, batches - 1)
        if random.random() < TWICE_SHARE:
            arriving[again].append(Delivery(_copy(random, row), is_withdrawal=False))
        if again > batch and random.random() < WITHDRAWN_SHARE:
            arriving[again].append(Delivery(row, is_withdrawal=True))
    return arriving


def clean_after(clean: dict[str, Row], batch: Sequence[Delivery], withdrawn: set[str]) -> dict[str, Row]:
    """Event id → the delivery that counts: the first one, until it is taken back, for good.

    Args:
        clean: what counted before; stays as it is.
        batch: what arrives, in order.
        withdrawn: event ids taken back so far; those of the batch are added.
    """
    after = dict(clean)
    for row, is_withdrawal in batch:
        event_id = row["event_id"]
        if is_withdrawal:
            withdrawn.add(event_id)
            after.pop(event_id, None)
        elif event_id not in withdrawn:
            after.setdefault(event_id, row)
    return after


def changed_dates(before: dict[str, Row], after: dict[str, Row]) -> set[dt.date]:
    """UTC days on which a row came, went or became another."""
    changed = [
        row
        for old, new in ((before, after), (after, before))
        for event_id, row in old.items()
        if new.get(event_id) is not row
    ]
    return {row["event_time"].date() for row in changed}


def _copy(random: Random, row: Row) -> Row:
    if random.random() >= CHANGED_COPY_SHARE:
        return dict(row)
    moved = row["event_time"] + dt.timedelta(hours=random.choice((-30, -1, 1, 30)))
    return row | {
        "event_time": moved,
        "device_id": "d1",
        "received_at": row["received_at"] + dt.timedelta(days=1),
    }
