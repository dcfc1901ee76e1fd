"""Writing to Kafka: what is acknowledged is there, what is not is refused in time, and the door says so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from confluent_kafka import KafkaError

from ingest_api.event_log.kafka_config import message_max_bytes
from ingest_api.event_log.kafka_log import KafkaLog
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.event_log.stores import open_log_reader
from resources.errors import EventLogFullError, RecordTooLargeError
from resources.settings import Settings
from tests.support.door import Landing, RunningDoor, assert_problem, click, founding_event
from tests.support.kafka_cluster import (
    API_INIT_PRODUCER_ID,
    API_PRODUCE,
    BROKERS,
    KafkaCluster,
    kafka_settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ALL = 10**9
NOBODY = "127.0.0.1:1"  # nothing listens there


@pytest.fixture
def settings(cluster: KafkaCluster, tmp_path: Path) -> Settings:
    return kafka_settings(cluster, tmp_path, kafka_delivery_timeout_s=1.0)


def record(number: int = 0, body: bytes = b"{}", tenant_id: str = "t123") -> LogRecord:
    return LogRecord(tenant_id, number, BodyFormat.JSON, BodyEncoding.IDENTITY, 1, body)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(settings)
    try:
        yield log
    finally:
        await log.close()


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


def read_numbers(settings: Settings, tenant_id: str = "t123") -> list[int]:
    with contextlib.closing(open_log_reader(settings)) as reader:
        found = [item for name in reader.writers() for _, item in reader.read(name, None, max_events=ALL)]
    return [item.received_at_us for item in found if item.tenant_id == tenant_id]


def test_while_a_broker_is_lost_every_append_is_acknowledged_once_others_lead(
    cluster: KafkaCluster, settings: Settings
) -> None:
    patient = settings.with_changes(kafka_delivery_timeout_s=20.0)

    async def run() -> int:
        acknowledged = 0
        async with opened(patient) as log:
            for lost in (*BROKERS, None):
                waiting = []
                for number in range(acknowledged, acknowledged + 60):
                    waiting.append(asyncio.create_task(log.append(record(number))))
                    await asyncio.sleep(0.001)
                    if number == acknowledged + 20 and lost is not None:
                        cluster.take_down(lost)  # with appends under way
                    if number == acknowledged + 40 and lost is not None:
                        cluster.elect(patient.kafka_topic, range(3), lost % 3 + 1)
                await asyncio.gather(*waiting)
                acknowledged += len(waiting)
                cluster.bring_up(*([lost] if lost else []))
        return acknowledged

    acknowledged = asyncio.run(run())
    assert read_numbers(patient) == list(range(acknowledged))  # none lost, none twice, in order


def test_an_append_that_is_not_confirmed_in_time_is_refused_and_the_log_recovers(
    cluster: KafkaCluster, settings: Settings
) -> None:
    async def run() -> None:
        async with opened(settings) as log:
            await log.append(record(1))
            cluster.take_down(*BROKERS)
            started_at = time.monotonic()
            with pytest.raises(
                EventLogFullError, match=r"did not confirm .* send them again with the same ids"
            ):
                await log.append(record(2))
            assert 0.5 < time.monotonic() - started_at < 5
            assert not log.is_writable()
            cluster.bring_up(*BROKERS)
            await until(log.is_writable)
            await log.append(record(3))

    asyncio.run(run())
    assert {1, 3} <= set(read_numbers(settings)) <= {1, 2, 3}  # 2 may have arrived: its sender sends it again


def test_a_log_that_is_closed_while_kafka_is_away_ends_in_time_and_refuses_what_waited(
    cluster: KafkaCluster, settings: Settings
) -> None:
    async def run() -> None:
        log = KafkaLog(settings)
        await log.append(record(1))
        cluster.take_down(*BROKERS)
        waiting = asyncio.create_task(log.append(record(2)))
        await asyncio.sleep(0.01)
        started_at = time.monotonic()
        await log.close()
        assert time.monotonic() - started_at < 5
        with pytest.raises(EventLogFullError):
            await waiting

    asyncio.run(run())


def test_a_full_queue_refuses_at_once(cluster: KafkaCluster, settings: Settings) -> None:
    cluster.take_down(*BROKERS)
    body = os.urandom(9 * 1024 * 1024)

    async def run() -> None:
        async with opened(settings) as log:
            outcomes = await asyncio.gather(
                *(log.append(record(number, body)) for number in range(9)), return_exceptions=True
            )
        assert all(isinstance(outcome, EventLogFullError) for outcome in outcomes)
        assert sum("too much waits" in str(outcome) for outcome in outcomes) == 2  # seven are 63 MiB of 64

    asyncio.run(run())


def test_a_record_that_no_message_can_hold_is_refused_for_good(settings: Settings) -> None:
    async def run() -> None:
        async with opened(settings) as log:
            with pytest.raises(RecordTooLargeError, match="smaller batches"):
                await log.append(record(1, bytes(message_max_bytes(settings) + 1)))
            await log.append(record(2, bytes(settings.body_max_bytes)))  # the largest body the door lets in

    asyncio.run(run())
    assert read_numbers(settings) == [2]


def test_a_producer_that_broke_for_good_is_replaced(cluster: KafkaCluster, settings: Settings) -> None:
    cluster.fail_next(API_INIT_PRODUCER_ID, *[KafkaError.CLUSTER_AUTHORIZATION_FAILED] * 2)

    async def run() -> None:
        async with opened(settings) as log:
            with pytest.raises(EventLogFullError):
                await log.append(record(1))
            for _ in range(100):
                with contextlib.suppress(EventLogFullError):
                    await log.append(record(2))
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("no producer took over")

    asyncio.run(run())
    assert read_numbers(settings)[-1] == 2


def test_a_tenants_records_lie_in_one_partition_and_tenants_are_spread(settings: Settings) -> None:
    tenants = [f"t{number}" for number in range(10, 22)]

    async def run() -> None:
        async with opened(settings) as log:
            await asyncio.gather(*(log.append(record(1, tenant_id=tenant)) for tenant in tenants * 3))

    asyncio.run(run())
    with contextlib.closing(open_log_reader(settings)) as reader:
        found = [
            {item.tenant_id for _, item in reader.read(name, None, max_events=ALL)}
            for name in reader.writers()
        ]
    assert len(found) == 3
    assert all(found)
    assert sorted(tenant for tenants_of_one in found for tenant in tenants_of_one) == tenants


def test_the_position_of_an_append_is_the_offset_behind_it(settings: Settings) -> None:
    settings = settings.with_changes(kafka_delivery_timeout_s=20.0)  # a busy machine needs more than one

    async def run() -> list[LogPosition]:
        async with opened(settings) as log:
            return [await log.append(record(number)) for number in range(3)]

    assert [str(position) for position in asyncio.run(run())] == ["0:1", "0:2", "0:3"]


# -- the door ------------------------------------------------------------------------------------


def wait_for_ready(door: RunningDoor, status: int) -> httpx.Response:
    deadline = time.monotonic() + 20
    while True:
        response = door.client.get("/health/ready")
        if response.status_code == status:
            return response
        assert time.monotonic() < deadline, response.text
        time.sleep(0.02)


def test_the_door_takes_events_into_kafka_and_the_lander_lands_each_once(settings: Settings) -> None:
    with RunningDoor(settings) as door:
        wait_for_ready(door, 200)
        events = [click(deviceId=f"device-{number}") for number in range(30)]
        for event in events:
            assert door.send(event).status_code == 202
        assert door.send(founding_event(campaign="")).status_code == 422
        assert door.send_batch(b"[broken").status_code == 400
        with Landing(settings) as landing:
            assert landing.lander.backlog_bytes() > 0
            landing.land_all()
            landed = [row["event_id"] for row in landing.rows()]
            assert sorted(landed) == sorted(event["eventId"] for event in events)
            assert len(landing.rows("raw.quarantine")) == 2
            assert landing.lander.backlog_bytes() == 0


def test_without_kafka_the_door_is_not_ready_answers_503_and_recovers(
    cluster: KafkaCluster, settings: Settings
) -> None:
    cluster.take_down(*BROKERS)
    with RunningDoor(settings) as door:
        assert_problem(door.client.get("/health/ready"), 503, "not_ready")
        assert door.client.get("/health/live").status_code == 200
        response = door.send(click())
        assert_problem(response, 503, "not_durable")
        assert int(response.headers["retry-after"]) > 0
        cluster.bring_up(*BROKERS)
        wait_for_ready(door, 200)
        assert door.send(click()).status_code == 202
        cluster.take_down(*BROKERS)
        assert_problem(wait_for_ready(door, 503), 503, "not_ready")


def test_a_broker_that_nobody_knows_leaves_the_door_up_and_not_ready(settings: Settings) -> None:
    with RunningDoor(settings.with_changes(kafka_bootstrap=NOBODY)) as door:
        assert_problem(door.send(click()), 503, "not_durable")
        assert_problem(door.client.get("/health/ready"), 503, "not_ready")


def test_a_topic_that_refuses_the_size_makes_the_answer_413(
    cluster: KafkaCluster, settings: Settings
) -> None:
    with RunningDoor(settings) as door:
        cluster.fail_next(API_PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE)
        assert_problem(door.send(click()), 413, "too_large")
        assert door.send(click()).status_code == 202
