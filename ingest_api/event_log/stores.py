"""The one place that turns settings into an event log's two ends. What a log is, `protocol` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_api.event_log.segment_reader import SegmentReader
from ingest_api.event_log.segments import claim_writer

if TYPE_CHECKING:
    from ingest_api.event_log.protocol import EventLog, LogReader
    from resources.settings import Settings


def open_event_log(settings: Settings) -> EventLog:
    """The door's end; call it in the event loop that appends.

    Raises:
        DirectoryLockedError: every segment directory is another process's.
    """
    if settings.event_log == "kafka":
        from ingest_api.event_log.kafka_log import KafkaLog  # noqa: PLC0415 - librdkafka is 20 MB to load

        return KafkaLog(settings)
    return claim_writer(
        settings.event_log_dir,
        segment_max_bytes=settings.segment_max_bytes,
        segment_max_age_s=settings.segment_max_age_s,
        budget_bytes=settings.event_log_budget_bytes,
        backlog_max_bytes=settings.event_log_backlog_max_bytes,
        reserve_bytes=settings.event_log_reserve_bytes,
    )


def open_log_reader(settings: Settings) -> LogReader:
    """The lander's end; the caller closes it."""
    if settings.event_log == "kafka":
        from ingest_api.event_log.kafka_reader import KafkaReader  # noqa: PLC0415 - as above

        return KafkaReader(settings)
    return SegmentReader(settings.event_log_dir)
