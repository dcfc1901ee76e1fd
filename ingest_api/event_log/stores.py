"""The one place that turns settings into an event log's two ends. What a log is, `protocol` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_api.event_log.segment_reader import SegmentReader
from ingest_api.event_log.segments import SegmentLog
from resources.errors import DirectoryLockedError

if TYPE_CHECKING:
    from pathlib import Path

    from ingest_api.event_log.protocol import EventLog, LogReader
    from resources.settings import Settings

MAX_WORKERS = 256


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


def claim_writer(
    root: Path,
    *,
    segment_max_bytes: int,
    segment_max_age_s: float,
    budget_bytes: int,
    backlog_max_bytes: int,
    reserve_bytes: int,
) -> SegmentLog:
    """The log of the first `worker-<n>` directory that no process writes.

    Raises:
        DirectoryLockedError: every one is taken.
    """
    for number in range(MAX_WORKERS):
        try:
            return SegmentLog(
                root,
                f"worker-{number}",
                segment_max_bytes=segment_max_bytes,
                segment_max_age_s=segment_max_age_s,
                budget_bytes=budget_bytes,
                backlog_max_bytes=backlog_max_bytes,
                reserve_bytes=reserve_bytes,
            )
        except DirectoryLockedError:
            continue
    raise DirectoryLockedError(f"all {MAX_WORKERS} writer directories in {root} are taken: stop a door first")
