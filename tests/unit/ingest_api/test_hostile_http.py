"""Hostile HTTP over real sockets: endless, malformed and doubled. Slow clients and bodies: elsewhere."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from resources.settings import Settings
from tests.support.door import RunningDoor, assert_problem, click, founding_event, logged
from tests.support.raw_http import HEAD, answer_to, connected, parsed, rest_of

if TYPE_CHECKING:
    from pathlib import Path


def still_serves(door: RunningDoor) -> bool:
    return door.send(founding_event()).status_code == 202


@pytest.mark.parametrize("pieces", [1, 2, 40])
def test_headers_over_their_limit_are_431_however_they_are_cut(strict: RunningDoor, pieces: int) -> None:
    request = HEAD.encode() + b"X-Large: " + b"a" * 9_000
    size = len(request) // pieces + 1
    with connected(strict) as connection:
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it was answered before all was sent
            for at in range(0, len(request), size):
                connection.sendall(request[at : at + size])
                time.sleep(0.002)
        assert_problem(parsed(connection), 431, "headers_too_large")
    assert still_serves(strict)


def test_a_head_within_its_limit_may_come_with_a_large_body_in_one_piece(strict: RunningDoor) -> None:
    body = b"[" + b" " * 60_000 + b"]"
    whole = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with connected(strict) as connection:
        for _ in range(3):
            connection.sendall(whole)
            assert parsed(connection).status_code == 202


def test_too_many_headers_are_431(strict: RunningDoor) -> None:
    many = "".join(f"X-{number}: 1\r\n" for number in range(101))
    response = answer_to(strict, f"{HEAD}{many}Content-Length: 2\r\n\r\n[]".encode())
    assert_problem(response, 431, "too_many_headers")


@pytest.mark.parametrize("name", ["Authorization", "X-Tenant-ID", "Content-Type", "Content-Encoding"])
def test_a_header_that_decides_may_be_sent_once(strict: RunningDoor, name: str) -> None:
    known = "identity" if name == "Content-Encoding" else None
    twice = f"{name}: {known}\r\n{name}: gzip\r\n" if known else f"{name}: other\r\n"
    response = answer_to(strict, f"{HEAD}{twice}Content-Length: 2\r\n\r\n[]".encode())
    assert name.lower() in assert_problem(response, 400, "repeated_header")["detail"]
    assert logged(strict.settings) == []


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 2x\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        f"Content-Length: {'9' * 6_000}\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ],
)
def test_a_body_of_uncertain_length_is_400_and_takes_nothing(strict: RunningDoor, lengths: str) -> None:
    response = answer_to(strict, f"{HEAD}{lengths}\r\n[]".encode())
    assert_problem(response, 400, "bad_request")
    assert logged(strict.settings) == []


def test_a_length_over_the_limit_is_413_before_a_byte_of_it_comes(strict: RunningDoor) -> None:
    response = answer_to(strict, f"{HEAD}Content-Length: 999999999\r\n\r\n".encode())
    assert_problem(response, 413, "too_large")


def test_a_client_that_asks_first_is_told_before_it_sends_its_body(strict: RunningDoor) -> None:
    head = f"{HEAD}Expect: 100-continue\r\nContent-Length: "
    assert_problem(answer_to(strict, f"{head}999999999\r\n\r\n".encode()), 413, "too_large")
    with connected(strict) as connection:
        connection.sendall(f"{head}2\r\n\r\n".encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"[]")
        assert parsed(connection).status_code == 202


def test_a_chunked_body_is_taken_whole(strict: RunningDoor) -> None:
    body = orjson.dumps([click()])
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
    response = answer_to(strict, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
    assert (response.status_code, response.json()["accepted"]) == (202, 1)
    assert logged(strict.settings)[0].body == body


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n[]\r\n", b"2\r\n[]XX0\r\n\r\n", b"f" * 20 + b"\r\n"])
def test_a_malformed_chunk_is_400_and_takes_nothing(strict: RunningDoor, chunk: bytes) -> None:
    response = answer_to(strict, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk)
    assert_problem(response, 400, "bad_request")
    assert logged(strict.settings) == []


def test_an_endless_chunked_body_is_413(tmp_path: Path) -> None:
    with RunningDoor(Settings(home=tmp_path, body_max_bytes=100_000)) as door, connected(door) as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        for _ in range(4):
            connection.sendall(chunk)
        assert_problem(parsed(connection), 413, "too_large")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_405(strict: RunningDoor, method: str) -> None:
    response = strict.client.request(method, "/v1/events/batch")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "line",
    [
        "BREW /v1/events/batch HTTP/1.1",
        "POST /v1/events/batch HTTP/9.9",
        "POST /v1/\xff HTTP/1.1",
        "GET http://[ HTTP/1.1",
        "\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_no_http_is_400(strict: RunningDoor, line: str) -> None:
    with connected(strict) as connection:
        connection.sendall(f"{line}\r\nHost: door\r\n\r\n".encode("latin-1"))
        received = rest_of(connection)
    assert re.match(rb"HTTP/1\.1 400 Bad Request\r\n", received), received
    assert b'"code":"bad_request"' in received
    assert b"Traceback" not in received
    assert still_serves(strict)


def test_an_answer_never_comes_before_that_of_an_earlier_request(strict: RunningDoor) -> None:
    """A pipelined request that is no HTTP must not be answered in the place of the good one before it."""
    event = founding_event()
    body = orjson.dumps([event])
    good = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with connected(strict) as connection:
        connection.sendall(good + b"NONSENSE\r\n\r\n")
        received = rest_of(connection)
    assert received == b"" or received.startswith(b"HTTP/1.1 202 ")


def test_refusals_below_http_are_counted(strict: RunningDoor) -> None:
    answer_to(strict, b"NONSENSE\r\n\r\n")
    answer_to(strict, f"{HEAD}Content-Length: 10\r\n\r\n".encode())
    scraper = {"Authorization": f"Bearer {strict.settings.scrape_token()}"}
    text = strict.client.get("/metrics", headers=scraper).text
    assert 'unmogrowp_ingest_requests_total{status="400"} 1.0' in text
    assert 'unmogrowp_ingest_requests_total{status="408"} 1.0' in text
