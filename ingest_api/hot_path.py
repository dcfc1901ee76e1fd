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
from ingest_api.quotas import Quotas
from ingest_api.reasons import TENANT_MISMATCH
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
    from collections.abc import Callable

    from ingest_api.arrival import Headers, RawHeaders, Receive
    from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, EventLog, Outcome
    from ingest_api.keys import KeyCache
    from ingest_api.metrics import DoorMetrics
    from ingest_api.refusals import Refusals
    from ingest_api.whole_requests import WholeRequest
    from resources.settings import Settings

    Checked = tuple[str, str, BodyFormat, BodyEncoding]

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

    def __init__(self, settings: Settings, keys: KeyCache, metrics: DoorMetrics, refused: Refusals) -> None:
        self.event_log: EventLog | None = None
        self.quotas = Quotas()
        self._keys = keys
        self._metrics = metrics
        self._reader = BodyReader(settings)
        self._judge = BodyJudge(settings)
        self._traces = Traces()
        self._refusals = RefusalLog()
        self._refused = refused

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
        return self._finished(answer, headers, traceparent)

    def take(self, request: WholeRequest, reply: Callable[[Answer], None]) -> bool:
        """Take a request that came whole, without a coroutine: `reply` gets the response once, in the event loop.

        False, and no reply, where `answer` has to do it: the token is not known, the log is not open, the body is
        too large.
        """
        headers = request.headers
        token = _bearer_token(headers)
        tenant_id = self._keys.known_tenant_of(token) if token else None
        if tenant_id is None or self.event_log is None or not self._reader.fits(request.body):
            return False
        traceparent = self._traces.of(headers)
        try:
            checked = _checked(tenant_id, request.path, headers)
            judged = self._within_quota(checked, request.body, token)
        except Exception as error:
            reply(self._finished(_problem_of(error, traceparent), headers, traceparent))
            return True
        if isinstance(judged, Answer) or judged.event_count == 0:
            answer = judged if isinstance(judged, Answer) else judged.answer
            reply(self._finished(answer, headers, traceparent))
            return True
        given, started_at_s = judged.answer, time.perf_counter()
        events, refused = judged.event_count, len(judged.rejections)

        def appended(outcome: Outcome) -> None:  # holds no body: a hundred large ones may wait for one sync
            answer = given
            if isinstance(outcome, Exception):
                self.quotas.give_back(tenant_id, events)
                answer = _problem_of(outcome, traceparent)
            else:
                self._made_durable(tenant_id, events, refused, started_at_s)
            reply(self._finished(answer, headers, traceparent))

        self.event_log.append_then(judged.record(), appended)
        return True

    async def _answer(self, path: str, headers: Headers, receive: Receive) -> Answer:
        token = _bearer_token(headers)
        if not token:
            raise AuthenticationError("send the tenant's write token: `Authorization: Bearer <token>`")
        checked = _checked(await self._keys.tenant_of(token), path, headers)
        body = await self._reader.read(headers, receive)
        judged = self._within_quota(checked, body, token)
        if isinstance(judged, Answer):
            return judged
        try:
            await self._log(judged)
        except Exception:
            self.quotas.give_back(judged.sent.tenant_id, judged.event_count)
            raise
        return judged.answer

    def _within_quota(self, checked: Checked, body: bytes, token: bytes) -> Judged | Answer:
        """What becomes of a body, charged to its tenant's quotas; or why nothing of it is taken."""
        tenant_id = checked[0]
        refusal = self.quotas.refusal(tenant_id)
        if refusal is None:
            judged = self._judge.judged(Sent(*checked, body, _now_us()))
            refusal = self.quotas.charge(tenant_id, judged.event_count)
            if refusal is None:
                if judged.rejections:
                    self._refused.events(judged.rejections, token, tenant_id)
                return judged
        self._metrics.over_quota(tenant_id)
        return refusal

    async def _log(self, judged: Judged) -> None:
        if self.event_log is None:
            raise EventLogFullError("the event log is not open yet: send again in a moment")
        if judged.event_count == 0:
            return
        started_at_s = time.perf_counter()
        await self.event_log.append(judged.record())
        refused = len(judged.rejections)
        self._made_durable(judged.sent.tenant_id, judged.event_count, refused, started_at_s)

    def _made_durable(self, tenant_id: str, events: int, refused: int, started_at_s: float) -> None:
        self._metrics.made_durable(tenant_id, events - refused, refused, time.perf_counter() - started_at_s)

    def _finished(self, answer: Answer, headers: Headers, traceparent: bytes) -> Answer:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            self._refusals.note(answer, headers, traceparent)
            self._refused.request(answer.status, _bearer_token(headers), headers.get(b"x-tenant-id", b""))
        self._metrics.answered(answer.status)
        return traced(answer, traceparent)


def _bearer_token(headers: Headers) -> bytes:
    """The token that is presented; empty where there is none."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _checked(tenant_id: str, path: str, headers: Headers) -> Checked:
    """What the head of a request of this tenant says of its body: the first fields of `Sent`."""
    if not hmac.compare_digest(headers.get(b"x-tenant-id", b""), tenant_id.encode()):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            TENANT_MISMATCH,
            "X-Tenant-ID must name the tenant this token belongs to",
        )
    route = ROUTES[path]
    return (tenant_id, route.version, *negotiated(route, headers))


def _now_us() -> int:
    return time.time_ns() // 1_000


def _problem_of(error: Exception, traceparent: bytes) -> Answer:
    if isinstance(error, ProblemError):
        return error.answer()
    for kind, status, code in _PROBLEMS:
        if isinstance(error, kind):
            return problem(status, code, str(error))
    logger.error("an ingest request failed on our side, trace=%s", trace_id(traceparent), exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "nothing was taken; the fault is ours")
