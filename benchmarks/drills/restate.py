"""The restatement drill: marts made slice by slice while events come late, twice and are taken back = made in one go.

Per order of arrivals a small world of its own. After each batch only the slices that changed are built, then those
that `assets.reopening` names, oldest first, as the sensors do; at the end the marts must equal a full rebuild row for
row, and after each batch nothing may have changed outside of the slices that were asked for. A build costs the same
for one world and for many, so worlds share a tenant, each in apps of its own.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from assets.partitions import contiguous_ranges
from assets.pending_slices import overtaken
from assets.reopening import ACTIVITY, SIGHTING, TOUCH_DAYS, Influence, dates_that_depend
from benchmarks.drills.arrivals import Delivery, arrivals, changed_dates, clean_after
from benchmarks.drills.small_worlds import (
    BLOCKED_IP,
    CURRENCY,
    RULE_SETS,
    TENANTS,
    Row,
    named_apart,
    small_world,
    world_of,
)
from benchmarks.mart_lab import MartLab, as_clean_events
from benchmarks.mart_rendering import tables
from resources.rules import RuleSet

TENANT = TENANTS[0]
WORLDS_PER_ROUND = 100  # a round takes a minute of CPU with 20 worlds and with 100
BATCHES = 4
EVENTS_PER_WORLD_MAX = 24
# what the waterfall decides, and what is counted by it
ATTRIBUTION_MARTS = (
    *("install_events", "returning_sessions", "touch_decisions", "installs", "reengagements"),
    *("attributed_purchases", "campaign_daily"),
)

Slice = tuple[str, dt.date]  # world, date
Content = dict[str, dict[Slice, list[str]]]  # mart → slice → its rows


@dataclass
class World:
    """One order of arrivals: what is clean in it now, and which of its slices this batch changed and reopened."""

    name: str
    batches: list[list[Delivery]]
    clean: dict[str, Row] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    own: set[dt.date] = field(default_factory=set)
    reopened: set[dt.date] = field(default_factory=set)


@dataclass(frozen=True)
class Work:
    """What is built of a round's worlds, and under which rules."""

    rules: RuleSet
    marts: Sequence[str]

    def build(self, lab: MartLab, first: dt.date, last: dt.date) -> None:
        """Replace these dates."""
        marts, blocked = self.marts, [BLOCKED_IP]
        lab.build(TENANT, first, last, self.rules, marts, currency=CURRENCY, blocked_ip_pseudonyms=blocked)


@dataclass
class Outcome:
    """What the rounds so far came to."""

    figures: Counter[str] = field(default_factory=Counter)
    slices_unasked: list[str] = field(default_factory=list)  # changed in a batch, and nobody asked for them
    slices_unequal: list[str] = field(default_factory=list)  # to what a full rebuild makes

    @property
    def fault_count(self) -> int:
        """0 when all is well."""
        return len(self.slices_unasked) + len(self.slices_unequal)


def run(
    workdir: Path,
    *,
    orders: int,
    seed: int,
    say: Callable[[str], None],
    marts: Sequence[str] = (),
    batches: int = BATCHES,
) -> dict[str, Any]:
    """Process so many random orders of arrivals; the same seed is the same run.

    Args:
        workdir: an empty directory.
        orders: how many.
        seed: of all that is random.
        say: told how far it is.
        marts: which are built and compared; `comparable_marts` when none are named.
        batches: in how many parts each world arrives.
    """
    random = Random(seed)  # noqa: S311 - repeatable, no secret
    outcome = Outcome()
    built = marts or comparable_marts()
    with MartLab(workdir / "lab") as lab:
        for number, first in enumerate(range(0, orders, WORLDS_PER_ROUND)):
            worlds = [_world(random, n, batches) for n in range(first, min(first + WORLDS_PER_ROUND, orders))]
            one_round(lab, random, worlds, Work(RULE_SETS[number % len(RULE_SETS)], built), outcome)
            say(f"{first + len(worlds)} of {orders} orders, {outcome.fault_count} faults")
    return {
        "drill": "restate",
        "orders": orders,
        "seed": seed,
        **outcome.figures,
        "faults": {
            "slices_changed_without_being_asked_for": len(outcome.slices_unasked),
            "slices_unlike_a_full_rebuild": len(outcome.slices_unequal),
        },
        "details": [*outcome.slices_unasked[:10], *outcome.slices_unequal[:10]],
    }


def comparable_marts() -> list[str]:
    """The marts that know an app, and so a world, and of which a normal run makes every slice.

    Without journey_paths: a journey that came to nothing is counted on the day its window closes, whether anything
    happened on that day or not, so its slices are not those that arrivals name.
    """
    slices = {name: table for name, table in tables().items() if not table.slice_keys}
    known = [name for name, table in slices.items() if "app_id" in dict(table.columns)]
    return [name for name in known if name != "journey_paths"]


def one_round(lab: MartLab, random: Random, worlds: Sequence[World], work: Work, outcome: Outcome) -> None:
    """Some worlds through all their batches, then a full rebuild; adds to the outcome what differs."""
    lab.clear()
    state: Content = {mart: {} for mart in work.marts}
    for number in range(len(worlds[0].batches)):
        before = state
        _take_batch(lab, random, worlds, number, work)
        state = content(lab, work.marts)
        asked = {(world.name, date) for world in worlds for date in world.own | world.reopened}
        changed = {mart: _different(before[mart], state[mart]) for mart in work.marts}
        outcome.figures["slices_built"] += len(asked)
        outcome.figures["slices_reopened"] += sum(len(world.reopened - world.own) for world in worlds)
        outcome.figures["slices_built_that_stayed_as_they_were"] += len(asked.difference(*changed.values()))
        outcome.slices_unasked += [
            f"batch {number}: {mart} of {name} on {date} changed, and nobody asked for it"
            for mart, slices in changed.items()
            for name, date in slices
            if (name, date) not in asked
        ]
    _compare_with_a_full_rebuild(lab, state, worlds, work, outcome)


def _compare_with_a_full_rebuild(
    lab: MartLab, incremental: Content, worlds: Sequence[World], work: Work, outcome: Outcome
) -> None:
    lab.clear()
    _put(lab, worlds)
    dates = [row["event_time"].date() for world in worlds for row in world.clean.values()]
    work.build(lab, min(dates), max(dates))
    full = content(lab, work.marts)
    outcome.slices_unequal += [
        f"{mart} of {name} on {date} is not what a full rebuild makes"
        for mart in work.marts
        for name, date in _different(incremental[mart], full[mart])
    ]
    outcome.figures["events"] += len(dates)
    outcome.figures["rows_compared"] += sum(len(rows) for slices in full.values() for rows in slices.values())


def content(lab: MartLab, marts: Sequence[str]) -> Content:
    """The marts' rows as text, by world and date."""
    found: Content = {}
    for mart in marts:
        slices: dict[Slice, list[str]] = {}
        for row in lab.mart(mart, TENANT).iter_rows(named=True):
            key = world_of(row["app_id"]), row["event_date"]
            slices.setdefault(key, []).append(json.dumps(row, default=str))
        found[mart] = slices
    return found


def _world(random: Random, number: int, batches: int) -> World:
    """A world whose apps and event ids begin with its name."""
    name = f"w{number:05}"
    rows = [row for row in small_world(random, EVENTS_PER_WORLD_MAX) if row["tenant_id"] == TENANT]
    own = [named_apart(row, name) for row in rows]
    return World(name, arrivals(random, own, batches))


def _take_batch(lab: MartLab, random: Random, worlds: Sequence[World], number: int, work: Work) -> None:
    """Changed slices, a run per range of consecutive dates in any order; then what they reopen, oldest first."""
    targets = [clean_after(world.clean, world.batches[number], world.withdrawn) for world in worlds]
    for world, target in zip(worlds, targets, strict=True):
        world.own, world.reopened = changed_dates(world.clean, target), set()
    runs = contiguous_ranges(date for world in worlds for date in world.own)
    random.shuffle(runs)
    for first, last in runs:
        for world, target in zip(worlds, targets, strict=True):
            for span in contiguous_ranges(date for date in world.own if first <= date <= last):
                world.reopened |= overtaken(_days(*span), world.reopened)
                world.reopened |= _land(world, target, _days(*span), work.rules)
        _put(lab, worlds)
        work.build(lab, first, last)
    for first, last in contiguous_ranges(date for world in worlds for date in world.reopened):
        work.build(lab, first, last)


def _land(world: World, target: dict[str, Row], dates: set[dt.date], rules: RuleSet) -> set[dt.date]:
    """Make these dates of a world what they are to be; the later dates that this reopens."""
    before = _on(world.clean, dates)
    others = {key: row for key, row in world.clean.items() if key not in before}
    after = _on(target, dates)
    world.clean = others | after
    was, is_now, clean = (_frame(rows.values()) for rows in (before, after, world.clean))
    return reopened_by(was, is_now, clean, dates, rules)


def _days(first: dt.date, last: dt.date) -> set[dt.date]:
    return {first + dt.timedelta(days=n) for n in range((last - first).days + 1)}


def _on(clean: dict[str, Row], dates: set[dt.date]) -> dict[str, Row]:
    return {key: row for key, row in clean.items() if row["event_time"].date() in dates}


def reopened_by(
    before: pl.DataFrame, after: pl.DataFrame, clean: pl.DataFrame, own_dates: set[dt.date], rules: RuleSet
) -> set[dt.date]:
    """What `assets.reopening` says of a change of these dates."""
    first = min(own_dates)
    activity = clean.filter(pl.col("event_type").is_in(ACTIVITY))
    later = activity.filter(pl.col("event_date") > first)
    seen = pl.col("event_date").is_between(first - dt.timedelta(days=TOUCH_DAYS), first, closed="left")
    sightings = activity.filter(seen).select(SIGHTING).drop_nulls().unique()
    influence = Influence.of([rules])
    return set(dates_that_depend(before, after, later, sightings, own_dates=own_dates, influence=influence))


def _put(lab: MartLab, worlds: Sequence[World]) -> None:
    lab.put(_frame(row for world in worlds for row in world.clean.values()))


def _frame(rows: Iterable[Row]) -> pl.DataFrame:
    listed = list(rows)
    if not listed:
        return as_clean_events(pl.DataFrame(schema=_REQUIRED))
    return as_clean_events(pl.DataFrame(listed, infer_schema_length=None))


def _different(one: dict[Slice, list[str]], other: dict[Slice, list[str]]) -> list[Slice]:
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


_REQUIRED: dict[str, pl.DataType | type[pl.DataType]] = {
    "tenant_id": pl.String,
    "event_id": pl.String,
    "event_type": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
}
