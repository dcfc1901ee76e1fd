"""The two ingest requests from arrival to answer: authenticate, read, judge, make durable, answer.

An answer of 202 comes only after the log's sync. What a valid token sent and we refuse to take in is logged
too, as rejected, so that nothing sent is lost. Routing, health and documentation are `app`'s; what a request
looks like is `arrival`'s, what becomes of its body `judging`'s.
"""

from __future__ import annotations

import hmac
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from ingest_api.answers import Answer, ProblemError, problem
from ingest_api.arrival import ROUTES, BodyReader, ClientGoneError, Sent, check_headers, negotiated
from ingest_api.judging import BodyJudge, Judged
from ingest_api.tracing import RefusalLog, Traces, trace_id, traced
from resources.errors import (
    AuthenticationError,
    EventLogFullError,
    LanderBehindError,
    RecordTooLargeError,
    ServiceUnavailableError,
    UnMoGrowPError,
)

if TYPE_CHECKING:
    from ingest_api.arrival import Headers, RawHeaders, Receive
    from ingest_api.event_log.protocol import EventLog
    from ingest_api.keys import KeyCache
    from ingest_api.metrics import DoorMetrics
    from resources.settings import Settings

logger = logging.getLogger(__name__)
# The first that fits counts.
_PROBLEMS: tuple[tuple[type[UnMoGrowPError], HTTPStatus, str], ...] = (
    (AuthenticationError, HTTPStatus.UNAUTHORIZED, "unauthorized"),
    (LanderBehindError, HTTPStatus.TOO_MANY_REQUESTS, "backlog"),
    (EventLogFullError, HTTPStatus.SERVICE_UNAVAILABLE, "not_durable"),
    (RecordTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
    (ServiceUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
)


class HotPath:
    """Answers to ingest requests. `event_log` is set when the application starts."""

    def __init__(self, settings: Settings, keys: KeyCache, metrics: DoorMetrics) -> None:
        self.event_log: EventLog | None = None
        self._keys = keys
        self._metrics = metrics
        self._reader = BodyReader(settings)
        self._judge = BodyJudge(settings)
        self._traces = Traces()
        self._refusals = RefusalLog()

    async def answer(self, path: str, raw_headers: RawHeaders, receive: Receive) -> Answer:
        """The response to one request, whatever it holds.

        Raises:
            ClientGoneError: there is nobody to answer.
        """
        headers = dict(raw_headers)
        traceparent = self._traces.of(headers)
        try:
            check_headers(raw_headers, headers)
            answer = await self._answer(path, headers, receive)
        except ClientGoneError:
            raise
        except Exception as error:
            answer = _problem_of(error, traceparent)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            self._refusals.note(answer, headers, traceparent)
        self._metrics.answered(answer.status)
        return traced(answer, traceparent)

    async def _answer(self, path: str, headers: Headers, receive: Receive) -> Answer:
        tenant_id = await self._authenticated_tenant(headers)
        route = ROUTES[path]
        body_format, encoding = negotiated(route, headers)
        body = await self._reader.read(headers, receive)
        now_us = time.time_ns() // 1_000
        judged = self._judge.judged(Sent(tenant_id, route.version, body_format, encoding, body, now_us))
        await self._log(judged)
        return judged.answer

    async def _log(self, judged: Judged) -> None:
        if self.event_log is None:
            raise EventLogFullError("the event log is not open yet: send again in a moment")
        if judged.event_count == 0:
            return
        refused = len(judged.rejections)
        started_at = time.perf_counter()
        await self.event_log.append(judged.record())
        self._metrics.made_durable(
            judged.sent.tenant_id, judged.event_count - refused, refused, time.perf_counter() - started_at
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


def _problem_of(error: Exception, traceparent: bytes) -> Answer:
    if isinstance(error, ProblemError):
        return error.answer()
    for kind, status, code in _PROBLEMS:
        if isinstance(error, kind):
            return problem(status, code, str(error))
    logger.error("an ingest request failed on our side, trace=%s", trace_id(traceparent), exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "nothing was taken; the fault is ours")
