"""A head without an end: the connection ends at the limit, over a real socket."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from resources.serving.heads import HEAD_MAX_BYTES, BoundedHeadProtocol
from resources.serving.requests import RequestMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTED: list[tuple[str, str, int]] = []


async def size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    app = Starlette(routes=[Route("/", size, methods=["POST"])])
    app.add_middleware(
        RequestMiddleware,
        note=lambda method, route, status, _: NOTED.append((method, route, status)),
        body_max_bytes=4 * HEAD_MAX_BYTES,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=BoundedHeadProtocol, log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield listener.getsockname()
        server.should_exit = True
        thread.join(30)


def answer(address: tuple[str, int], *parts: bytes) -> bytes:
    """All that comes back until the server ends the connection."""
    received = b""
    with socket.create_connection(address, timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        while part := connection.recv(65_536):
            received += part
    return received


def test_a_head_that_never_ends_is_cut_off_at_the_limit(address: tuple[str, int]) -> None:
    begun = b"POST / HTTP/1.1\r\nX-Long: " + b"x" * HEAD_MAX_BYTES  # and the client waits with the rest
    assert answer(address, begun).startswith(b"HTTP/1.1 400 ")


def test_a_head_that_is_whole_and_too_large_gets_a_problem(address: tuple[str, int]) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: " + b"x" * HEAD_MAX_BYTES + b"\r\n\r\n"
    )
    said = answer(address, head)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in said


def test_bodies_do_not_count_as_heads_however_many_there_are(address: tuple[str, int]) -> None:
    body = b"y" * (HEAD_MAX_BYTES - 1)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    requests = [head + b"\r\n", body] * 4 + [head + b"Connection: close\r\n\r\n", body]
    assert answer(address, *requests).count(b"HTTP/1.1 200 OK") == 5


def test_methods_that_are_made_up_make_no_series_of_their_own(address: tuple[str, int]) -> None:
    NOTED.clear()
    answer(address, b"PROPFIND / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert {method for method, _, _ in NOTED} <= {"ANY", "OTHER"}
    assert NOTED
