"""A receiver of exports that can be told to fail, to hang or to be away, and counts what it takes by key.

It takes what a tenant's plane takes and what a webhook takes, and is idempotent as both should be: an `effect` is what
it did, once per key, however often a thing arrived.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HANG_S = 30.0
OK = "ok"
HANG = "hang"
DOWN = "down"  # nothing listens


@dataclass(frozen=True)
class Arrival:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    was_taken: bool

    @property
    def key(self) -> str:
        """What tells one delivery from another."""
        return self.headers.get("idempotency-key") or self.headers.get("webhook-id", "")


class Receiver:
    """Serves on a port of its own until it is closed. `mood` is ok, hang, down, or a status to answer."""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []
        self.effects: Counter[str] = Counter()
        self.bodies: dict[str, set[bytes]] = {}
        self.answers: dict[str, str] = {}
        self._mood = OK
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._listen(0)

    @property
    def url(self) -> str:
        """Where it is, also while it is away."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def host(self) -> str:
        """`host:port`, as the setting of allowed hosts wants it."""
        return urlsplit(self.url).netloc

    @property
    def mood(self) -> str:
        """How it answers now."""
        return self._mood

    @mood.setter
    def mood(self, mood: str) -> None:
        was_down, self._mood = self._mood == DOWN, mood
        self._released.set()  # who hangs goes on, and its client is long gone
        self._released = threading.Event()
        if mood == DOWN:
            self.close()
        elif was_down:
            self._listen(self._port)

    def messages(self) -> list[dict[str, Any]]:
        """The bodies of what it took, as JSON."""
        return [json.loads(one.body) for one in self.arrived if one.was_taken]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int | None:
        """The status to answer; None when the client has hung up meanwhile."""
        mood, released = self._mood, self._released
        arrival = Arrival(path, headers, body, was_taken=mood == OK)
        with self._lock:
            self.arrived.append(arrival)
            if mood == OK:
                self.effects[arrival.key] += not self.effects[arrival.key]
                self.bodies.setdefault(arrival.key, set()).add(body)
        if mood == HANG:
            released.wait(HANG_S)
            return None
        return 200 if mood == OK else int(mood)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _listen(self, port: int) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler_of(self))
        server.daemon_threads, server.block_on_close = True, False
        self._server, self._port = server, server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver while it serves."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(self.path, headers, body)
            if status is None:
                return
            content = b'{"rows": 1}'
            with contextlib.suppress(OSError):  # killed clients do not read
                self.send_response(status)
                for name, value in {**receiver.answers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_PUT = do_POST  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
            """Silent."""

    return Handler
