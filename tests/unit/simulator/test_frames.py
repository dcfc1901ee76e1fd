"""Frames of a world hold what its deliveries hold, in the columns and types of clean.events."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from benchmarks.mart_lab import as_clean_events
from resources.pii import truncated_ip
from simulator.frames import FrameWorld, simulate_frame
from simulator.simulation import WorldName, draw_world

END = dt.date(2026, 11, 19)


@pytest.fixture(scope="module", params=["plain", "full"])
def world_name(request: pytest.FixtureRequest) -> WorldName:
    name: WorldName = request.param
    return name


@pytest.fixture(scope="module")
def world(world_name: WorldName) -> FrameWorld:
    return simulate_frame("t123", end_date=END, days=5, seed=4, users=300, world=world_name)


def test_every_valid_event_is_a_row_with_its_own_values(world: FrameWorld, world_name: WorldName) -> None:
    drawn = draw_world("t123", end_date=END, days=5, seed=4, users=300, world=world_name)
    documents = {doc["eventId"]: doc for group in drawn.groups for doc in group.documents("t123")}
    rows = {row["event_id"]: row for row in world.events.to_dicts()}
    assert rows.keys() == documents.keys()
    for event_id, document in documents.items():
        row = rows[event_id]
        assert row["event_time"] == dt.datetime.fromisoformat(str(document["timestamp"]))
        assert row["event_date"] == row["event_time"].date()
        referrer = document.get("referrer")
        told = referrer if isinstance(referrer, dict) else {}
        assert row["referrer_click_id"] == told.get("clickId")
        assert row["ip_pseudonym"] == (truncated_ip(str(document["ip"])) if "ip" in document else None)
        for name, column in (
            ("deviceId", "device_id"),
            ("appId", "app_id"),
            ("clickId", "click_id"),
            ("revenueMicros", "revenue_micros"),
            ("osVersion", "os_version"),
        ):
            assert (row[column] or None) == document.get(name), (column, document)


def test_the_lab_takes_the_frame_as_it_is(world: FrameWorld) -> None:
    taken = as_clean_events(world.events)
    assert taken.height == world.events.height
    assert taken["event_time"].dtype == pl.Datetime("us", "UTC")
    assert set(taken["tenant_id"]) == {world.tenant_id}


def test_rows_come_in_the_order_of_their_times(world: FrameWorld) -> None:
    assert world.events["event_time"].is_sorted()
    assert world.events["land_seq"].to_list() == list(range(world.events.height))
