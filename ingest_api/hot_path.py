"""The two ingest requests from bytes to answer: authenticate, read, unpack, judge, make durable, answer.

An answer of 202 comes only after the log's sync. What a valid token sent and we refuse to take in is logged
too, as rejected, so that nothing sent is lost. Routing, health and documentation are `app`'s; verdicts are
`contracts`'.
"""

from __future__ import annotations

import datetime as dt
import hmac
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest_api import fast_lane
from ingest_api.answers import (
    Answer,
    ProblemError,
    batch_all_accepted,
    batch_judged,
    problem,
    single_accepted,
    single_refused,
)
from ingest_api.bodies import (
    BodyTooLargeError,
    BodyTooManyError,
    BodyUnreadableError,
    check_counts,
    parsed,
    raw_deliveries,
    too_many_events,
    unpacked,
)
from ingest_api.contracts import QUARANTINED, EventLimits, Judge, Verdict
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord, Rejection
from resources.errors import (
    AuthenticationError,
    EventLogFullError,
    RecordTooLargeError,
    ServiceUnavailableError,
)
from schemas import event_versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from ingest_api.bodies import Deliveries
    from ingest_api.event_log.protocol import EventLog
    from ingest_api.keys import KeyCache
    from ingest_api.metrics import DoorMetrics
    from resources.settings import Settings

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Headers = dict[bytes, bytes]

logger = logging.getLogger(__name__)
JSON_TYPES = frozenset({b"", b"application/json"})
NDJSON_TYPES = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})
ENCODINGS = {
    b"": BodyEncoding.IDENTITY,
    b"identity": BodyEncoding.IDENTITY,
    b"gzip": BodyEncoding.GZIP,
    b"zstd": BodyEncoding.ZSTD,
}


class Route(NamedTuple):
    """What an ingest path asks for: a contract version, one event or many."""

    version: str
    is_batch: bool


ROUTES = {
    f"/{version}/events/{name}": Route(version, is_batch=name == "batch")
    for version in event_versions()
    for name in ("ingest", "batch")
}


class _Sent(NamedTuple):
    """A request's body and what is known about it before it is read."""

    tenant_id: str
    version: str
    format: BodyFormat
    encoding: BodyEncoding
    body: bytes
    received_at_us: int


class _Judged(NamedTuple):
    """What is to be made durable, and what is answered then."""

    sent: _Sent
    event_count: int
    rejections: Sequence[Rejection]
    answer: Answer


class ClientGoneError(Exception):
    """The client went away before its body was complete; nothing was taken."""


class HotPath:
    """Answers to ingest requests. `event_log` is set when the application starts."""

    def __init__(self, settings: Settings, keys: KeyCache, metrics: DoorMetrics) -> None:
        self.event_log: EventLog | None = None
        self._settings = settings
        self._keys = keys
        self._metrics = metrics
        self._arriving_bytes = 0  # of bodies that come in parts and are not complete
        limits = EventLimits.of(settings)
        self._judges = {version: Judge(limits, version) for version in event_versions()}
        self._fast_lanes = fast_lane.lanes(limits, settings.batch_max_events) if settings.native_scan else {}

    async def answer(self, path: str, headers: Headers, receive: Receive) -> Answer:
        """The response to one request, whatever it holds.

        Raises:
            ClientGoneError: there is nobody to answer.
        """
        try:
            answer = await self._answer(path, headers, receive)
        except ProblemError as error:
            answer = error.answer()
        except AuthenticationError as error:
            answer = problem(HTTPStatus.UNAUTHORIZED, "unauthorized", str(error))
        except EventLogFullError as error:
            answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_durable", str(error))
        except RecordTooLargeError as error:
            answer = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", str(error))
        except ServiceUnavailableError as error:
            answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", str(error))
        except ClientGoneError:
            raise
        except Exception:
            logger.exception("an ingest request failed on our side")
            answer = problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "nothing was taken; the fault is ours"
            )
        self._metrics.answered(answer.status)
        return answer

    async def _answer(self, path: str, headers: Headers, receive: Receive) -> Answer:
        tenant_id = await self._authenticated_tenant(headers)
        route = ROUTES[path]
        body_format, encoding = _negotiated(route, headers)
        body = await self._read(headers, receive)
        judged = self._judged(
            _Sent(tenant_id, route.version, body_format, encoding, body, time.time_ns() // 1_000)
        )
        await self._log(judged)
        return judged.answer

    # -- judging: plain calls, so that nothing unpacked or parsed is in memory while the log syncs ---

    def _judged(self, sent: _Sent) -> _Judged:
        settings = self._settings
        try:
            plain = unpacked(sent.body, sent.encoding, self._unpacked_max(sent.format))
            check_counts(
                plain,
                sent.format,
                events_max=settings.batch_max_events,
                values_max=settings.body_max_values,
            )
            fast = self._fast_lanes.get(sent.version)
            ids = fast and fast.certain_ids(sent.tenant_id, plain, sent.format, sent.received_at_us)
            if ids:
                return _all_accepted(sent, ids)
            deliveries = parsed(plain, sent.format)
            if len(deliveries.events) > settings.batch_max_events:
                raise too_many_events(settings.batch_max_events)
        except BodyTooLargeError:
            raise self._too_large(self._unpacked_max(sent.format)) from None
        except BodyTooManyError as error:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.code, str(error)) from None
        except BodyUnreadableError as error:
            return _refused_whole(sent, error)
        return self._judged_each(sent, plain, deliveries)

    def _judged_each(self, sent: _Sent, plain: bytes, deliveries: Deliveries) -> _Judged:
        events = deliveries.events
        now = dt.datetime.fromtimestamp(sent.received_at_us / 1e6, tz=dt.UTC)
        judge = self._judges[sent.version]
        if not deliveries.unparsed and judge.all_accepted(sent.tenant_id, events, plain, sent.format, now):
            return _all_accepted(sent, [event["eventId"].lower() for event in events])
        raws = raw_deliveries(plain, sent.format)
        verdicts = judge.verdicts(sent.tenant_id, events, raws, deliveries.unparsed, now)
        if sent.format is not BodyFormat.JSON:
            answer = batch_judged(verdicts)
        elif verdicts[0].status == QUARANTINED:
            answer = single_refused(verdicts[0])
        else:
            answer = single_accepted(verdicts[0].event_id or "")
        return _Judged(sent, len(events), _rejections(verdicts), answer)

    async def _log(self, judged: _Judged) -> None:
        sent, event_count, rejections, _ = judged
        if self.event_log is None:
            raise EventLogFullError("the event log is not open yet: send again in a moment")
        if event_count == 0:
            return
        record = LogRecord(
            tenant_id=sent.tenant_id,
            received_at_us=sent.received_at_us,
            format=sent.format,
            encoding=sent.encoding,
            event_count=event_count,
            body=sent.body,
            rejections=rejections,
            schema_version=sent.version,
        )
        started_at = time.perf_counter()
        await self.event_log.append(record)
        self._metrics.made_durable(
            sent.tenant_id, event_count - len(rejections), len(rejections), time.perf_counter() - started_at
        )

    async def _authenticated_tenant(self, headers: Headers) -> str:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise AuthenticationError("send the tenant's write token: `Authorization: Bearer <token>`")
        tenant_id = await self._keys.tenant_of(token.strip())
        if not hmac.compare_digest(headers.get(b"x-tenant-id", b""), tenant_id.encode()):
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "tenant_mismatch",
                "X-Tenant-ID must name the tenant this token belongs to",
            )
        return tenant_id

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._settings.body_max_bytes
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise self._too_large(limit)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if len(body) > limit:
            raise self._too_large(limit)
        return await self._read_on(body, receive) if message.get("more_body", False) else body

    async def _read_on(self, first: bytes, receive: Receive) -> bytes:
        """A body that comes in parts. All that are under way together are bounded too."""
        parts: list[bytes] = []
        size = 0
        message: MutableMapping[str, Any] = {"type": "http.request", "body": first, "more_body": True}
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._arriving_bytes += len(part)
                if size > self._settings.body_max_bytes:
                    raise self._too_large(self._settings.body_max_bytes)
                if self._arriving_bytes > self._settings.arriving_max_bytes:
                    raise ServiceUnavailableError(
                        "too many large bodies come in at once: send again in a few seconds"
                    )
                if not message.get("more_body", False):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._arriving_bytes -= size

    def _unpacked_max(self, body_format: BodyFormat) -> int:
        settings = self._settings
        return (
            settings.event_max_bytes if body_format is BodyFormat.JSON else settings.body_max_unpacked_bytes
        )

    def _too_large(self, limit_bytes: int) -> ProblemError:
        return ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"the limit is {limit_bytes} bytes here: send smaller parts",
        )


def _negotiated(route: Route, headers: Headers) -> tuple[BodyFormat, BodyEncoding]:
    content_type, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    encoding = ENCODINGS.get(headers.get(b"content-encoding", b"").strip().lower())
    if charset.startswith(b"charset=") and charset != b"charset=utf-8":
        raise _unsupported("JSON is UTF-8: send no other charset")
    if encoding is None:
        raise _unsupported("Content-Encoding may be gzip, zstd or identity")
    content_type = content_type.strip()
    if content_type in JSON_TYPES:
        return (BodyFormat.ARRAY if route.is_batch else BodyFormat.JSON), encoding
    if content_type in NDJSON_TYPES and route.is_batch:
        return BodyFormat.NDJSON, encoding
    raise _unsupported("Content-Type is application/json, or for batches application/x-ndjson")


def _unsupported(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def _all_accepted(sent: _Sent, ids: Sequence[str]) -> _Judged:
    answer = single_accepted(ids[0]) if sent.format is BodyFormat.JSON else batch_all_accepted(ids)
    return _Judged(sent, len(ids), (), answer)


def _refused_whole(sent: _Sent, error: BodyUnreadableError) -> _Judged:
    opaque = sent._replace(format=BodyFormat.OPAQUE, encoding=BodyEncoding.IDENTITY)
    answer = problem(HTTPStatus.BAD_REQUEST, error.code, str(error), quarantined=True)
    return _Judged(opaque, 1, [Rejection(0, error.code, "", str(error))], answer)


def _rejections(verdicts: Sequence[Verdict]) -> list[Rejection]:
    return [
        Rejection(verdict.at, verdict.code, verdict.pointer, verdict.reason)
        for verdict in verdicts
        if verdict.status == QUARANTINED
    ]
