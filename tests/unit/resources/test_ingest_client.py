"""The door's client against a real HTTP server that fails on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import zstandard

from resources.errors import AuthenticationError, AuthorizationError, ContractError, ServiceUnavailableError
from resources.ingest_client import Batch, BatchAnswer, IngestClient, batched

LINES = [json.dumps({"eventId": str(number)}).encode() for number in range(25)]


@dataclass
class Script:
    """What the server does first (a status, or "hang up"), and what it took."""

    failures: list[int | str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refused_bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bad_ids: frozenset[str] = frozenset()
    answer: bytes | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def scripted_door(script: Script) -> Iterator[str]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = zstandard.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            with script.lock:
                failure = script.failures.pop(0) if script.failures else None
                (script.bodies if failure is None else script.refused_bodies).append(body)
                script.headers.append(dict(self.headers.items()))
            if failure == "hang up":
                self.close_connection = True
                return
            if isinstance(failure, int):
                self.reply(failure, b'{"detail": "not today"}', {"Retry-After": "0"})
                return
            ids = [json.loads(line)["eventId"] for line in body.splitlines()]
            fault = {"status": "quarantined", "code": "schema", "pointer": "/x", "reason": "is wrong"}
            events = [{"status": "accepted"} if one not in script.bad_ids else fault for one in ids]
            bad = sum(one in script.bad_ids for one in ids)
            answer = {"accepted": len(ids) - bad, "quarantined": bad, "events": events}
            self.reply(202, script.answer or json.dumps(answer).encode(), {})

        def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_lines_are_batched_in_order_within_both_limits() -> None:
    by_count = list(batched(LINES, max_events=10))
    assert [len(batch.lines) for batch in by_count] == [10, 10, 5]
    assert [batch.mark for batch in by_count] == [10, 20, 25]
    assert [line for batch in by_count for line in batch.lines] == LINES
    by_bytes = list(batched([b"x" * 60] * 5, max_bytes=130))
    assert [len(batch.lines) for batch in by_bytes] == [2, 2, 1]
    assert [len(batch.lines) for batch in batched([b"x" * 500], max_bytes=130)] == [1]
    assert list(batched([])) == []


def test_everything_arrives_once_and_acknowledgements_come_in_order() -> None:
    script, marks = Script(), list[int]()
    with scripted_door(script) as url, IngestClient(url, "t123", "secret") as client:
        report = client.send(batched(LINES, max_events=2), lambda batch, _: marks.append(batch.mark))
    assert sorted(line for body in script.bodies for line in body.splitlines()) == sorted(LINES)
    assert marks == [*range(2, 25, 2), 25]
    assert (report.sent, report.accepted, report.quarantined, report.requests) == (25, 25, 0, 13)
    sent = script.headers[0]
    assert sent["Authorization"] == "Bearer secret"
    assert (sent["X-Tenant-ID"], sent["Content-Encoding"]) == ("t123", "zstd")
    assert sent["Content-Type"] == "application/x-ndjson"


@pytest.mark.parametrize("failure", [429, 503, 500, "hang up"])
def test_a_failing_door_gets_the_same_bytes_again(failure: int | str) -> None:
    script = Script(failures=[failure, failure])
    with scripted_door(script) as url, IngestClient(url, "t123", "secret", connections=1) as client:
        report = client.send(batched(LINES, max_events=20))
    assert script.refused_bodies == script.bodies[:1] * 2
    assert report.sent == report.accepted == 25


def test_quarantined_events_are_counted_by_reason_with_an_example() -> None:
    with scripted_door(Script(bad_ids=frozenset({"3", "20"}))) as url, IngestClient(url, "t1", "x") as client:
        report = client.send(batched(LINES, max_events=10))
    assert (report.sent, report.accepted, report.quarantined) == (25, 23, 2)
    assert report.document()["reasons"] == {"schema": 2}
    assert report.document()["examples"] == {"schema": "/x: is wrong"}


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (403, AuthorizationError), (400, ContractError), (413, ContractError)],
)
def test_a_refusal_stops_at_once_and_names_the_tenant(status: int, error: type[Exception]) -> None:
    script = Script(failures=[status] * 99)
    with scripted_door(script) as url, IngestClient(url, "t123", "secret", connections=1) as client:
        with pytest.raises(error, match=r"tenant t123: .*not today") as raised:
            client.send(batched(LINES, max_events=1))
        assert "secret" not in str(raised.value)
    tries = script.refused_bodies.count(script.refused_bodies[0])
    assert tries == 1 if status != 401 else 1 < tries < 20  # a key may be too new to be known yet
    assert len(set(script.refused_bodies)) <= 3  # the first, and those that were already on their way


def test_a_door_that_stays_away_is_given_up_after_the_time_allowed() -> None:
    with scripted_door(Script()) as url:
        pass  # it is closed now
    with (
        IngestClient(url, "t123", "secret", retry_for_s=0.5) as client,
        pytest.raises(ServiceUnavailableError, match="known event ids count once"),
    ):
        client.send(batched(LINES, max_events=1))


@pytest.mark.parametrize(
    "answer", [b"hello", b'{"accepted": 25}', b'{"accepted":1,"quarantined":0,"events":[]}']
)
def test_an_answer_that_does_not_account_for_every_event_is_an_error(answer: bytes) -> None:
    door = scripted_door(Script(answer=answer))
    with door as url, IngestClient(url, "t123", "secret") as client, pytest.raises(ContractError):
        client.send([Batch(LINES)])


def test_an_error_in_the_callers_own_code_ends_the_sending() -> None:
    def broken(_batch: Batch, _answer: BatchAnswer) -> None:
        raise KeyboardInterrupt

    script = Script()
    door = scripted_door(script)
    with door as url, IngestClient(url, "t123", "secret") as client, pytest.raises(KeyboardInterrupt):
        client.send(batched(LINES, max_events=1), broken)
    assert len(script.bodies) < 25
