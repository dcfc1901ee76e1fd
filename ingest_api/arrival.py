"""An ingest request as it comes in: its route, what its headers say, and its body within limits.

Nothing here looks into a body: unpacking is `bodies`', verdicts are `judging`'s. Who may send is `hot_path`'s.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest_api.answers import ProblemError
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat
from resources.errors import ServiceUnavailableError
from schemas import event_versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from resources.settings import Settings

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    RawHeaders = Sequence[tuple[bytes, bytes]]
    Headers = dict[bytes, bytes]

JSON_TYPES = frozenset({b"", b"application/json"})
NDJSON_TYPES = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})
ENCODINGS = {
    b"": BodyEncoding.IDENTITY,
    b"identity": BodyEncoding.IDENTITY,
    b"gzip": BodyEncoding.GZIP,
    b"zstd": BodyEncoding.ZSTD,
}
# A proxy in front may have checked the one and we would read the other.
_ONCE = frozenset({b"authorization", b"x-tenant-id", b"content-type", b"content-encoding", b"traceparent"})


class Route(NamedTuple):
    """What an ingest path asks for: a contract version, one event or many."""

    version: str
    is_batch: bool


ROUTES = {
    f"/{version}/events/{name}": Route(version, is_batch=name == "batch")
    for version in event_versions()
    for name in ("ingest", "batch")
}


class Sent(NamedTuple):
    """A request's body and what is known about it before it is read."""

    tenant_id: str
    version: str
    format: BodyFormat
    encoding: BodyEncoding
    body: bytes
    received_at_us: int


class ClientGoneError(Exception):
    """The client went away before its body was complete; nothing was taken."""


def check_headers(raw: RawHeaders, headers: Headers) -> None:
    """Refuse a request that says twice what may be said once.

    Raises:
        ProblemError: it does.
    """
    if len(raw) == len(headers):
        return
    names = [name for name, _ in raw]
    repeated = sorted(name.decode() for name in _ONCE if names.count(name) > 1)
    if repeated:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "repeated_header", f"send these headers once: {', '.join(repeated)}"
        )


def negotiated(route: Route, headers: Headers) -> tuple[BodyFormat, BodyEncoding]:
    """How the body is to be read.

    Raises:
        ProblemError: not as any format or encoding there is here.
    """
    content_type, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    if parameters:
        _check_charset(parameters)
    encoding = ENCODINGS.get(headers.get(b"content-encoding", b"").strip().lower())
    if encoding is None:
        raise _unsupported("Content-Encoding may be gzip, zstd or identity")
    content_type = content_type.strip()
    if content_type in JSON_TYPES:
        return (BodyFormat.ARRAY if route.is_batch else BodyFormat.JSON), encoding
    if content_type in NDJSON_TYPES and route.is_batch:
        return BodyFormat.NDJSON, encoding
    raise _unsupported("Content-Type is application/json, or for batches application/x-ndjson")


def _check_charset(parameters: bytes) -> None:
    for parameter in parameters.replace(b" ", b"").replace(b'"', b"").split(b";"):
        if parameter.startswith(b"charset=") and parameter != b"charset=utf-8":
            raise _unsupported("JSON is UTF-8: send no other charset")


def _unsupported(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def too_large(limit_bytes: int) -> ProblemError:
    """What a request over a size limit is refused with."""
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        f"the limit is {limit_bytes} bytes here: send smaller parts",
    )


class BodyReader:
    """Reads the bodies of one worker, each and all together within limits."""

    def __init__(self, settings: Settings) -> None:
        self._body_max_bytes = settings.body_max_bytes
        self._arriving_max_bytes = settings.arriving_max_bytes
        self._arriving_bytes = 0  # of bodies that come in parts and are not complete

    def fits(self, body: bytes) -> bool:
        """Whether a body that is here already may be as large as it is."""
        return len(body) <= self._body_max_bytes

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """The body, still compressed.

        Raises:
            ProblemError: it is too large.
            ServiceUnavailableError: too much comes in at once.
            ClientGoneError: the rest of it never comes.
        """
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._body_max_bytes:
            raise too_large(self._body_max_bytes)
        message = await receive()
        if message.get("more_body", False):
            return await self._read_on(message, receive)
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body: bytes = message.get("body", b"")
        if not self.fits(body):
            raise too_large(self._body_max_bytes)
        return body

    async def _read_on(self, message: Message, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._arriving_bytes += len(part)
                if size > self._body_max_bytes:
                    raise too_large(self._body_max_bytes)
                if self._arriving_bytes > self._arriving_max_bytes:
                    raise ServiceUnavailableError(
                        "too many large bodies come in at once: send again in a few seconds"
                    )
                if not message.get("more_body", False):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._arriving_bytes -= size
