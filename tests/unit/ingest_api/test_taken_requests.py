"""Requests that the hot path takes without the server's machinery: the same answers, in order, to the last one."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest_api.event_log.appending import AwaitedAppends
from ingest_api.event_log.protocol import LogPosition
from ingest_api.hot_path import HotPath
from resources.settings import Settings
from tests.support.door import FullLog, RunningDoor, assert_problem, click, founding_event, logged
from tests.support.raw_http import HEAD, answer_to, connected, parsed, rest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest_api.answers import Answer
    from ingest_api.event_log.protocol import Appended, LogRecord
    from ingest_api.whole_requests import WholeRequest


def batch(*events: dict[str, object], head: str = HEAD) -> bytes:
    body = orjson.dumps(list(events))
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class SlowLog(AwaitedAppends):
    """An event log that says so only when told to."""

    def __init__(self) -> None:
        self.waiting: list[Appended] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    def append_then(self, _: LogRecord, done: Appended) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting.append(done)

    def sync(self) -> None:
        """The oldest append is durable now."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.waiting.pop(0), LogPosition(0, 1))

    def wait_for(self, count: int) -> None:
        deadline_s = time.monotonic() + 10
        while len(self.waiting) < count:
            assert time.monotonic() < deadline_s, f"{len(self.waiting)} of {count} requests arrived"
            time.sleep(0.002)

    def is_writable(self) -> bool:
        return True

    async def usage(self) -> None:
        return

    async def close(self) -> None:
        return None


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the requests that were taken, in order."""
    paths: list[str] = []
    take = HotPath.take

    def watched(self: HotPath, request: WholeRequest, reply: Callable[[Answer], None]) -> bool:
        is_taken = take(self, request, reply)
        paths.extend([request.path] if is_taken else [])
        return is_taken

    monkeypatch.setattr(HotPath, "take", watched)
    return paths


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[RunningDoor, SlowLog]]:
    log = SlowLog()
    with RunningDoor(Settings(home=tmp_path, keep_alive_s=1), log) as door:
        first = threading.Thread(target=door.send, args=(founding_event(),))
        first.start()  # its token is looked up; from now on it is known
        log.wait_for(1)
        log.sync()
        first.join()
        yield door, log


def test_a_request_in_one_piece_or_with_its_body_behind_is_taken(door: RunningDoor, taken: list[str]) -> None:
    assert door.send(founding_event()).status_code == 202  # by the parser: nobody knows the token yet
    assert door.send(founding_event()).status_code == 202  # this client sends the body behind the head
    assert taken == ["/v1/events/ingest"]
    event = click()
    response = answer_to(door, batch(event))
    assert response.json() == {
        "accepted": 1,
        "quarantined": 0,
        "events": [{"eventId": event["eventId"], "status": "accepted"}],
    }
    assert {"date", "content-type", "traceparent"} <= set(response.headers)
    assert taken == ["/v1/events/ingest", "/v1/events/batch"]
    assert [record.event_count for record in logged(door.settings)] == [1, 1, 1]


def test_what_is_wrong_is_refused_with_the_same_problem_and_kept(door: RunningDoor, taken: list[str]) -> None:
    assert door.send(founding_event()).status_code == 202
    for body, status, code in (
        ({**founding_event(), "campaign": 1}, 422, "wrong_type"),
        ({**founding_event(), "tenantId": "t456"}, 403, "tenant_mismatch"),
    ):
        assert_problem(door.send(body), status, code)
    odd = HEAD.replace("application/json", "text/plain")
    assert_problem(answer_to(door, batch(click(), head=odd)), 415, "unsupported_media_type")
    other = HEAD.replace("X-Tenant-ID: t123", "X-Tenant-ID: t456")
    assert_problem(answer_to(door, batch(click(), head=other)), 403, "tenant_mismatch")
    assert len(taken) == 4
    assert [len(record.rejections) for record in logged(door.settings)] == [0, 1, 1]


def test_a_token_that_is_not_known_goes_the_other_way(door: RunningDoor, taken: list[str]) -> None:
    assert door.send(founding_event()).status_code == 202
    wrong = HEAD.replace("Bearer umg", "Bearer xxx")
    assert_problem(answer_to(door, batch(click(), head=wrong)), 401, "unauthorized")
    none = HEAD.replace("Authorization: Bearer", "X-Nothing: ")
    assert_problem(answer_to(door, batch(click(), head=none)), 401, "unauthorized")
    assert taken == []


def test_a_log_that_cannot_write_is_503_and_the_connection_goes_on(tmp_path: Path, taken: list[str]) -> None:
    with RunningDoor(Settings(home=tmp_path), FullLog()) as door, connected(door) as connection:
        for _ in range(3):
            connection.sendall(batch(click()))
            response = parsed(connection)
            assert_problem(response, 503, "not_durable")
            assert response.headers["retry-after"]
    assert len(taken) == 2


def test_what_comes_behind_a_request_waits_for_its_answer(
    slow: tuple[RunningDoor, SlowLog], taken: list[str]
) -> None:
    door, log = slow
    events = [click() for _ in range(3)]
    with connected(door) as connection:
        connection.sendall(batch(events[0]))
        log.wait_for(1)
        for event in events[1:]:
            connection.sendall(batch(event))
        time.sleep(0.05)
        assert len(log.waiting) == 1  # nothing is read past an answer that is not out
        for event in events:
            log.wait_for(1)
            log.sync()
            assert parsed(connection).json()["events"][0]["eventId"] == event["eventId"]
    assert taken


def test_requests_in_one_piece_are_answered_one_after_the_other(door: RunningDoor) -> None:
    events = [click() for _ in range(5)]
    with connected(door) as connection:
        connection.sendall(b"".join(batch(event) for event in events))
        received = b""
        while received.count(b'"status":"accepted"') < len(events):
            received += connection.recv(65_536)
    places = [received.index(event["eventId"].encode()) for event in events]
    assert places == sorted(places)


def test_a_body_in_pieces_behind_a_lone_head_is_taken_whole(door: RunningDoor) -> None:
    whole = batch(click(), click())
    head, body = whole.split(b"\r\n\r\n", 1)
    with connected(door) as connection:
        for _ in range(2):
            for piece in (head + b"\r\n\r\n", body[:100], body[100:]):
                connection.sendall(piece)
                time.sleep(0.02)
            assert parsed(connection).json()["accepted"] == 2


def test_a_lone_head_whose_body_never_comes_is_408(tmp_path: Path) -> None:
    with RunningDoor(Settings(home=tmp_path, body_timeout_s=0.3)) as door:
        assert_problem(answer_to(door, batch(click()).split(b"[", 1)[0]), 408, "too_slow")


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(slow: tuple[RunningDoor, SlowLog]) -> None:
    door, log = slow
    with connected(door) as connection:
        for _ in range(2):
            connection.sendall(batch(click()))
            log.wait_for(1)
            time.sleep(1.3)  # longer than an idle connection may live
            log.sync()
            assert parsed(connection).status_code == 202
        assert rest_of(connection) == b""  # and now it is idle


def test_a_client_that_went_away_costs_nobody_else_an_answer(slow: tuple[RunningDoor, SlowLog]) -> None:
    door, log = slow
    gone = connected(door)
    gone.sendall(batch(click()))
    log.wait_for(1)
    with connected(door) as connection:
        connection.sendall(batch(click()))
        log.wait_for(2)
        gone.close()
        time.sleep(0.05)
        log.sync()
        log.sync()
        assert parsed(connection).status_code == 202


def test_a_request_under_way_is_answered_before_the_door_closes(tmp_path: Path) -> None:
    log = SlowLog()
    door = RunningDoor(Settings(home=tmp_path), log)
    with door, connected(door) as connection:
        connection.sendall(batch(click()))  # by the parser: it looks the token up
        log.wait_for(1)
        log.sync()
        assert parsed(connection).status_code == 202
        connection.sendall(batch(click()))
        log.wait_for(1)
        closing = threading.Thread(target=door.__exit__)
        closing.start()
        time.sleep(0.3)
        log.sync()
        response = parsed(connection)
        assert (response.status_code, response.headers["connection"]) == (202, "close")
        assert rest_of(connection) == b""
        closing.join()
