"""Slice by slice = in one go, whatever the order of arrival; and that the drill which says so can also say no.

The drill `unmogrowp drill restate` is this at length: 1,000 orders and more.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.drills import restate
from benchmarks.drills.arrivals import Delivery, arrivals, changed_dates, clean_after
from benchmarks.drills.small_worlds import NOON, TENANTS, Row, small_world

ORDERS = 25  # in one round, which costs the same for five
BATCHES = 2  # a build per range of dates and batch: half a minute of CPU
ORDERS_OF_A_SABOTAGE = 25


def test_marts_made_slice_by_slice_equal_a_full_rebuild_under_random_orders(tmp_path: Path) -> None:
    marts = restate.ATTRIBUTION_MARTS
    report = restate.run(tmp_path, orders=ORDERS, seed=11, say=print, marts=marts, batches=BATCHES)
    assert report["faults"] == dict.fromkeys(report["faults"], 0), report["details"]
    assert report["slices_reopened"] > 0
    assert report["rows_compared"] > ORDERS


def test_the_drill_finds_slices_that_nobody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restate, "reopened_by", lambda *_: set())
    orders, marts = ORDERS_OF_A_SABOTAGE, ("installs",)
    report = restate.run(tmp_path, orders=orders, seed=11, say=print, marts=marts, batches=BATCHES)
    assert sum(report["faults"].values()) > 0
    assert report["details"]


def test_every_event_arrives_and_a_second_delivery_never_replaces_the_first() -> None:
    random = Random(3)  # noqa: S311 - repeatable, not a secret
    for _ in range(50):
        world = [row for row in small_world(random) if row["tenant_id"] == TENANTS[0]]
        batches = arrivals(random, world, 4)
        delivered = [delivery for batch in batches for delivery in batch]
        assert {one.row["event_id"] for one in delivered} == {row["event_id"] for row in world}
        clean: dict[str, Row] = {}
        withdrawn: set[str] = set()
        for batch in batches:
            clean = clean_after(clean, batch, withdrawn)
        first: dict[str, Row] = {}
        for one in delivered:
            first.setdefault(one.row["event_id"], one.row)
        assert clean == {key: row for key, row in first.items() if key not in withdrawn}


def test_arrivals_hold_late_repeated_and_withdrawn_events() -> None:
    random = Random(4)  # noqa: S311 - repeatable, not a secret
    world = [row for _ in range(20) for row in small_world(random)]
    batches = arrivals(random, world, 4)
    last = max(row["event_time"] for row in world)
    is_late = [
        batch
        for batch in batches[1:]
        if any(one.row["event_time"] < last - dt.timedelta(days=90) for one in batch)
    ]
    kinds = Counter(one.is_withdrawal for batch in batches for one in batch)
    assert is_late
    assert kinds[True] > 0
    assert kinds[False] > len(world)


def test_a_withdrawn_event_stays_away_and_changes_its_date() -> None:
    row = {"event_id": "a", "event_time": NOON}
    withdrawn: set[str] = set()
    clean = clean_after({}, [Delivery(row, is_withdrawal=False)], withdrawn)
    without = clean_after(
        clean, [Delivery(row, is_withdrawal=True), Delivery(row, is_withdrawal=False)], withdrawn
    )
    assert (clean, without) == ({"a": row}, {})
    assert changed_dates(clean, without) == {NOON.date()}
    assert changed_dates(clean, dict(clean)) == set()
