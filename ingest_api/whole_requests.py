"""Reads the head of an ingest request that is plain; of every other it says nothing, and HTTP's parser reads it.

It may only say yes: what is read here, the parser would have read with the same path, headers and length. Whatever
is odd, incomplete or said twice is left to it. Nothing is judged or answered here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ingest_api.arrival import ROUTES

if TYPE_CHECKING:
    from ingest_api.arrival import Headers

_HEAD_END = b"\r\n\r\n"
_PATHS = {f"POST {path} HTTP/1.1".encode(): path for path in ROUTES}
# RFC 9110: a token, and a value of visible characters; folded lines and bytes above 0x7e are for the parser, and so is
# white space behind a value, which it keeps
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*(?<![\t ]))+")
_LENGTH = re.compile(rb"[1-9][0-9]{0,9}")
# They change what a connection does next, or how a body is read.
_LEFT_TO_THE_PARSER = frozenset({b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"})


class WholeRequest(NamedTuple):
    """A request to an ingest path; header names in lower case."""

    path: str
    headers: Headers
    body: bytes


class PlainHead(NamedTuple):
    """The head of one: `size_bytes` with the empty line, and what its body is said to have."""

    path: str
    headers: Headers
    size_bytes: int
    body_bytes: int

    def with_body(self, body: bytes) -> WholeRequest:
        """The request, once its body is here."""
        return WholeRequest(self.path, self.headers, body)


def plain_head(data: bytes, *, max_bytes: int, max_fields: int) -> PlainHead | None:
    """The head that these bytes begin with; None where the parser has to look."""
    end = data.find(_HEAD_END, 0, max_bytes)
    line_end = data.find(b"\r\n", 0, end + 2)
    path = _PATHS.get(data[:line_end])
    if end < 0 or path is None or not _FIELDS.fullmatch(data, line_end, end):
        return None
    headers: Headers = {}
    lines = data[line_end + 2 : end].split(b"\r\n")
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.lstrip(b" \t")
    if len(headers) != len(lines) or len(lines) > max_fields or not _LEFT_TO_THE_PARSER.isdisjoint(headers):
        return None
    length = headers.get(b"content-length", b"")
    stays = headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    if not stays or not _LENGTH.fullmatch(length):
        return None
    return PlainHead(path, headers, end + len(_HEAD_END), int(length))
