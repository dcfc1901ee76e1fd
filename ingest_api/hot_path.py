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

from ingest_api.answers import (
    Answer,
    ProblemError,
    batch_all_accepted,
    batch_judged,
    problem,
    single_accepted,
    single_refused,
)
from ingest_api.bodies import BodyTooLargeError, BodyUnreadableError, parsed, raw_deliveries, unpacked
from ingest_api.contracts import QUARANTINED, EventLimits, Judge, Verdict
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord, Rejection
from resources.errors import AuthenticationError, EventLogFullError, ServiceUnavailableError

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
SINGLE_PATH = "/v1/events/ingest"
BATCH_PATH = "/v1/events/batch"
JSON_TYPES = frozenset({b"", b"application/json"})
NDJSON_TYPES = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})
ENCODINGS = {
    b"": BodyEncoding.IDENTITY,
    b"identity": BodyEncoding.IDENTITY,
    b"gzip": BodyEncoding.GZIP,
    b"zstd": BodyEncoding.ZSTD,
}


class _Sent(NamedTuple):
    """A request's body and what is known about it before it is read."""

    tenant_id: str
    format: BodyFormat
    encoding: BodyEncoding
    body: bytes
    received_at_us: int


class ClientGoneError(Exception):
    """The client went away before its body was complete; nothing was taken."""


class HotPath:
    """Answers to ingest requests. `event_log` is set when the application starts."""

    def __init__(self, settings: Settings, keys: KeyCache, metrics: DoorMetrics) -> None:
        self.event_log: EventLog | None = None
        self._settings = settings
        self._keys = keys
        self._metrics = metrics
        self._judge = Judge(EventLimits.of(settings))

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
        body_format, encoding = _negotiated(path, headers)
        body = await self._read(headers, receive)
        sent = _Sent(tenant_id, body_format, encoding, body, time.time_ns() // 1_000)
        try:
            plain = unpacked(body, encoding, self._unpacked_max(body_format))
            deliveries = parsed(plain, body_format)
        except BodyTooLargeError:
            raise self._too_large(self._unpacked_max(body_format)) from None
        except BodyUnreadableError as error:
            return await self._refuse_whole(sent, error)
        if len(deliveries.events) > self._settings.batch_max_events:
            most = self._settings.batch_max_events
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too_many_events",
                f"a batch may hold {most} events: send several",
            )
        return await self._take(sent, plain, deliveries)

    async def _take(self, sent: _Sent, plain: bytes, deliveries: Deliveries) -> Answer:
        events = deliveries.events
        now = dt.datetime.fromtimestamp(sent.received_at_us / 1e6, tz=dt.UTC)
        if not deliveries.unparsed and self._judge.all_accepted(sent.tenant_id, events, len(plain), now):
            await self._log(sent, len(events), ())
            ids = [event["eventId"] for event in events]
            return (
                single_accepted(ids[0].lower()) if sent.format is BodyFormat.JSON else batch_all_accepted(ids)
            )
        raws = raw_deliveries(plain, sent.format)
        verdicts = self._judge.verdicts(sent.tenant_id, events, raws, deliveries.unparsed, now)
        await self._log(sent, len(events), _rejections(verdicts))
        if sent.format is not BodyFormat.JSON:
            return batch_judged(verdicts)
        verdict = verdicts[0]
        return (
            single_refused(verdict)
            if verdict.status == QUARANTINED
            else single_accepted(verdict.event_id or "")
        )

    async def _refuse_whole(self, sent: _Sent, error: BodyUnreadableError) -> Answer:
        opaque = sent._replace(format=BodyFormat.OPAQUE, encoding=BodyEncoding.IDENTITY)
        await self._log(opaque, 1, [Rejection(0, error.code, "", str(error))])
        return problem(HTTPStatus.BAD_REQUEST, error.code, str(error), quarantined=True)

    async def _log(self, sent: _Sent, event_count: int, rejections: Sequence[Rejection]) -> None:
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
            schema_version=self._judge.version,
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
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise self._too_large(limit)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

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


def _negotiated(path: str, headers: Headers) -> tuple[BodyFormat, BodyEncoding]:
    content_type, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    encoding = ENCODINGS.get(headers.get(b"content-encoding", b"").strip().lower())
    if charset.startswith(b"charset=") and charset != b"charset=utf-8":
        raise _unsupported("JSON is UTF-8: send no other charset")
    if encoding is None:
        raise _unsupported("Content-Encoding may be gzip, zstd or identity")
    content_type = content_type.strip()
    if content_type in JSON_TYPES:
        return (BodyFormat.ARRAY if path == BATCH_PATH else BodyFormat.JSON), encoding
    if content_type in NDJSON_TYPES and path == BATCH_PATH:
        return BodyFormat.NDJSON, encoding
    raise _unsupported("Content-Type is application/json, or for batches application/x-ndjson")


def _unsupported(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def _rejections(verdicts: Sequence[Verdict]) -> list[Rejection]:
    return [
        Rejection(verdict.at, verdict.code, verdict.pointer, verdict.reason)
        for verdict in verdicts
        if verdict.status == QUARANTINED
    ]
