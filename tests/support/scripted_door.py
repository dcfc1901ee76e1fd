"""An HTTP server in the door's place that fails, hangs up or is slow on request, and keeps what it took."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import zstandard


@dataclass
class Script:
    """What the server does first (a status, "hang up", or seconds to think), and what it took."""

    failures: list[int | float | str] = field(default_factory=list)
    retry_after: str | None = "0"
    bodies: list[bytes] = field(default_factory=list)
    refused_bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    bad_ids: frozenset[str] = frozenset()
    answer: bytes | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def lines(self) -> list[bytes]:
        return [line for body in self.bodies for line in body.splitlines()]


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
                script.times_s.append(time.monotonic())
            if isinstance(failure, float):
                time.sleep(failure)
            if failure == "hang up" or isinstance(failure, float):
                self.close_connection = True
                return
            if isinstance(failure, int):
                wish = {} if script.retry_after is None else {"Retry-After": script.retry_after}
                self.reply(failure, b'{"detail": "not today"}', wish)
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
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
