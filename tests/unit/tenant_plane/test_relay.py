"""Events through a real plane to a door that answers, refuses, goes away and comes back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.unit.tenant_plane.plane_process import INGEST_TOKEN, PlaneProcess, free_port, running


class Door:
    """A door on a fixed port that keeps every request and gives the answer it is told to."""

    def __init__(self) -> None:
        self.port = free_port()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: tuple[int, dict[str, object]] = (202, {"status": "accepted"})
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[bytes]:
        return [body for _path, _headers, body in self.requests]

    def open(self) -> None:
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                door.requests.append((self.path, headers, body))
                status, document = door.answer
                payload = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            log_message = staticmethod(lambda *_arguments: None)

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.requests) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.requests) >= count


@pytest.fixture
def door() -> Iterator[Door]:
    opened = Door()
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def relaying(door: Door, tmp_path: Path) -> Iterator[PlaneProcess]:
    with running(PlaneProcess(tmp_path, ingest_url=door.url, extra={"RELAY_BUDGET_BYTES": "20000"})) as plane:
        yield plane


def event(number: int, **more: object) -> dict[str, object]:
    return {"eventId": f"00000000-0000-4000-8000-{number:012d}", "tenantId": "t123", **more}


def send(client: httpx.Client, *events: dict[str, object]) -> httpx.Response:
    return client.post("/api/v1/events/ingest", json=list(events) if len(events) > 1 else events[0])


def test_events_go_out_byte_for_byte_with_the_write_token(door: Door, relaying: PlaneProcess) -> None:
    key = relaying.run("mint-app-key")
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = b'{ "eventId":"x", "tenantId":"t123",  "metadata":{"n":1.10} }'
    with relaying.client(Authorization=f"Bearer {key}", traceparent=parent) as client:
        headers = {"Content-Type": "application/json"}
        one = client.post("/api/v1/events/ingest", content=body, headers=headers)
        many = send(client, event(1), event(2))
    assert (one.status_code, one.json()) == (202, {"status": "accepted"})
    assert many.status_code == 202
    assert [path for path, _, _ in door.requests] == ["/v1/events/ingest", "/v1/events/batch"]
    _, headers, sent = door.requests[0]
    assert sent == body
    assert headers["authorization"] == f"Bearer {INGEST_TOKEN}"
    assert (headers["x-tenant-id"], headers["traceparent"]) == ("t123", parent)
    log = (relaying.home / "plane.log").read_text()
    assert INGEST_TOKEN not in log and key not in log


def test_the_doors_refusals_are_passed_on_with_their_reasons(door: Door, relaying: PlaneProcess) -> None:
    with relaying.signed_in() as client:
        for status in (400, 403, 413, 422, 429):
            door.answer = (status, {"detail": f"because {status}"})
            answer = send(client, event(1))
            assert (answer.status_code, answer.json()["detail"]) == (status, f"because {status}")
        door.answer = (401, {"detail": "unknown token"})
        assert send(client, event(1)).status_code == 503  # the plane's own fault, not the app's
        metrics = client.get("/metrics").text
    assert 'unmogrowp_tenant_relay_pending_bytes{tenant_id="t123"} 0.0' in metrics


def test_events_wait_on_disk_through_kill_9_and_go_out_in_order(door: Door, relaying: PlaneProcess) -> None:
    door.close()
    with relaying.signed_in() as client:
        for number in range(3):
            answer = send(client, event(number))
            assert (answer.status_code, answer.json()) == (202, {"buffered": True})
        assert send(client, event(3), event(4)).json() == {"buffered": True}
    relaying.kill()
    door.open()
    relaying.start()
    door.wait_for(4)
    sent = [json.loads(body) for body in door.bodies]
    assert sent == [event(0), event(1), event(2), [event(3), event(4)]]
    assert door.requests[3][0] == "/v1/events/batch"
    with relaying.signed_in() as client:
        assert send(client, event(5)).json() == {"status": "accepted"}


def test_a_full_buffer_says_so_and_keeps_what_it_has(door: Door, relaying: PlaneProcess) -> None:
    door.close()
    with relaying.signed_in() as client:
        assert send(client, event(1, padding="x" * 15_000)).status_code == 202
        full = send(client, event(2, padding="x" * 15_000))
        assert full.status_code == 503 and full.headers["retry-after"]
        door.open()
        door.wait_for(1)
    assert json.loads(door.bodies[0])["eventId"].endswith("1")


def test_a_buffered_body_the_door_refuses_is_kept_with_its_reason(door: Door, relaying: PlaneProcess) -> None:
    door.close()
    with relaying.signed_in() as client:
        send(client, event(1))
        door.answer = (422, {"detail": "bad campaign"})
        door.open()
        door.wait_for(1)
        refused = relaying.home / "relay" / "refused.ndjson"
        deadline = time.monotonic() + 10
        while not refused.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        kept = json.loads(refused.read_text())
    assert (kept["status"], json.loads(kept["body"])) == (422, event(1))
    assert "bad campaign" in kept["answer"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"tenantId": "other"}', 403),
        (b'[{"tenantId": "t123"}, {"tenantId": "t1234"}]', 403),
        (b'{"tenantId": null}', 403),
        (b'{"tenantId": "t123"', 400),
        (b"5", 400),
        (b'{"n": NaN}', 400),
        (b"", 400),
        (b"[" * 100_000, 400),
    ],
)
def test_a_body_that_is_not_this_tenants_events_never_leaves(
    door: Door, plane: PlaneProcess, body: bytes, status: int
) -> None:
    with plane.signed_in() as client:
        headers = {"Content-Type": "application/json"}
        assert client.post("/api/v1/events/ingest", content=body, headers=headers).status_code == status


def test_only_the_app_or_a_person_may_send(plane: PlaneProcess) -> None:
    for token in ("-", "umg_app_unknown", INGEST_TOKEN):
        with plane.client(Authorization=f"Bearer {token}") as client:
            assert send(client, event(1)).status_code == 401
