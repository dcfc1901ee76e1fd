"""Tracking against the real door: there, away, restarted, refusing; both clients, in memory and on disk."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingest_api.bodies import parsed, unpacked
from ingest_api.event_log.protocol import BodyEncoding
from resources.settings import Settings
from tests.support.door import TENANT, TOKEN, RunningDoor, click, logged
from tests.unit.tenant_plane.plane_process import free_port
from unmogrowp.client import (
    AuthenticationError,
    BufferFullError,
    ClosedError,
    ConfigurationError,
    DoorUnavailableError,
    InvalidEventError,
    Refusal,
)

FAST = {"flush_interval_s": 0.02}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "door")


@pytest.fixture
def door(settings: Settings) -> Iterator[RunningDoor]:
    with RunningDoor(settings) as running:
        yield running


@pytest.fixture(params=["memory", "disk"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Options of a client that waits in memory, or on disk."""
    return FAST if request.param == "memory" else {**FAST, "buffer_dir": tmp_path / "buffer"}


@pytest.fixture
def on_disk(tmp_path: Path) -> dict[str, Any]:
    return {**FAST, "buffer_dir": tmp_path / "buffer"}


def events_of(settings: Settings) -> list[dict[str, Any]]:
    """What the door's log holds, in the order it came, deliveries and all."""
    events: list[dict[str, Any]] = []
    for record in logged(settings):
        plain = unpacked(record.body, record.encoding, settings.body_max_unpacked_bytes)
        events.extend(parsed(plain, record.format).events)
    return events


def ids_of(settings: Settings) -> list[str]:
    return [event["eventId"] for event in events_of(settings)]


def clicks(count: int) -> list[dict[str, Any]]:
    return [click(deviceId=f"device-{number}") for number in range(count)]


def test_ten_thousand_events_arrive_once_in_order_and_packed(
    make_client: Any, where: dict[str, Any], door: RunningDoor, settings: Settings
) -> None:
    with make_client(door.url, TENANT, TOKEN, **where) as client:
        ids = [event_id for _ in range(10) for event_id in client.track_many(clicks(1000))]
        client.flush()
        stats = client.stats()
    assert ids_of(settings) == ids
    assert {record.encoding for record in logged(settings)} == {BodyEncoding.ZSTD}
    assert (stats.tracked, stats.accepted, stats.pending_bytes) == (10_000, 10_000, 0)
    assert stats.requests < 50
    assert stats.last_problem is None


def test_what_is_missing_is_filled_in_once_and_what_is_given_stays(
    make_client: Any, door: RunningDoor, settings: Settings
) -> None:
    own = click()
    bare = {"eventType": "click", "deviceId": "d", "campaign": "spring", "source": "net_alpha"}
    with make_client(door.url, TENANT, TOKEN, **FAST) as client:
        assert client.track(own) == own["eventId"]
        made = client.track(bare)
        client.flush()
        assert client.stats().accepted == 2
    assert set(bare) == {"eventType", "deviceId", "campaign", "source"}  # the caller's mapping is not changed
    first, second = events_of(settings)
    assert first == own
    assert second == {**bare, "eventId": made, "tenantId": TENANT, "timestamp": second["timestamp"]}


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


def test_quarantined_events_are_reported_one_by_one(
    make_client: Any, where: dict[str, Any], door: RunningDoor
) -> None:
    told: list[Refusal] = []
    with make_client(door.url, TENANT, TOKEN, on_quarantined=told.append, **where) as client:
        client.track(click())
        bad = client.track(click(favouriteColour="blue"))
        client.track(click(eventId="no uuid"))
        client.flush()
        stats = client.stats()
    assert (stats.accepted, stats.quarantined, stats.acknowledged) == (1, 2, 3)
    assert [(each.event_id, each.code, each.pointer) for each in told] == [
        (bad, "unknown_field", "/favouriteColour"),
        (None, "bad_format", "/eventId"),
    ]
    assert orjson.loads(told[1].event)["eventId"] == "no uuid"


def test_a_callback_that_fails_stops_nothing(
    make_client: Any, door: RunningDoor, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Refusal) -> None:
        raise ZeroDivisionError

    with make_client(door.url, TENANT, TOKEN, on_quarantined=broken, **FAST) as client:
        client.track({**click(), "campaign": 7})
        client.flush()
        client.track(click())
        client.flush()
    assert len(ids_of(settings)) == 2
    assert "a callback of the client failed" in caplog.text


def test_more_than_the_door_takes_at_once_goes_in_parts_and_in_order(
    make_client: Any, where: dict[str, Any], settings: Settings
) -> None:
    with (
        RunningDoor(settings.with_changes(batch_max_events=30)) as door,
        make_client(door.url, TENANT, TOKEN, **where) as client,
    ):
        ids = client.track_many(clicks(100))
        client.flush()
        assert client.stats().accepted == 100
    assert ids_of(settings) == ids


def test_a_full_budget_is_an_error_and_room_comes_back_with_the_door(
    make_client: Any, where: dict[str, Any], settings: Settings
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with make_client(url, TENANT, TOKEN, budget_bytes=6_000, full_wait_s=0.1, **where) as client:
        ids = []
        with pytest.raises(BufferFullError, match=r"tenant t123: .*6000"):
            for _ in range(100):
                ids.append(client.track(click()))
        assert 5 < len(ids) < 40
        with RunningDoor(settings, port=port):
            client.flush()
            ids.extend(client.track(click()) for _ in range(100))  # track waits for room, nothing is lost
            client.flush()
    assert ids_of(settings) == ids


@pytest.mark.parametrize(
    "event",
    [{"tenantId": "t456"}, {"eventId": 7}, {"metadata": {"x": {1, 2}}}, {"metadata": {"x": "y" * 5_000}}],
)
def test_an_event_that_can_never_be_sent_is_refused_at_once(make_client: Any, event: dict[str, Any]) -> None:
    with make_client("http://127.0.0.1:9", TENANT, TOKEN, batch_max_bytes=5_000) as client:
        with pytest.raises(InvalidEventError, match=TENANT):
            client.track(event)
        assert client.stats().tracked == 0


@pytest.mark.parametrize(
    ("url", "tenant", "token"),
    [
        ("127.0.0.1:9080", TENANT, "secret"),
        ("http://", TENANT, "secret"),
        ("http://a", "T 1", "secret"),
        ("http://a", TENANT, ""),
        ("http://a", TENANT, "secret\nX: y"),
    ],
)
def test_a_client_that_cannot_work_is_not_made(make_client: Any, url: str, tenant: str, token: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_client(url, tenant, token)
    assert "secret" not in str(raised.value)


def test_an_error_in_the_callers_block_is_not_hidden_by_closing(make_client: Any) -> None:
    class OwnError(Exception):
        pass

    def fail(**options: Any) -> None:
        with make_client("http://127.0.0.1:9", TENANT, TOKEN, retry_for_s=0.1, **options) as client:
            client.track(click())
            raise OwnError

    with pytest.raises(OwnError):
        fail()


def test_the_disk_buffer_syncs_once_for_many_who_track_together(
    make_client: Any, door: RunningDoor, settings: Settings, on_disk: dict[str, Any]
) -> None:
    with make_client(door.url, TENANT, TOKEN, **on_disk) as client:
        ids: list[str] = []
        threads = [
            threading.Thread(target=lambda: ids.extend(client.track(click()) for _ in range(20)))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.flush()
    assert len(ids) == 320
    assert sorted(ids_of(settings)) == sorted(ids)


def test_an_idle_client_leaves_no_event_on_disk(
    make_client: Any, door: RunningDoor, on_disk: dict[str, Any]
) -> None:
    with make_client(door.url, TENANT, TOKEN, **on_disk) as client:
        client.track(click())
        client.flush()
        deadline_s = time.monotonic() + 10
        with contextlib.suppress(StopIteration):
            while next(iter(on_disk["buffer_dir"].glob("*.segment"))) and time.monotonic() < deadline_s:
                time.sleep(0.05)
        assert list(on_disk["buffer_dir"].glob("*.segment")) == []
        assert [oct(path.stat().st_mode & 0o777) for path in on_disk["buffer_dir"].iterdir()] == ["0o600"] * 2
