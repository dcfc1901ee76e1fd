"""From a request's body to what is logged and what is answered: unpack, parse, judge. Pure.

Plain calls, so that nothing unpacked or parsed is in memory while the log syncs: a hundred small bodies that
unpack to 64 MiB each may wait for one sync. Verdicts on events are `contracts`'; durability is `hot_path`'s.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

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
from ingest_api.arrival import too_large
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
from ingest_api.skan import check_postbacks
from schemas import event_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest_api.arrival import Sent
    from ingest_api.bodies import Deliveries
    from resources.settings import Settings


class Judged(NamedTuple):
    """What is to be made durable, and what is answered once it is."""

    sent: Sent
    event_count: int
    rejections: Sequence[Rejection]
    answer: Answer

    def record(self) -> LogRecord:
        """The log's record of it."""
        sent = self.sent
        return LogRecord(
            tenant_id=sent.tenant_id,
            received_at_us=sent.received_at_us,
            format=sent.format,
            encoding=sent.encoding,
            event_count=self.event_count,
            body=sent.body,
            rejections=self.rejections,
            schema_version=sent.version,
        )


class BodyJudge:
    """Judges whole bodies under one set of limits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        limits = EventLimits.of(settings)
        self._judges = {version: Judge(limits, version) for version in event_versions()}
        self._fast_lanes = fast_lane.lanes(limits, settings.batch_max_events) if settings.native_scan else {}

    def judged(self, sent: Sent) -> Judged:
        """What becomes of a body.

        Raises:
            ProblemError: it is over a limit, and nothing of it is taken.
        """
        try:
            return self._judged(sent)
        except BodyTooLargeError:
            raise too_large(self._unpacked_max(sent.format)) from None
        except BodyTooManyError as error:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.code, str(error)) from None
        except BodyUnreadableError as error:
            return _refused_whole(sent, error)

    def _judged(self, sent: Sent) -> Judged:
        events_max = self._settings.batch_max_events
        plain = unpacked(sent.body, sent.encoding, self._unpacked_max(sent.format))
        fast = self._fast_lanes.get(sent.version)
        ids = fast and fast.certain_ids(sent.tenant_id, plain, sent.format, sent.received_at_us)
        if ids:
            return _all_accepted(sent, ids)
        # only parsing makes objects: the scan needs no such bounds
        check_counts(plain, sent.format, events_max=events_max, values_max=self._settings.body_max_values)
        deliveries = parsed(plain, sent.format)
        if len(deliveries.events) > events_max:
            raise too_many_events(events_max)
        check_postbacks(deliveries.events)
        return self._judged_each(sent, plain, deliveries)

    def _judged_each(self, sent: Sent, plain: bytes, deliveries: Deliveries) -> Judged:
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
        return Judged(sent, len(events), _rejections(verdicts), answer)

    def _unpacked_max(self, body_format: BodyFormat) -> int:
        settings = self._settings
        is_one = body_format is BodyFormat.JSON
        return settings.event_max_bytes if is_one else settings.body_max_unpacked_bytes


def _all_accepted(sent: Sent, ids: Sequence[str]) -> Judged:
    answer = single_accepted(ids[0]) if sent.format is BodyFormat.JSON else batch_all_accepted(ids)
    return Judged(sent, len(ids), (), answer)


def _refused_whole(sent: Sent, error: BodyUnreadableError) -> Judged:
    opaque = sent._replace(format=BodyFormat.OPAQUE, encoding=BodyEncoding.IDENTITY)
    answer = problem(HTTPStatus.BAD_REQUEST, error.code, str(error), quarantined=True)
    return Judged(opaque, 1, [Rejection(0, error.code, "", str(error))], answer)


def _rejections(verdicts: Sequence[Verdict]) -> list[Rejection]:
    return [
        Rejection(verdict.at, verdict.code, verdict.pointer, verdict.reason)
        for verdict in verdicts
        if verdict.status == QUARANTINED
    ]
