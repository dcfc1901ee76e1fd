"""Writing the event log to a Kafka topic. Reading is `kafka_reader`'s.

A record is one message: key = tenant, so that a tenant's records keep their order in one partition; value =
the frame a segment file would hold, CRC and all. An append returns after the delivery report of a producer
with `acks=all`, so after every in-sync replica has the record.

An append that failed may still have reached the log (its acknowledgement was lost, or came too late). Its
sender was told to send again: the repeat is a duplicate like any other, and the clean layer removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Producer

from ingest_api.event_log.appending import AwaitedAppends, tell
from ingest_api.event_log.frames import encode_frame
from ingest_api.event_log.kafka_config import message_max_bytes, producer_config
from ingest_api.event_log.protocol import LogPosition
from resources.errors import EventLogFullError, RecordTooLargeError

if TYPE_CHECKING:
    from confluent_kafka import Message

    from ingest_api.event_log.protocol import Appended, LogRecord, Outcome
    from resources.settings import Settings

    Report = tuple[Appended, Outcome]

logger = logging.getLogger(__name__)
SEGMENT = 0  # of every position in a partition: Kafka's offsets never start again
POLL_S = 0.1
PROBE_TIMEOUT_S = 2.0
PROBE_INTERVAL_S = 5.0  # one metadata request per worker; less than common readiness periods
PROBE_RETRY_S = 0.5
NEW_PRODUCER_WAIT_S = 1.0  # between two producers that both broke for good
CLOSE_GRACE_S = 2.0  # on top of the delivery timeout, within which every record has its report


class KafkaLog(AwaitedAppends):
    """The `EventLog` of one worker over a Kafka topic. Made in, and belonging to, one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Start connecting; a cluster that is away makes the log not writable, and is not an error here."""
        self._settings = settings
        self._topic = settings.kafka_topic
        self._loop = asyncio.get_running_loop()
        self._producer = self._new_producer()
        self._producer_made_at = time.monotonic()
        self._is_broken = False  # the producer reported a fatal error and needs a successor
        self._reports: list[Report] = []  # of the poll thread alone
        self._is_reachable = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._poll, name="kafka-log", daemon=True)
        self._thread.start()
        self._probe_task = asyncio.create_task(self._probe())

    def append_then(self, record: LogRecord, done: Appended) -> None:
        """See `EventLog.append_then`."""
        refusal = self._produce(record, done)
        if refusal is not None:
            self._loop.call_soon(done, refusal)

    def is_writable(self) -> bool:
        """Whether the cluster answered for the topic lately and took the last record."""
        return self._is_reachable and not self._is_closed

    async def usage(self) -> None:
        """The brokers look after their disks, and the group's lag is in their tools."""
        return

    async def close(self) -> None:
        """Take no more; return once every record under way has its report."""
        self._is_closed = True
        self._probe_task.cancel()
        await asyncio.to_thread(self._thread.join)

    # -- in the event loop -----------------------------------------------------------------------

    def _produce(self, record: LogRecord, done: Appended) -> EventLogFullError | RecordTooLargeError | None:
        """Hand a record to the producer; what it refuses at once."""
        if self._is_closed:
            return EventLogFullError("the event log is closed: send again in a few seconds")
        try:
            self._producer.produce(
                self._topic,
                value=encode_frame(record),
                key=record.tenant_id,
                on_delivery=partial(self._delivered, done),
            )
        except BufferError:
            return EventLogFullError(
                "too much waits for Kafka already: nothing was taken, send again in a few seconds"
            )
        except KafkaException as error:
            return self._refusal(error.args[0])
        return None

    async def _probe(self) -> None:
        while True:
            was_reachable = self._is_reachable
            self._is_reachable = await asyncio.to_thread(self._has_leader)
            if self._is_reachable != was_reachable:
                logger.warning("topic %s is %s", self._topic, "there" if self._is_reachable else "away")
            await asyncio.sleep(PROBE_INTERVAL_S if self._is_reachable else PROBE_RETRY_S)

    def _has_leader(self) -> bool:
        """Some partition can be written: while one broker's are elected anew, the others' tenants go on."""
        try:
            metadata = self._producer.list_topics(self._topic, timeout=PROBE_TIMEOUT_S)
        except KafkaException:
            return False
        topic = metadata.topics[self._topic]
        return topic.error is None and any(item.leader >= 0 for item in topic.partitions.values())

    def _resolve(self, reports: list[Report]) -> None:
        for done, outcome in reports:
            if not isinstance(outcome, RecordTooLargeError):
                self._is_reachable = isinstance(outcome, LogPosition)
            tell(done, outcome)

    # -- in the poll thread ----------------------------------------------------------------------

    def _poll(self) -> None:
        """Serve delivery reports, those of one poll to the loop together, until closed and done."""
        closed_at: float | None = None
        while closed_at is None or (
            len(self._producer) and time.monotonic() - closed_at < self._longest_delivery_s()
        ):
            self._serve()
            self._hand_over()
            if self._is_closed and closed_at is None:
                closed_at = time.monotonic()

    def _serve(self) -> None:
        """One poll, or a new producer. This thread must go on whatever happens: every append waits for it."""
        try:
            if self._is_broken and time.monotonic() - self._producer_made_at > NEW_PRODUCER_WAIT_S:
                self._replace_producer()
            self._producer.poll(POLL_S)
        except KafkaException as error:  # a fatal one comes here, not to `_failed`
            self._failed(error.args[0])
            time.sleep(POLL_S)
        except Exception:
            logger.exception("serving Kafka's reports failed")
            time.sleep(POLL_S)

    def _hand_over(self) -> None:
        if self._reports:
            reports, self._reports = self._reports, []
            self._loop.call_soon_threadsafe(self._resolve, reports)

    def _delivered(self, done: Appended, error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            self._reports.append((done, position_after(offset)))
        else:
            self._reports.append((done, self._refusal(error or KafkaError(KafkaError.UNKNOWN))))

    def _failed(self, error: KafkaError) -> None:
        """A client-wide error. Most mend themselves; after a fatal one the producer takes nothing any more."""
        if error.fatal() and not self._is_broken:
            logger.error("Kafka refuses this producer for good (%s): another takes over", error.name())
            self._is_broken = True

    def _replace_producer(self) -> None:
        broken, self._producer = self._producer, self._new_producer()
        self._producer_made_at = time.monotonic()
        self._is_broken = False
        with contextlib.suppress(KafkaException):  # says once more that it is broken
            broken.purge()  # what it holds is reported as not delivered
            broken.flush(CLOSE_GRACE_S)

    # -- shapes ----------------------------------------------------------------------------------

    def _new_producer(self) -> Producer:
        return Producer(producer_config(self._settings) | {"error_cb": self._failed})

    def _longest_delivery_s(self) -> float:
        return self._settings.kafka_delivery_timeout_s + CLOSE_GRACE_S

    def _refusal(self, error: KafkaError) -> EventLogFullError | RecordTooLargeError:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            most = message_max_bytes(self._settings)
            logger.error(
                "topic %s refuses a record by size: its max.message.bytes should be %d", self._topic, most
            )
            return RecordTooLargeError("the event log takes no body of this size: send smaller batches")
        return EventLogFullError(
            f"Kafka did not confirm the events ({error.name()}): they are not acknowledged, send them again "
            "with the same ids"
        )


def position_after(offset: int) -> LogPosition:
    """The place behind the message at `offset`: the offset of the next one, as Kafka's committed offsets are."""
    return LogPosition(SEGMENT, offset + 1)
