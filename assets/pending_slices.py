"""What has landed and waits for its run: the cursor of the landing sensor, as pure functions.

A slice becomes due once nothing new landed for it for a while, or once it has waited long enough: a busy
tenant's slice is computed once a minute, not once a commit.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resources.lake import Lake

Pending = dict[str, dict[str, tuple[float, float]]]
Slices = Mapping[str, Iterable[dt.date]]


@dataclass(frozen=True)
class LandingCursor:
    """What the sensor has seen and what waits.

    `snapshot_id` is the newest snapshot seen; `pending` says per tenant and date when it first and last landed
    since its last run, `failures_seen_s` up to when failed runs were looked at (both in unix seconds).
    """

    snapshot_id: int | None = None
    pending: Pending = field(default_factory=dict)
    failures_seen_s: float | None = None

    @classmethod
    def loads(cls, text: str | None) -> LandingCursor:
        """The cursor a sensor kept; an absent one has seen nothing."""
        if not text:
            return cls()
        document = json.loads(text)
        pending = {
            tenant: {day: (times[0], times[1]) for day, times in days.items()}
            for tenant, days in document["pending"].items()
        }
        return cls(document["snapshot_id"], pending, document.get("failures_seen_s"))

    def dumps(self) -> str:
        """The cursor as the sensor keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


def note_changes(
    cursor: LandingCursor,
    touched: Iterable[Slices],
    snapshot_id: int | None,
    now: dt.datetime,
) -> LandingCursor:
    """The cursor after these snapshots: their slices wait from now."""
    at = now.timestamp()
    pending: Pending = {tenant: dict(days) for tenant, days in cursor.pending.items()}
    for slices in touched:
        for tenant, days in slices.items():
            waiting = pending.setdefault(tenant, {})
            for day in days:
                first, _ = waiting.get(day.isoformat(), (at, at))
                waiting[day.isoformat()] = (first, at)
    return replace(cursor, snapshot_id=snapshot_id, pending=pending)


def overtaken(own_dates: Iterable[dt.date], waiting: Set[dt.date]) -> set[dt.date]:
    """Dates that were made while an earlier one still waited to be made again, so they wait behind it.

    What the earlier date comes to may change what the later ones read of it (a reinstall's first install), and nobody
    knew of them when it was reopened.
    """
    return {day for day in own_dates if waiting and day > min(waiting)}


def reopened_and_overtaken(
    pending: Pending, changes: Iterable[tuple[Slices, Slices]]
) -> list[dict[str, tuple[dt.date, ...]]]:
    """Per change, oldest first, the slices that it sends to be made again.

    Args:
        pending: what waits to be made again already.
        changes: the slices that a commit made, and those that it reopened.
    """
    waiting = {tenant: {dt.date.fromisoformat(day) for day in days} for tenant, days in pending.items()}
    found: list[dict[str, tuple[dt.date, ...]]] = []
    for made, reopened in changes:
        again: dict[str, tuple[dt.date, ...]] = {}
        for tenant in made.keys() | reopened.keys():
            waits = waiting.setdefault(tenant, set())
            days = overtaken(made.get(tenant, ()), waits) | set(reopened.get(tenant, ()))
            waits |= days
            again[tenant] = tuple(sorted(days))
        found.append(again)
    return found


def note_failures(
    cursor: LandingCursor,
    failed: Iterable[tuple[str, Iterable[dt.date]]],
    now: dt.datetime,
    retry_after_s: float,
) -> LandingCursor:
    """The cursor after these (tenant, dates) runs failed for good: their slices wait again, for `retry_after_s`.

    Without it a slice whose run failed, while ClickHouse was away say, would wait for its next event.
    """
    again = now.timestamp() + retry_after_s
    pending: Pending = {tenant: dict(days) for tenant, days in cursor.pending.items()}
    for tenant, days in failed:
        waiting = pending.setdefault(tenant, {})
        for day in days:
            waiting.setdefault(day.isoformat(), (again, again))
    return replace(cursor, pending=pending, failures_seen_s=now.timestamp())


def due_slices(
    cursor: LandingCursor, ready: Set[str], now: dt.datetime, quiet_s: float, max_delay_s: float
) -> tuple[dict[str, list[dt.date]], LandingCursor]:
    """Slices to run now, and the cursor without them; only tenants in `ready` are asked for.

    A tenant's slices go together: when one is due, those that are still landing wait.
    """
    at = now.timestamp()
    due: dict[str, list[dt.date]] = {}
    pending: Pending = {}
    for tenant, days in cursor.pending.items():
        is_due = {
            day
            for day, (first, last) in days.items()
            if tenant in ready and (at - last >= quiet_s or at - first >= max_delay_s)
        }
        if is_due:
            due[tenant] = sorted(dt.date.fromisoformat(day) for day in is_due)
        kept = {day: times for day, times in days.items() if day not in is_due}
        if kept:
            pending[tenant] = kept
    return due, replace(cursor, pending=pending)


def all_slices(lake: Lake) -> dict[str, tuple[dt.date, ...]]:
    """Every slice of raw.events: what to run when the change feed is broken."""
    pairs = lake.read("raw.events", "true", ["tenant_id", "event_date"]).unique()
    slices: dict[str, list[dt.date]] = {}
    for tenant, day in pairs.sort("tenant_id", "event_date").iter_rows():
        slices.setdefault(tenant, []).append(day)
    return {tenant: tuple(days) for tenant, days in slices.items()}
