"""Tracking while the door is away, restarts or refuses the token: nothing is lost; both clients, memory and disk."""

from __future__ import annotations

import threading
import time
from typing import Any

import orjson
import pytest

from resources.settings import Settings
from tests.support.door import TENANT, TOKEN, RunningDoor, click
from tests.support.sdk_events import clicks, ids_of
from tests.unit.tenant_plane.plane_process import free_port
from unmogrowp.client import (
    AuthenticationError,
    ClosedError,
    DoorUnavailableError,
)


def test_events_tracked_while_the_door_is_away_arrive_in_order_when_it_is_back(
    make_client: Any, where: dict[str, Any], settings: Settings
) -> None:
    port = free_port()
    with make_client(f"http://127.0.0.1:{port}", TENANT, TOKEN, **where) as client:
        ids = [client.track(event) for event in clicks(20)]
        with pytest.raises(DoorUnavailableError, match=r"tenant t123: not everything was sent within 0.3 s"):
            client.flush(0.3)
        assert client.stats().failed_requests > 0
        assert "did not answer" in client.stats().last_problem
        with RunningDoor(settings, port=port):
            client.flush()
        assert client.stats().last_problem is None
    assert ids_of(settings) == ids


def test_a_door_that_restarts_half_way_loses_nothing(
    make_client: Any, where: dict[str, Any], settings: Settings
) -> None:
    port, ids = free_port(), list[str]()
    with make_client(f"http://127.0.0.1:{port}", TENANT, TOKEN, **where) as client:
        is_over = threading.Event()

        def track() -> None:
            while not is_over.is_set():
                ids.extend(client.track_many(clicks(5)))
                time.sleep(0.002)

        tracker = threading.Thread(target=track)
        tracker.start()
        for _ in range(3):
            with RunningDoor(settings, port=port):
                time.sleep(0.15)
            time.sleep(0.1)
        is_over.set()
        tracker.join()
        with RunningDoor(settings, port=port):
            client.flush()
    arrived = ids_of(settings)
    assert len(ids) > 50
    assert set(arrived) == set(ids)  # some may have come twice: the answer was lost on its way
    assert list(dict.fromkeys(arrived)) == ids


def test_a_revoked_token_is_an_error_and_what_waits_goes_out_with_a_good_one(
    make_client: Any, where: dict[str, Any], settings: Settings
) -> None:
    with (
        RunningDoor(settings.with_changes(key_cache_s=0.05)) as door,
        make_client(door.url, TENANT, TOKEN, **where) as client,
    ):
        first = client.track(click())
        client.flush()
        door.keys.tokens.pop(TOKEN)
        time.sleep(0.1)
        second = client.track(click())
        with pytest.raises(AuthenticationError, match=r"tenant t123: .*401") as raised:
            client.flush()
        assert TOKEN not in str(raised.value)
        assert "401" in client.stats().last_problem
        door.keys.tokens[TOKEN] = TENANT
        time.sleep(0.3)  # the door asks again for an unknown token after 0.25 s
        third = client.track(click())
        client.flush()
    assert ids_of(settings) == [first, second, third]


def test_a_client_that_closes_without_a_good_token_keeps_its_events(
    make_client: Any, where: dict[str, Any], door: RunningDoor, settings: Settings
) -> None:
    door.keys.tokens.pop(TOKEN)
    client = make_client(door.url, TENANT, TOKEN, **where)
    event_id = client.track(click())
    with pytest.raises(AuthenticationError) as raised:
        client.close()
    kept = [orjson.loads(line)["eventId"] for line in raised.value.events]
    assert kept == ([] if "buffer_dir" in where else [event_id])
    if "buffer_dir" in where:
        door.keys.tokens[TOKEN] = TENANT
        time.sleep(0.3)  # the door asks again for an unknown token after 0.25 s
        with make_client(door.url, TENANT, TOKEN, **where) as client:
            client.flush()
        assert ids_of(settings) == [event_id]


def test_an_ended_client_gives_back_or_keeps_what_it_could_not_send(
    make_client: Any, where: dict[str, Any], settings: Settings
) -> None:
    port = free_port()
    client = make_client(f"http://127.0.0.1:{port}", TENANT, TOKEN, **where)
    ids = client.track_many(clicks(3))
    if "buffer_dir" in where:
        client.close(0.2)
        client.close()  # once more is nothing
        with RunningDoor(settings, port=port) as door, make_client(door.url, TENANT, TOKEN, **where) as later:
            later.flush()
        assert ids_of(settings) == ids
    else:
        with pytest.raises(DoorUnavailableError) as raised:
            client.close(0.2)
        assert [orjson.loads(line)["eventId"] for line in raised.value.events] == ids
    with pytest.raises(ClosedError, match="is closed"):
        client.track(click())
