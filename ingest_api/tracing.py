"""W3C Trace Context at the door: every answer names its trace, and so does every refusal's log line.

The trace stays out of the event log: an event's own way on is found by its id. Nothing is exported from here.
"""

from __future__ import annotations

import logging
import os
import re
import time
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING

import orjson

from ingest_api.answers import PROBLEM_TYPE, Answer

if TYPE_CHECKING:
    from ingest_api.arrival import Headers

logger = logging.getLogger(__name__)
# W3C Trace Context, version 00; all zeros are no id
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TENANT = re.compile(rb"[a-z][a-z0-9_]{1,30}")
LINES_PER_S = 50  # of refusals: a flood of them must not become a flood of lines


class Traces:
    """Gives requests without a trace one: unique by process and number, so that it costs 0.2 µs and no entropy."""

    def __init__(self) -> None:
        self._process = os.urandom(8).hex()
        self._numbers = count(1)

    def of(self, headers: Headers) -> bytes:
        """The request's own `traceparent` where it is valid, else a new one, not sampled."""
        given = headers.get(b"traceparent")
        if given is not None and _TRACEPARENT.fullmatch(given):
            return given
        return f"00-{self._process}{(number := next(self._numbers)):016x}-{number:016x}-00".encode()


def trace_id(traceparent: bytes) -> str:
    """The trace's id, 32 hexadecimal digits."""
    return traceparent[3:35].decode()


def traced(answer: Answer, traceparent: bytes) -> Answer:
    """The answer with its `traceparent`; a problem document names the trace too (RFC 9457 `instance`)."""
    body = answer.body
    if answer.content_type == PROBLEM_TYPE:  # an object that has members already
        name = trace_id(traceparent)
        body = body[:-1] + f',"instance":"urn:unmogrowp:trace:{name}","traceId":"{name}"}}'.encode()
    headers = (*answer.headers, (b"traceparent", traceparent))
    return Answer(answer.status, body, answer.content_type, headers)


class RefusalLog:
    """A line per refused request: status, code, the tenant it claims to be, its trace. Nothing that was sent."""

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def note(self, answer: Answer, headers: Headers, traceparent: bytes) -> None:
        """Write the line, unless this second has had enough of them."""
        second = int(time.monotonic())
        if second != self._second:
            if self._left_out:
                logger.warning("%d more requests were refused in one second", self._left_out)
            self._second, self._lines, self._left_out = second, 0, 0
        if self._lines >= LINES_PER_S:
            self._left_out += 1
            return
        self._lines += 1
        tenant = headers.get(b"x-tenant-id", b"")
        logger.log(
            logging.WARNING if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO,
            "refused: status=%d code=%s tenant=%s trace=%s",
            answer.status,
            orjson.loads(answer.body)["code"],
            tenant.decode() if _TENANT.fullmatch(tenant) else "-",
            trace_id(traceparent),
        )
