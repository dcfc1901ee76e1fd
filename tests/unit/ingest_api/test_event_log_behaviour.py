"""What every event log does, whichever store is behind it: one suite, both implementations."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, Rejection
from ingest_api.event_log.stores import open_event_log
from resources.errors import EventLogFullError
from resources.settings import Settings, child_environment
from tests.support.kafka_cluster import KafkaCluster, kafka_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

from tests.support.event_logs import ALL, append_all, numbers, opened, read_on, reading, record

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as running:
        yield running


@pytest.fixture(params=["segments", "kafka"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if request.param == "segments":
        monkeypatch.setattr("ingest_api.event_log.segment_files.LOCK_WAIT_S", 0.05)
        return Settings(home=tmp_path)
    return kafka_settings(request.getfixturevalue("cluster"), tmp_path)


def test_every_field_comes_back_byte_for_byte(settings: Settings) -> None:
    sent = [
        record(
            number,
            bytes(range(256)) * number,
            format=body_format,
            encoding=encoding,
            event_count=number + 3,
            rejections=(Rejection(1, "not_json", "/a~1b", "why — “quoted” 🙂"),) * (number % 3),
            schema_version="v2" if number % 2 else "v1",
        )
        for number, (body_format, encoding) in enumerate(itertools.product(BodyFormat, BodyEncoding))
    ]
    append_all(settings, sent)
    with reading(settings) as reader:
        assert read_on(reader, {}) == sent


def test_reading_goes_on_behind_any_acknowledged_position(settings: Settings) -> None:
    sent = [record(number) for number in range(6)]
    positions = append_all(settings, sent)
    assert positions == sorted(set(positions))
    with reading(settings) as reader:
        [writer] = [name for name in reader.writers() if reader.backlog_bytes(name, None)]
        for number, position in enumerate(positions):
            after = LogPosition.parse(str(position))
            assert after == position
            assert [item for _, item in reader.read(writer, after, max_events=ALL)] == sent[number + 1 :]
        assert [place for place, _ in reader.read(writer, None, max_events=ALL)] == positions


def test_reading_stops_past_its_measure_and_goes_on_there(settings: Settings) -> None:
    append_all(settings, [record(number, event_count=4) for number in range(5)])
    with reading(settings) as reader:
        places: dict[str, LogPosition] = {}
        assert [numbers(read_on(reader, places, max_events=5)) for _ in range(4)] == [[0, 1], [2, 3], [4], []]


def test_a_reader_that_breaks_off_reads_the_rest_later(settings: Settings) -> None:
    append_all(settings, [record(number) for number in range(50)])
    with reading(settings) as reader:
        [writer] = [name for name in reader.writers() if reader.backlog_bytes(name, None)]
        after = None
        seen = []
        for _ in range(10):
            for place, (position, item) in enumerate(reader.read(writer, after, max_events=ALL), 1):
                after = position
                seen.append(item)
                if place == 7:
                    break
        assert numbers(seen) == list(range(50))


def test_a_body_of_ten_mebibytes_comes_back(settings: Settings) -> None:
    events = b",".join(b'{"eventId":"%032x","campaign":"spring"}' % number for number in range(190_000))
    body = b"[" + events + b"]"
    body += b" " * (10 * 1024 * 1024 - len(body))
    append_all(settings, [record(1, body, format=BodyFormat.ARRAY), record(2)])
    with reading(settings) as reader:
        large, small = read_on(reader, {})
    assert large.body == body
    assert small == record(2)


def test_each_of_many_concurrent_appends_is_acknowledged_and_there(settings: Settings) -> None:
    sent = [record(number, tenant_id=f"t{number % 7}0") for number in range(1_000)]

    async def run() -> list[LogPosition]:
        async with opened(settings) as log:
            return await asyncio.gather(*map(log.append, sent))

    assert len(asyncio.run(run())) == len(sent)
    with reading(settings) as reader:
        found = read_on(reader, {})
    assert len(found) == len(sent)
    for tenant in {item.tenant_id for item in sent}:
        assert numbers(found, tenant) == numbers(sent, tenant)  # sent in this order, from one loop


def test_several_writers_lose_nothing_and_keep_each_tenants_order(settings: Settings) -> None:
    async def write(tenant: str) -> None:
        async with opened(settings) as log:
            for number in range(40):
                await log.append(record(number, tenant_id=tenant))

    async def run() -> None:
        await asyncio.gather(*(write(f"t{number}0") for number in range(3)))

    asyncio.run(run())
    with reading(settings) as reader:
        found = read_on(reader, {})
    assert [numbers(found, f"t{number}0") for number in range(3)] == [list(range(40))] * 3


def test_a_reader_that_starts_again_continues(settings: Settings) -> None:
    places: dict[str, LogPosition] = {}
    for first in (0, 10):
        append_all(settings, [record(first + number) for number in range(10)])
        with reading(settings) as reader:
            assert numbers(read_on(reader, places)) == list(range(first, first + 10))
            assert read_on(reader, places) == []


def test_what_is_appended_while_a_reader_is_there_is_read(settings: Settings) -> None:
    async def run() -> None:
        places: dict[str, LogPosition] = {}
        async with opened(settings) as log:
            await log.append(record(0))
            with reading(settings) as reader:
                for number in range(1, 20):
                    await log.append(record(number))
                    seen = read_on(reader, places)
                    assert numbers(seen)[-1] == number

    asyncio.run(run())


def test_the_backlog_is_what_lies_behind_a_position(settings: Settings) -> None:
    first, last = append_all(settings, [record(1, bytes(1_000)), record(2, bytes(1_000))])
    with reading(settings) as reader:
        [writer] = [name for name in reader.writers() if reader.backlog_bytes(name, None)]
        assert 2_000 < reader.backlog_bytes(writer, None) < 2_300
        assert 1_000 < reader.backlog_bytes(writer, first) < 1_150
        assert reader.backlog_bytes(writer, last) == 0


def test_release_never_takes_what_lies_behind_it(settings: Settings) -> None:
    positions = append_all(settings, [record(number) for number in range(4)])
    with reading(settings) as reader:
        [writer] = [name for name in reader.writers() if reader.backlog_bytes(name, None)]
        reader.release(writer, positions[1])
        assert numbers([item for _, item in reader.read(writer, positions[1], max_events=ALL)]) == [2, 3]
        reader.release(writer, positions[3])
        assert reader.release(writer, positions[3]) == 0
        assert reader.backlog_bytes(writer, positions[3]) == 0
        assert list(reader.read(writer, positions[3], max_events=ALL)) == []
    append_all(settings, [record(9)])
    with reading(settings) as reader:
        assert numbers(read_on(reader, {writer: positions[3]})) == [9]


def test_an_empty_log_has_nothing_to_read_and_no_backlog(settings: Settings) -> None:
    with reading(settings) as reader:
        assert read_on(reader, {}) == []
        assert [reader.backlog_bytes(writer, None) for writer in reader.writers() if writer] in ([], [0] * 3)


def test_a_closed_log_has_finished_what_it_took_and_takes_no_more(settings: Settings) -> None:
    async def run() -> None:
        log = open_event_log(settings)
        waiting = [asyncio.create_task(log.append(record(number))) for number in range(20)]
        await asyncio.sleep(0)
        await log.close()
        assert all(task.done() and task.exception() is None for task in waiting)
        assert not log.is_writable()
        with pytest.raises(EventLogFullError):
            await log.append(record(99))

    asyncio.run(run())
    with reading(settings) as reader:
        assert numbers(read_on(reader, {})) == list(range(20))


def test_a_sender_that_goes_away_harms_nobody_elses_append(settings: Settings) -> None:
    async def run() -> None:
        async with opened(settings) as log:
            gone = asyncio.create_task(log.append(record(1)))
            await asyncio.sleep(0)
            gone.cancel()
            await log.append(record(2))

    asyncio.run(run())
    with reading(settings) as reader:
        assert numbers(read_on(reader, {}))[-1] == 2


def test_nothing_acknowledged_is_missing_after_the_writer_is_killed(settings: Settings) -> None:
    given = {name: getattr(settings, name) for name in ("event_log", "kafka_bootstrap", "kafka_topic")}
    environment = child_environment(
        UNMOGROWP_HOME=str(settings.home),
        **{f"UNMOGROWP_{name.upper()}": str(value) for name, value in given.items() if value},
    )
    places: dict[str, LogPosition] = {}
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.endless_writer"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(200)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        acknowledged = [int(line) for line in lines if line.endswith(b"\n")]
        with reading(settings) as reader:
            found = numbers(read_on(reader, places))
        assert len(acknowledged) >= 200
        assert set(acknowledged) <= set(found)
        assert found == list(range(len(found)))  # in order, none twice


def test_what_two_readers_read_together_is_everything(settings: Settings) -> None:
    sent = [record(number, tenant_id=f"t{number % 9}0") for number in range(90)]
    append_all(settings, sent)
    with reading(settings) as first, reading(settings) as second:
        places: tuple[dict[str, LogPosition], dict[str, LogPosition]] = ({}, {})
        found: set[tuple[str, int]] = set()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # a store that divides the writers needs some turns to do so
            for reader, own_places in zip((first, second), places, strict=True):
                found |= {(item.tenant_id, item.received_at_us) for item in read_on(reader, own_places)}
            if second.writers():
                break
            time.sleep(0.01)
        assert second.writers()
        found |= {(item.tenant_id, item.received_at_us) for item in read_on(second, places[1])}
    assert found == {(item.tenant_id, item.received_at_us) for item in sent}
