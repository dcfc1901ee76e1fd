"""Messages of one partition, and the record in each. Which partitions, and from where, is `kafka_reader`'s."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from ingest_api.event_log.frames import TornFrameError, decode_frame
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord, Rejection
from resources.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

logger = logging.getLogger(__name__)
FETCH_TIMEOUT_S = 30.0  # for the next message: longer than a leader's election takes
_TENANT_ID = re.compile(r"[a-z][a-z0-9_]{1,30}")


def fetched(consumer: Consumer, start: TopicPartition, high: int) -> Iterator[Message]:
    """Messages from an offset on, until the one before `high`.

    Raises:
        ServiceUnavailableError: the next one does not come.
    """
    if start.offset >= high:
        return
    consumer.assign([start])
    try:
        while True:
            message = consumer.poll(FETCH_TIMEOUT_S)
            if message is None:
                raise ServiceUnavailableError(
                    f"{start.topic}-{start.partition} gave nothing for {FETCH_TIMEOUT_S:.0f} s: will try again"
                )
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                raise ServiceUnavailableError(f"reading {start.topic}-{start.partition}: {error.str()}")
            yield message
            if (message.offset() or 0) + 1 >= high:
                return
    finally:
        consumer.unassign()


def record_of(message: Message) -> LogRecord | None:
    """The record in a message. One that is damaged is a rejected delivery of the tenant its key names.

    None, and an error in the log, when nobody can say whose it is.
    """
    value = message.value() or b""
    try:
        record, end = decode_frame(memoryview(value), 0)
    except TornFrameError:
        return _damaged(message, value)
    return record if end == len(value) else _damaged(message, value)


def unavailable(what: str, error: KafkaException) -> ServiceUnavailableError:
    """The retryable error for a request that failed."""
    return ServiceUnavailableError(f"{what} ({error.args[0].name()}): will try again")


def _damaged(message: Message, value: bytes) -> LogRecord | None:
    place = f"{message.topic()}-{message.partition()} at {message.offset()}"
    tenant = (message.key() or b"").decode(errors="replace")
    if not _TENANT_ID.fullmatch(tenant):
        logger.error("%s is no record of any tenant's: skipped", place)
        return None
    logger.error("tenant %s: %s is damaged and goes to quarantine", tenant, place)
    return LogRecord(
        tenant_id=tenant,
        received_at_us=message.timestamp()[1] * 1_000,
        format=BodyFormat.OPAQUE,
        encoding=BodyEncoding.IDENTITY,
        event_count=1,
        body=value,
        rejections=(Rejection(0, "unlandable", "", "the event log gave back other bytes than it took"),),
    )
