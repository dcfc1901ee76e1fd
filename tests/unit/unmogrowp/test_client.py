"""Tracking against the real door: there, away, restarted, refusing; both clients, in memory and on disk."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import orjson
import pytest

from ingest_api.event_log.protocol import BodyEncoding
from resources.settings import Settings
from tests.support.door import TENANT, TOKEN, RunningDoor, click, logged
from tests.support.sdk_events import FAST, clicks, events_of, ids_of
from tests.unit.tenant_plane.plane_process import free_port
from unmogrowp.client import (
    BufferFullError,
    ConfigurationError,
    InvalidEventError,
    Refusal,
)


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
