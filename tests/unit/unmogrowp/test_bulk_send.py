"""Bulk sending against a real HTTP server that fails on request; both clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.scripted_door import Script, scripted_door
from unmogrowp.client import (
    AuthenticationError,
    Batch,
    BatchAnswer,
    DoorUnavailableError,
    ForbiddenError,
    ProtocolError,
    RefusedError,
    TooLargeError,
    batched,
)

LINES = [json.dumps({"eventId": str(number)}).encode() for number in range(25)]


def test_lines_are_batched_in_order_within_both_limits() -> None:
    by_count = list(batched(LINES, max_events=10))
    assert [len(batch.lines) for batch in by_count] == [10, 10, 5]
    assert [batch.mark for batch in by_count] == [10, 20, 25]
    assert [line for batch in by_count for line in batch.lines] == LINES
    by_bytes = list(batched([b"x" * 60] * 5, max_bytes=130))
    assert [len(batch.lines) for batch in by_bytes] == [2, 2, 1]
    assert [len(batch.lines) for batch in batched([b"x" * 500], max_bytes=130)] == [1]
    assert list(batched([])) == []


def test_everything_arrives_once_and_acknowledgements_come_in_order(make_client: Any) -> None:
    script, marks = Script(), list[int]()
    with scripted_door(script) as url, make_client(url, "t123", "secret") as client:
        report = client.send(batched(LINES, max_events=2), lambda batch, _: marks.append(batch.mark))
    assert sorted(script.lines) == sorted(LINES)
    assert marks == [*range(2, 25, 2), 25]
    assert (report.sent, report.accepted, report.quarantined, report.requests) == (25, 25, 0, 13)
    sent = {name.lower(): value for name, value in script.headers[0].items()}
    assert sent["authorization"] == "Bearer secret"
    assert (sent["x-tenant-id"], sent["content-encoding"]) == ("t123", "zstd")
    assert sent["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize("failure", [429, 503, 500, "hang up"])
def test_a_failing_door_gets_the_same_bytes_again(make_client: Any, failure: int | str) -> None:
    script = Script(failures=[failure, failure])
    with scripted_door(script) as url, make_client(url, "t123", "secret", connections=1) as client:
        report = client.send(batched(LINES, max_events=20))
    assert script.refused_bodies == script.bodies[:1] * 2
    assert report.sent == report.accepted == 25


def test_quarantined_events_are_counted_by_reason_with_an_example(make_client: Any) -> None:
    answers: list[BatchAnswer] = []
    script = Script(bad_ids=frozenset({"3", "20"}))
    with scripted_door(script) as url, make_client(url, "t1", "x") as client:
        report = client.send(batched(LINES, max_events=10), lambda _, answer: answers.append(answer))
    assert (report.sent, report.accepted, report.quarantined) == (25, 23, 2)
    assert report.document()["reasons"] == {"schema": 2}
    assert report.document()["examples"] == {"schema": "/x: is wrong"}
    assert [(each.at, each.event) for answer in answers for each in answer.refused] == [
        (3, LINES[3]),
        (0, LINES[20]),
    ]


def test_a_batch_that_is_too_large_goes_in_halves_and_keeps_its_places(make_client: Any) -> None:
    answers: list[BatchAnswer] = []
    script = Script(failures=[413, 413], bad_ids=frozenset({"3", "20"}))
    with scripted_door(script) as url, make_client(url, "t123", "x", connections=1) as client:
        report = client.send([Batch(LINES)], lambda _, answer: answers.append(answer))
    assert [len(body.splitlines()) for body in script.bodies] == [6, 6, 13]
    assert script.lines == LINES
    assert report.accepted == 23
    assert [each.at for each in answers[0].refused] == [3, 20]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (403, ForbiddenError),
        (400, RefusedError),
        (413, TooLargeError),
        (404, ProtocolError),
    ],
)
def test_a_refusal_stops_at_once_and_names_the_tenant(
    make_client: Any, status: int, error: type[Exception]
) -> None:
    script = Script(failures=[status] * 99)
    with scripted_door(script) as url, make_client(url, "t123", "secret", connections=1) as client:
        with pytest.raises(error, match=r"tenant t123: .*not today") as raised:
            client.send(batched(LINES, max_events=1))
        assert "secret" not in str(raised.value)
    tries = script.refused_bodies.count(script.refused_bodies[0])
    assert tries == 1 if status != 401 else 1 < tries < 20  # a key may be too new to be known yet
    assert len(set(script.refused_bodies)) <= 3  # the first, and those that were already on their way


def test_a_door_that_stays_away_is_given_up_after_the_time_allowed(make_client: Any) -> None:
    with scripted_door(Script()) as url:
        pass  # it is closed now
    with make_client(url, "t123", "secret", retry_for_s=0.5) as client:
        with pytest.raises(DoorUnavailableError, match="known event ids count once"):
            client.send(batched(LINES, max_events=1))
        with pytest.raises(DoorUnavailableError, match="is not ready"):
            client.require_ready()


@pytest.mark.parametrize(
    "answer", [b"hello", b'{"accepted": 25}', b'{"accepted":1,"quarantined":0,"events":[]}']
)
def test_an_answer_that_does_not_account_for_every_event_is_an_error(make_client: Any, answer: bytes) -> None:
    door = scripted_door(Script(answer=answer))
    with door as url, make_client(url, "t123", "secret") as client, pytest.raises(ProtocolError):
        client.send([Batch(LINES)])


def test_an_error_in_the_callers_own_code_ends_the_sending(make_client: Any) -> None:
    class OwnError(Exception):
        pass

    def broken(_batch: Batch, _answer: BatchAnswer) -> None:
        raise OwnError

    script = Script()
    with scripted_door(script) as url, make_client(url, "t123", "secret") as client, pytest.raises(OwnError):
        client.send(batched(LINES, max_events=1), broken)
    assert len(script.bodies) < 25
