"""Reading from Kafka: shared partitions, rebalances, zombies, retention, deletion of what has landed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from ingest_api.event_log.frames import encode_frame
from ingest_api.event_log.kafka_reader import KafkaReader
from ingest_api.event_log.protocol import BodyFormat, LogPosition
from resources.errors import LogTruncatedError, ServiceUnavailableError
from tests.support.door import TENANT
from tests.support.kafka_cluster import BROKERS, DeleteRecordsProxy, KafkaCluster, kafka_settings
from tests.support.kafka_records import append, record, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.settings import Settings

ALL = 10**9


@pytest.fixture
def settings(cluster: KafkaCluster, tmp_path: Path) -> Settings:
    return kafka_settings(cluster, tmp_path)


@contextlib.contextmanager
def reading(settings: Settings, **given: float) -> Iterator[KafkaReader]:
    with contextlib.closing(KafkaReader(settings, **given)) as reader:
        yield reader


def writer_with_records(reader: KafkaReader) -> str:
    [writer] = [name for name in reader.writers() if reader.backlog_bytes(name, None)]
    return writer


# -- the group -----------------------------------------------------------------------------------


def test_readers_divide_the_partitions_and_the_last_one_gets_them_all(settings: Settings) -> None:
    append(settings, *(record(number, f"t{number % 9}0") for number in range(90)))
    with reading(settings) as first:
        everything = first.writers()
        assert len(everything) == 3
        with reading(settings) as second:
            until(lambda: first.writers() and second.writers())
            assert sorted(first.writers() + second.writers()) == everything
            shares = [
                {
                    item.received_at_us
                    for name in reader.writers()
                    for _, item in reader.read(name, None, max_events=ALL)
                }
                for reader in (first, second)
            ]
            assert shares[0] | shares[1] == set(range(90))
            assert not shares[0] & shares[1]
        until(lambda: first.writers() == everything)


def test_a_reader_goes_on_while_a_broker_is_lost_in_mid_read(
    cluster: KafkaCluster, settings: Settings
) -> None:
    append(settings, *(record(number, body=bytes(20_000)) for number in range(200)))
    with reading(settings) as reader:
        found = []
        for _, item in reader.read(writer_with_records(reader), None, max_events=ALL):
            if len(found) == 20:
                cluster.take_down(1)
                cluster.elect(settings.kafka_topic, range(3), 2)
            found.append(item.received_at_us)
    assert found == list(range(200))


def test_without_a_cluster_the_reader_says_so_and_goes_on_when_it_is_back(
    cluster: KafkaCluster, settings: Settings
) -> None:
    cluster.take_down(*BROKERS)
    with reading(settings, join_wait_s=0.2, request_timeout_s=0.5) as reader:
        with pytest.raises(ServiceUnavailableError, match="does not answer"):
            reader.writers()
        cluster.bring_up(*BROKERS)
        append(settings, record(1))
        until(lambda: len(reader.writers()) == 3)
        assert reader.backlog_bytes(writer_with_records(reader), None) > 0


# -- what the log still holds --------------------------------------------------------------------


@pytest.fixture
def proxy(cluster: KafkaCluster) -> Iterator[DeleteRecordsProxy]:
    with contextlib.closing(DeleteRecordsProxy(cluster)) as running:
        yield running


def test_release_says_about_how_much_it_freed(proxy: DeleteRecordsProxy, settings: Settings) -> None:
    positions = append(settings, *(record(number, body=bytes(1_000)) for number in range(10)))
    with reading(settings.with_changes(kafka_bootstrap=proxy.bootstrap)) as reader:
        writer = writer_with_records(reader)
        assert 4_000 < reader.release(writer, positions[3]) < 4_400
        assert 6_000 < reader.release(writer, positions[9]) < 6_600


def test_a_cluster_that_deletes_nothing_is_complained_of_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    positions = append(settings, record(1), record(2))
    with reading(settings) as reader:
        writer = writer_with_records(reader)
        assert [reader.release(writer, position) for position in positions] == [0, 0]
    warnings = [line.getMessage() for line in caplog.records if "retention.ms" in line.getMessage()]
    assert len(warnings) == 1
    assert "allow Delete on the topic" in warnings[0]


def test_records_that_retention_took_before_they_landed_are_reported_with_their_number(
    cluster: KafkaCluster, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    positions = append(settings, *(record(number) for number in range(6)))
    with reading(settings) as reader:
        writer = writer_with_records(reader)
        cluster.delete_records(settings.kafka_topic, int(writer.rpartition("-")[2]), 4)
        found = [item.received_at_us for _, item in reader.read(writer, positions[0], max_events=ALL)]
    assert found == [4, 5]
    assert f"{writer}: 3 records were deleted before they landed" in caplog.text


def test_records_that_were_released_are_not_reported_as_lost(
    cluster: KafkaCluster, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Records of rejected deliveries alone do not move the position in raw.events, and are released too."""
    positions = append(settings, *(record(number) for number in range(6)))
    with reading(settings) as reader:
        writer = writer_with_records(reader)
        partition = int(writer.rpartition("-")[2])
        reader.release(writer, positions[3])
        until(lambda: reader.writers() and _committed(cluster, settings, partition) == 4)
        cluster.delete_records(settings.kafka_topic, partition, 4)
        assert len(list(reader.read(writer, positions[0], max_events=ALL))) == 2
    assert "deleted before they landed" not in caplog.text


def test_a_topic_that_ends_before_what_has_landed_stops_the_lander(settings: Settings) -> None:
    append(settings, record(1))
    with (
        reading(settings) as reader,
        pytest.raises(LogTruncatedError, match=r"ends at offset 1 and 7 have landed.*UNMOGROWP_KAFKA_TOPIC"),
    ):
        list(reader.read(writer_with_records(reader), LogPosition(0, 7), max_events=ALL))


@pytest.mark.parametrize("damage", ["bit", "cut", "tail", "empty"])
def test_a_damaged_message_is_quarantined_for_its_tenant_and_blocks_nobody(
    settings: Settings, damage: str
) -> None:
    whole = encode_frame(record(2))
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    value = {"bit": flipped, "cut": whole[:-3], "tail": whole + b"x", "empty": b""}[damage]
    append(settings, record(1))
    produce(settings, value, TENANT)
    produce(settings, value, "Not a tenant")
    append(settings, record(3))
    with reading(settings) as reader:
        found = [item for name in reader.writers() for _, item in reader.read(name, None, max_events=ALL)]
    damaged = [item for item in found if item.format is BodyFormat.OPAQUE]
    assert sorted(item.received_at_us for item in found if item not in damaged) == [1, 3]
    assert [(item.tenant_id, item.body, item.rejections[0].code) for item in damaged] == [
        (TENANT, value, "unlandable")
    ]


def produce(settings: Settings, value: bytes, key: str) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "partitioner": "murmur2_random"})
    producer.produce(settings.kafka_topic, value=value, key=key)
    assert producer.flush(10) == 0


def _committed(cluster: KafkaCluster, settings: Settings, partition: int) -> int:
    config = {"bootstrap.servers": cluster.bootstrap, "group.id": settings.kafka_group}
    with contextlib.closing(Consumer(config)) as consumer:
        [place] = consumer.committed([TopicPartition(settings.kafka_topic, partition)], timeout=10)
    return place.offset
