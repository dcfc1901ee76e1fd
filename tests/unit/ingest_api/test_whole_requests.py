"""The plain head is read as the HTTP parser reads it, or not at all."""

from __future__ import annotations

from typing import NamedTuple

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_api.arrival import ROUTES
from ingest_api.whole_requests import PlainHead, plain_head

PLAIN = (
    b"POST /v1/events/batch HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer t\r\nX-Tenant-ID: t123\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
)
# what turns up where requests are damaged or forged
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x7f", b"\xff", b",", b"0", b"2", b"POST", b"GET", b"HTTP/1.0",
    b"Content-Length: 2\r\n", b"Content-Length: 02\r\n", b"content-length:3\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"X-Empty:\r\n", b"X : 1\r\n",
    b"Connection: keep-alive\r\n", b"/", b"%2F", b"?a", b"[]", b"\r\n\r\n",
]  # fmt: skip


class Parsed(NamedTuple):
    path: str
    headers: dict[bytes, bytes]
    body: bytes


class Parser:
    """The one request that httptools reads from these bytes; `request` is None for less, more or none."""

    def __init__(self, data: bytes) -> None:
        self._url, self._body, self._complete = b"", b"", 0
        self._headers: list[tuple[bytes, bytes]] = []
        self.request: Parsed | None = None
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            return
        if self._complete == 1 and parser.get_method() == b"POST" and parser.should_keep_alive():
            self.request = Parsed(self._url.decode(), dict(self._headers), self._body)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete += 1


def head_of(data: bytes) -> PlainHead | None:
    return plain_head(data, max_bytes=4_096, max_fields=20)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A plain request, cut and mended at a few places."""
    data = PLAIN
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        upto = draw(st.integers(at, min(at + 12, len(data))))
        data = data[:at] + draw(st.sampled_from(PIECES)) + data[upto:]
    return data


@settings(max_examples=2_000, deadline=None)
@given(damaged())
def test_what_is_read_here_the_parser_reads_alike(data: bytes) -> None:
    head = head_of(data)
    if head is None or len(data) != head.size_bytes + head.body_bytes:
        return
    request = head.with_body(data[head.size_bytes :])
    assert Parser(data).request == Parsed(request.path, request.headers, request.body)


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_every_ingest_path_is_known(path: str) -> None:
    data = PLAIN.replace(b"/v1/events/batch", path.encode())
    head = head_of(data)
    assert head is not None
    assert (head.path, head.headers[b"x-tenant-id"], head.body_bytes) == (path, b"t123", 2)
    assert data[head.size_bytes :] == b"[]"


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive, close",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"X-Tenant-ID: t123",
        b"Content-Length: 2",
        b"X-Odd : 1",
        b"X-Odd: \x01",
        b"X-Odd: \xe4",
        b" folded",
        b"no colon",
        b"X-Large: " + b"a" * 4_000,
        b"\r\n".join(b"X-%d: 1" % number for number in range(20)),
    ],
)
def test_what_is_odd_is_left_to_the_parser(line: bytes) -> None:
    assert head_of(PLAIN.replace(b"Host: door", b"Host: door\r\n" + line)) is None


@pytest.mark.parametrize("length", [b"", b"0", b"02", b"+2", b"2x", b"0x2", b"99999999999"])
def test_a_length_that_is_no_plain_number_is_left_to_the_parser(length: bytes) -> None:
    assert head_of(PLAIN.replace(b"Content-Length: 2", b"Content-Length: " + length)) is None


@pytest.mark.parametrize(
    "first",
    [
        b"GET /v1/events/batch HTTP/1.1",
        b"POST /health/live HTTP/1.1",
        b"POST /v1/events/batch?a=1 HTTP/1.1",
        b"POST /v1/events/batch HTTP/1.0",
        b"POST http://door/v1/events/batch HTTP/1.1",
        b"",
    ],
)
def test_another_request_line_is_left_to_the_parser(first: bytes) -> None:
    assert head_of(PLAIN.replace(b"POST /v1/events/batch HTTP/1.1", first)) is None


def test_a_connection_that_is_said_to_stay_stays() -> None:
    assert head_of(PLAIN.replace(b"Host: door", b"Host: door\r\nConnection: Keep-Alive")) is not None
