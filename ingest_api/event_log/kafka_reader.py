"""Reading the event log from a Kafka topic, and deleting what has landed. Writing is `kafka_log`'s.

A writer is a partition, named `<topic>-<number>`. The consumer group says which partitions are this reader's,
and nothing more: where to read on is the caller's knowledge (the lake's), so a group's committed offsets are
for monitoring. A reader that lost a partition without knowing may read on; its caller's commit is refused by
the lake. One thread.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest_api.event_log.kafka_config import (
    MAX_POLL_INTERVAL_S,
    client_config,
    fetcher_config,
    member_config,
)
from ingest_api.event_log.kafka_fetch import fetched, record_of, unavailable
from ingest_api.event_log.kafka_log import position_after
from ingest_api.event_log.kafka_release import RecordDeleter
from resources.errors import LogTruncatedError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator

    from confluent_kafka import KafkaError

    from ingest_api.event_log.protocol import LogPosition, LogRecord
    from resources.settings import Settings

logger = logging.getLogger(__name__)
REQUEST_TIMEOUT_S = 5.0
JOIN_WAIT_S = 10.0  # the brokers wait 3 s for further members, and an election may be under way
JOIN_POLL_S = 0.05


class KafkaReader:
    """The `LogReader` over those partitions of the topic that the consumer group gives it."""

    def __init__(
        self,
        settings: Settings,
        *,
        max_poll_interval_s: float = MAX_POLL_INTERVAL_S,
        join_wait_s: float = JOIN_WAIT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._topic = settings.kafka_topic
        self._bootstrap = settings.kafka_bootstrap
        self._join_wait_s = join_wait_s
        self._request_timeout_s = request_timeout_s
        self._join_deadline = time.monotonic() + join_wait_s
        self._own: set[int] = set()
        self._has_joined = False
        self._low: dict[int, int] = {}  # first offset of each partition when last asked
        self._seen_bytes = 0
        self._seen_records = 0
        self._fetcher = Consumer(fetcher_config(settings))
        self._deleter = RecordDeleter(client_config(settings))
        member = member_config(settings, max_poll_interval_s)
        self._member = Consumer(member | {"on_commit": _committed})
        self._member.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def writers(self) -> list[str]:
        """Names of this reader's partitions, sorted; waits for its place in the group when it has none.

        Raises:
            ServiceUnavailableError: the cluster does not answer, or has no such topic.
        """
        while True:
            try:
                message = self._member.poll(0 if self._has_joined else JOIN_POLL_S)
            except KafkaException as failure:
                raise unavailable("the lander's consumer group failed", failure) from failure
            if message is not None and (error := message.error()) is not None:
                logger.warning("the lander's consumer group: %s", error.str())
            if message is None and (self._has_joined or time.monotonic() > self._join_deadline):
                break
        if not self._has_joined:
            self._check_topic()
        return sorted(f"{self._topic}-{number}" for number in self._own)

    def read(
        self, writer: str, after: LogPosition | None, *, max_events: int
    ) -> Generator[tuple[LogPosition, LogRecord]]:
        """Records after a position, up to where the partition ends now; one generator at a time.

        Raises:
            ServiceUnavailableError: the cluster does not give them.
            LogTruncatedError: the position lies behind the partition's end.
        """
        partition = self._partition(writer)
        low, high = self._watermarks(partition)
        start = self._start(writer, after, low, high)
        given = 0
        for message in fetched(self._fetcher, TopicPartition(self._topic, partition, start), high):
            record = record_of(message)
            if record is None:
                continue
            self._seen_bytes += len(message)
            self._seen_records += 1
            yield position_after(message.offset() or 0), record
            given += record.event_count
            if given >= max_events:
                return

    def release(self, writer: str, upto: LogPosition) -> int:
        """Commit the group's offset and delete records up to it; about the bytes freed.

        Where the cluster refuses to delete, the topic's retention does, and the log says so once.
        """
        partition = self._partition(writer)
        place = TopicPartition(self._topic, partition, upto.offset)
        if self._deleter.is_done(place):
            return 0
        with contextlib.suppress(KafkaException):  # not a member just now; the offset is for monitoring
            self._member.commit(offsets=[place], asynchronous=True)
        low = self._deleter.delete(place)
        if low is None:
            return 0
        freed = max(0, low - self._low.get(partition, low))
        self._low[partition] = low
        return round(freed * self._mean_bytes())

    def backlog_bytes(self, writer: str, after: LogPosition | None) -> int:
        """Records behind a position × the mean size of those read so far (of the next one, when none was)."""
        low, high = self._watermarks(self._partition(writer))
        waiting = max(0, high - max(low, after.offset if after is not None else 0))
        if waiting and not self._seen_records:
            with contextlib.closing(self.read(writer, after, max_events=1)) as sample:
                next(sample, None)
        return round(waiting * self._mean_bytes())

    def close(self) -> None:
        """Leave the group, so that others take the partitions over at once."""
        self._member.close()
        self._fetcher.close()

    # -- the group -------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)  # the member fetches nothing
        self._own |= {item.partition for item in partitions}
        self._has_joined = True

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._own -= {item.partition for item in partitions}
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        logger.warning("the consumer group went on without this lander: it joins again")
        self._has_joined = False
        self._join_deadline = time.monotonic() + self._join_wait_s
        self._revoked(consumer, partitions)

    def _check_topic(self) -> None:
        try:
            topic = self._member.list_topics(self._topic, timeout=self._request_timeout_s).topics[self._topic]
        except KafkaException as error:
            raise unavailable(f"Kafka at {self._bootstrap} does not answer", error) from error
        if topic.error is not None:
            raise ServiceUnavailableError(
                f"Kafka has no usable topic {self._topic} ({topic.error.name()}): create it as the operator guide says"
            )
        logger.warning("no partition of %s was assigned within %.0f s", self._topic, self._join_wait_s)

    # -- places ----------------------------------------------------------------------------------

    def _partition(self, writer: str) -> int:
        return int(writer.removeprefix(f"{self._topic}-"))

    def _watermarks(self, partition: int) -> tuple[int, int]:
        """The first offset there is, and the one behind the last."""
        try:
            marks = self._fetcher.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=self._request_timeout_s
            )
        except KafkaException as error:
            raise unavailable(f"Kafka does not say how long {self._topic}-{partition} is", error) from error
        if marks is None:
            raise ServiceUnavailableError(f"Kafka did not say in time how long {self._topic}-{partition} is")
        low, high = marks
        self._low[partition] = low
        return low, high

    def _start(self, writer: str, after: LogPosition | None, low: int, high: int) -> int:
        wanted = after.offset if after is not None else 0
        if wanted > high:
            raise LogTruncatedError(
                f"{writer} ends at offset {high} and {wanted} have landed: the topic was made anew or cut back; "
                "point UNMOGROWP_KAFKA_TOPIC of door and lander to a topic of another name"
            )
        if wanted < low:
            lost = low - max(wanted, self._committed_offset(writer))
            if lost > 0:
                logger.error(
                    "%s: %d records were deleted before they landed: raise the topic's retention.ms",
                    writer,
                    lost,
                )
        return max(wanted, low)

    def _committed_offset(self, writer: str) -> int:
        """How far a lander released the partition: more may have landed than the caller's position says."""
        place = TopicPartition(self._topic, self._partition(writer))
        try:
            [committed] = self._member.committed([place], timeout=self._request_timeout_s)
        except KafkaException as error:
            raise unavailable("Kafka does not say what the group committed", error) from error
        return committed.offset

    def _mean_bytes(self) -> float:
        return self._seen_bytes / self._seen_records if self._seen_records else 0.0


def _committed(error: KafkaError | None, _: list[TopicPartition]) -> None:
    if error is not None:
        logger.info("the group's offsets were not committed (%s); they are for monitoring only", error.name())
