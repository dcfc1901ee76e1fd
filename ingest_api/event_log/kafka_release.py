"""Deleting landed records from a topic, so that bodies do not outlive their landing. When is `kafka_reader`'s."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

logger = logging.getLogger(__name__)
DELETE_TIMEOUT_S = 10.0
# Errors that only an operator mends; every other one may pass.
REFUSALS = frozenset(
    {
        KafkaError._UNSUPPORTED_FEATURE,  # an old or partial broker has no DeleteRecords
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,  # the topic is compacted
    }
)


class RecordDeleter:
    """Moves partitions' first offsets on. Remembers what is done, and whether the cluster lets it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._admin = AdminClient(config)
        self._done: dict[int, int] = {}
        self._is_refused = False

    def is_done(self, upto: TopicPartition) -> bool:
        """Whether nothing is left to do up to that offset."""
        return self._done.get(upto.partition, -1) >= upto.offset

    def delete(self, upto: TopicPartition) -> int | None:
        """Delete what lies before the offset; the partition's first offset then, None when it was not done."""
        low = None if self._is_refused else self._delete(upto)
        if low is not None or self._is_refused:
            self._done[upto.partition] = upto.offset
        return low

    def _delete(self, upto: TopicPartition) -> int | None:
        try:
            futures = self._admin.delete_records([upto], request_timeout=DELETE_TIMEOUT_S)
            [future] = futures.values()
            return int(future.result(2 * DELETE_TIMEOUT_S).low_watermark)
        except KafkaException as error:
            self._is_refused = error.args[0].code() in REFUSALS
            name = error.args[0].name()
        except TimeoutError:
            name = "no answer"
        if self._is_refused:
            logger.warning(
                "%s: Kafka does not delete landed records (%s), so bodies stay until the topic's retention.ms: "
                "allow Delete on the topic and start the lander again, or set a short retention",
                upto.topic,
                name,
            )
        else:
            logger.warning("%s-%d: landed records stay for now (%s)", upto.topic, upto.partition, name)
        return None
