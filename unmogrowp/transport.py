"""Requests to the door and what its replies mean, without sending anything: sync and async share it. Pure.

Belongs here: addresses, headers, packing, the map from a reply to an answer or a typed error. Sending is the
clients' (`http_headers` and `Post` in, `Reply` or `Unreachable` out); trying again is `delivery`'s.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

import orjson
import zstandard

from unmogrowp.batching import BatchAnswer, read_answer
from unmogrowp.errors import (
    AuthenticationError,
    ClientError,
    ConfigurationError,
    DoorUnavailableError,
    ForbiddenError,
    ProtocolError,
    RefusedError,
    TooLargeError,
)

BATCH_PATH = "/v1/events/batch"
SINGLE_PATH = "/v1/events/ingest"
READY_PATH = "/health/ready"
ZSTD_LEVEL = 1  # simulated events, 356 bytes: 6.1x at 0.5 µs each; level 3: 5.8x at 0.9, level 9: 6.4x at 4.8
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 413, 422})
_ANSWER_KEPT_CHARACTERS = 4096  # a problem document is under 1 KiB
Kind = TypeVar("Kind", bound=ClientError)
_TENANT_ID = re.compile(r"[a-z][a-z0-9_]{1,30}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Post:
    """One request body for the door, the same bytes on every try."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What the door answered."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True)
class Unreachable:
    """There was no answer, and why."""

    problem: str


@dataclass(frozen=True)
class Door:
    """Where the events of one tenant go. The token is in no text this class makes."""

    url: str
    tenant_id: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{self.url!r} is no address of a door: give http(s)://host:port")
        if not _TENANT_ID.fullmatch(self.tenant_id):
            raise ConfigurationError(f"{self.tenant_id!r} is no tenant id: it is like t123")
        if not _TOKEN.fullmatch(self.token):
            raise ConfigurationError(
                f"tenant {self.tenant_id}: the token is empty or holds spaces or line ends: give it as minted"
            )

    @property
    def base_url(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")

    def http_headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}", "X-Tenant-ID": self.tenant_id}

    def answer(self, reply: Reply | Unreachable, lines: Sequence[bytes]) -> BatchAnswer:
        """The verdicts on a batch.

        Raises:
            ClientError: as `checked`; ProtocolError also when the answer does not account for every line.
        """
        taken = self.checked(reply)
        try:
            return read_answer(taken.body, lines)
        except ProtocolError as error:
            raise self._error(ProtocolError, f"{error}; check its version", taken) from error

    def checked(self, reply: Reply | Unreachable) -> Reply:
        """The reply, when it says that everything is durable.

        Raises:
            DoorUnavailableError: no answer, or "not now". AuthenticationError, ForbiddenError: the credential.
            RefusedError, TooLargeError: the body. ProtocolError: this is no door, or another version.
        """
        if isinstance(reply, Unreachable):
            raise DoorUnavailableError(
                f"tenant {self.tenant_id}: the door at {self.base_url} did not answer ({reply.problem})"
            )
        said = problem_text(reply)
        match reply.status:
            case HTTPStatus.ACCEPTED:
                return reply
            case HTTPStatus.UNAUTHORIZED:
                raise self._error(AuthenticationError, f"{said}; use an active ingest token", reply)
            case HTTPStatus.FORBIDDEN:
                names = "token, X-Tenant-ID and tenantId must name one tenant"
                raise self._error(ForbiddenError, f"{said}; {names}", reply)
            case status if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise self._not_now(reply)
            case status if status in _REFUSED:
                raise self._refused(reply)
        raise self._error(ProtocolError, f"{said}; check its address and version", reply)

    def _not_now(self, reply: Reply) -> DoorUnavailableError:
        error = self._error(DoorUnavailableError, problem_text(reply), reply)
        error.retry_after_s = retry_after_s(reply.retry_after)
        return error

    def _refused(self, reply: Reply) -> RefusedError:
        kind = TooLargeError if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else RefusedError
        error = self._error(kind, f"{problem_text(reply)}; correct the events", reply)
        error.answer = reply.body[:_ANSWER_KEPT_CHARACTERS].decode(errors="replace")
        return error

    def _error(self, kind: type[Kind], said: str, reply: Reply) -> Kind:
        sentence = f"tenant {self.tenant_id}: the door at {self.base_url} answered {said}"
        return kind(sentence, status=reply.status)


def batch_post(lines: Sequence[bytes]) -> Post:
    """The lines as one packed NDJSON request."""
    packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"\n".join(lines) + b"\n")
    return Post(BATCH_PATH, packed, {"Content-Type": "application/x-ndjson", "Content-Encoding": "zstd"})


def body_post(body: bytes, *, is_batch: bool, headers: Mapping[str, str] | None = None) -> Post:
    """A JSON body as somebody else made it, byte for byte."""
    path = BATCH_PATH if is_batch else SINGLE_PATH
    return Post(path, body, {"Content-Type": "application/json", **(headers or {})})


def problem_text(reply: Reply) -> str:
    """Status and, where there is one, the problem document's sentence."""
    try:
        detail = orjson.loads(reply.body)["detail"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        known = reply.status in HTTPStatus.__members__.values()
        detail = HTTPStatus(reply.status).phrase if known else ""
    return f"{reply.status} {detail}".rstrip()


def retry_after_s(header: str | None) -> float | None:
    """Retry-After in seconds, from a number or a date; None when it is neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())
