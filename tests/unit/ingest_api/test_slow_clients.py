"""Clients that send slowly, stop, or do not read, over real sockets: each is cut off within a setting."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from resources.settings import Settings
from tests.support.door import RunningDoor, assert_problem, click, founding_event, logged
from tests.support.raw_http import HEAD, TIMEOUT_S, answer_to, connected, parsed, rest_of

if TYPE_CHECKING:
    from pathlib import Path


def drip(connection: socket.socket, data: bytes, pause_s: float = 0.05) -> float:
    """Send a byte at a time until the other side has had enough; seconds that took."""
    began_s = time.monotonic()
    for at in range(len(data)):
        try:
            connection.sendall(data[at : at + 1])
        except (BrokenPipeError, ConnectionResetError):
            break
        time.sleep(pause_s)
        if time.monotonic() - began_s > 20 * TIMEOUT_S:
            break
        connection.setblocking(False)
        try:
            if connection.recv(1, socket.MSG_PEEK) is not None:
                break
        except BlockingIOError:
            pass
        except ConnectionResetError:
            break
        finally:
            connection.setblocking(True)
            connection.settimeout(10)
    return time.monotonic() - began_s


def still_serves(door: RunningDoor) -> bool:
    return door.send(founding_event()).status_code == 202


def test_a_head_that_comes_a_byte_at_a_time_is_cut_off_with_408(strict: RunningDoor) -> None:
    with connected(strict) as connection:
        seconds = drip(connection, b"POST /v1/events/ingest HTTP/1.1\r\nX-Slow: " + b"a" * 1_000)
        assert_problem(parsed(connection), 408, "too_slow")
        assert rest_of(connection) == b""
    assert TIMEOUT_S <= seconds < TIMEOUT_S + 2
    assert still_serves(strict)


def test_a_body_that_comes_a_byte_at_a_time_is_cut_off_with_408_and_takes_nothing(
    strict: RunningDoor,
) -> None:
    body = orjson.dumps([click()])
    with connected(strict) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode())
        seconds = drip(connection, body)
        assert_problem(parsed(connection), 408, "too_slow")
        assert rest_of(connection) == b""
    assert TIMEOUT_S <= seconds < TIMEOUT_S + 2
    assert logged(strict.settings) == []
    assert still_serves(strict)


def test_a_body_that_was_announced_and_never_comes_is_cut_off_with_408(strict: RunningDoor) -> None:
    assert_problem(answer_to(strict, f"{HEAD}Content-Length: 10\r\n\r\n".encode()), 408, "too_slow")


def test_a_second_request_on_a_connection_has_the_same_deadlines(strict: RunningDoor) -> None:
    whole = f"{HEAD}Content-Length: 2\r\n\r\n[]".encode()
    with connected(strict) as connection:
        connection.sendall(whole)
        assert parsed(connection).status_code == 202
        connection.sendall(HEAD[:40].encode())
        assert_problem(parsed(connection), 408, "too_slow")


def test_a_connection_that_says_nothing_is_closed_without_a_word(strict: RunningDoor) -> None:
    with connected(strict) as connection:
        began_s = time.monotonic()
        assert rest_of(connection) == b""
        assert TIMEOUT_S <= time.monotonic() - began_s < TIMEOUT_S + 2


def test_an_idle_connection_is_closed_after_its_keep_alive(strict: RunningDoor) -> None:
    with connected(strict) as connection:
        connection.sendall(f"{HEAD}Content-Length: 2\r\n\r\n[]".encode())
        assert parsed(connection).status_code == 202
        began_s = time.monotonic()
        assert rest_of(connection) == b""
        assert 0.8 <= time.monotonic() - began_s < 3


def test_a_body_that_goes_on_after_its_refusal_holds_the_connection_no_longer(strict: RunningDoor) -> None:
    head = "POST /v1/events/batch HTTP/1.1\r\nHost: door\r\nContent-Length: 1000000\r\n\r\n"
    with connected(strict) as connection:
        connection.sendall(head.encode())
        assert parsed(connection).status_code == 401
        began_s = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1_000):
                connection.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() - began_s < TIMEOUT_S + 2


def test_a_client_that_never_reads_its_answers_is_cut_off(strict: RunningDoor) -> None:
    events = orjson.dumps([click() for _ in range(2_000)])
    request = f"{HEAD}Content-Length: {len(events)}\r\n\r\n".encode() + events
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(10)
        host, port = strict.url.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)) as end:
            for _ in range(200):
                connection.sendall(request)
        assert not isinstance(end.value, TimeoutError)
    assert still_serves(strict)


def test_slow_connections_keep_nobody_waiting(strict: RunningDoor) -> None:
    slow = [connected(strict) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/events/ingest HTTP/1.1\r\n")
        began_s = time.monotonic()
        assert still_serves(strict)
        assert time.monotonic() - began_s < 1
        assert all(rest_of(connection).startswith(b"HTTP/1.1 408 ") for connection in slow)
    finally:
        for connection in slow:
            connection.close()


def test_bodies_that_come_in_together_are_bounded_together(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, arriving_max_bytes=400_000)
    head = f"{HEAD}Content-Length: 300000\r\n\r\n".encode()
    with RunningDoor(settings) as door, connected(door) as first, connected(door) as second:
        first.sendall(head + b"[" + b" " * 250_000)
        time.sleep(0.2)
        second.sendall(head + b"[" + b" " * 250_000)
        assert_problem(parsed(second), 503, "unavailable")
        first.sendall(b" " * (300_000 - 250_002) + b"]")
        assert parsed(first).status_code == 202
        assert door.send_batch(b"[" + b" " * 300_000 + b"]").status_code == 202
