"""The segment-file log: durable, framed, rolling, exclusive, bounded."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from typing import TYPE_CHECKING

import pytest

from ingest_api.event_log.frames import SEGMENT_MAGIC, encode_frame
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord, Rejection
from ingest_api.event_log.segment_files import segment_ids, segment_path
from ingest_api.event_log.segment_reader import SegmentReader
from ingest_api.event_log.segments import SegmentLog
from ingest_api.event_log.stores import claim_writer
from resources.errors import DirectoryLockedError, EventLogFullError

if TYPE_CHECKING:
    from pathlib import Path


def record(number: int = 0, body: bytes = b"{}", **fields: object) -> LogRecord:
    given = {"format": BodyFormat.JSON, "encoding": BodyEncoding.IDENTITY, "event_count": 1, **fields}
    return LogRecord(tenant_id="t123", received_at_us=1_000 + number, body=body, **given)  # type: ignore[arg-type]  # one test's fields


def open_log(root: Path, writer: str = "worker-0", **limits: float) -> SegmentLog:
    given = {
        "segment_max_bytes": 1 << 20,
        "segment_max_age_s": 60.0,
        "budget_bytes": 1 << 30,
        "backlog_max_bytes": 1 << 30,
        **limits,
    }
    return SegmentLog(root, writer, **given)  # type: ignore[arg-type]  # one test's limits


async def append_and_close(root: Path, records: list[LogRecord], **limits: float) -> list[LogPosition]:
    log = open_log(root, **limits)
    positions = [await log.append(item) for item in records]
    await log.close()
    return positions


def read_all(root: Path, after: LogPosition | None = None) -> list[LogRecord]:
    return [item for _, item in SegmentReader(root).read("worker-0", after, max_events=1_000_000)]


def test_every_field_of_a_record_comes_back(tmp_path: Path) -> None:
    sent = record(
        7,
        bytes(range(256)) * 40,
        format=BodyFormat.NDJSON,
        encoding=BodyEncoding.ZSTD,
        event_count=3,
        rejections=(Rejection(1, "not_json", "", "why — “quoted”"),),
        schema_version="v2",
    )
    asyncio.run(append_and_close(tmp_path, [sent, record(8)]))
    assert read_all(tmp_path) == [sent, record(8)]


def test_reading_goes_on_behind_any_position(tmp_path: Path) -> None:
    sent = [record(number) for number in range(5)]
    positions = asyncio.run(append_and_close(tmp_path, sent))
    assert positions == sorted(positions)
    for number, position in enumerate(positions):
        assert read_all(tmp_path, LogPosition.parse(str(position))) == sent[number + 1 :]


def test_appends_that_wait_together_share_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    real_sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (syncs.append(1), real_sync(descriptor)))

    async def many() -> None:
        log = open_log(tmp_path)
        await asyncio.gather(*(log.append(record(number)) for number in range(200)))
        await log.close()

    asyncio.run(many())
    assert len(read_all(tmp_path)) == 200
    assert 0 < len(syncs) < 10


def test_no_append_returns_before_its_bytes_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced_bytes = {}
    real_sync = os.fdatasync

    def slow_sync(descriptor: int) -> None:
        written_bytes = os.fstat(descriptor).st_size
        time.sleep(0.01)
        real_sync(descriptor)
        synced_bytes[os.fstat(descriptor).st_ino] = written_bytes

    monkeypatch.setattr(os, "fdatasync", slow_sync)

    async def append_and_look(log: SegmentLog, number: int) -> None:
        await asyncio.sleep(number * 0.004)
        position = await log.append(record(number))
        path = segment_path(tmp_path / log.writer, position.segment)
        assert synced_bytes[path.stat().st_ino] >= position.offset

    async def many() -> None:
        log = open_log(tmp_path, segment_max_bytes=400)
        await asyncio.gather(*(append_and_look(log, number) for number in range(30)))
        await log.close()

    asyncio.run(many())


@pytest.mark.parametrize("cut_bytes", range(1, 12))
def test_a_torn_tail_is_skipped_and_never_appended_to(tmp_path: Path, cut_bytes: int) -> None:
    asyncio.run(append_and_close(tmp_path, [record(1), record(2)]))
    directory = tmp_path / "worker-0"
    torn = segment_path(directory, segment_ids(directory)[0])
    os.truncate(torn, torn.stat().st_size - cut_bytes)
    size = torn.stat().st_size
    asyncio.run(append_and_close(tmp_path, [record(3)]))
    assert torn.stat().st_size == size
    assert [item.received_at_us for item in read_all(tmp_path)] == [1_001, 1_003]


@pytest.mark.parametrize("place", [0, 4, 8, 20])
def test_a_flipped_bit_makes_a_record_no_record(tmp_path: Path, place: int) -> None:
    asyncio.run(append_and_close(tmp_path, [record(1)]))
    directory = tmp_path / "worker-0"
    path = segment_path(directory, segment_ids(directory)[0])
    data = bytearray(path.read_bytes())
    data[len(SEGMENT_MAGIC) + place] ^= 1
    path.write_bytes(data)
    assert read_all(tmp_path) == []


def test_a_hole_of_zeros_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "worker-0").mkdir()
    segment_path(tmp_path / "worker-0", 1).write_bytes(SEGMENT_MAGIC + bytes(4096))
    assert read_all(tmp_path) == []


def test_segment_ids_rise_though_the_clock_steps_back_and_segments_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = asyncio.run(append_and_close(tmp_path, [record(1)]))
    segment_path(tmp_path / "worker-0", first.segment).unlink()
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    [second] = asyncio.run(append_and_close(tmp_path, [record(2)]))
    assert second.segment > first.segment


def test_segments_roll_by_size(tmp_path: Path) -> None:
    positions = asyncio.run(
        append_and_close(tmp_path, [record(body=bytes(600))] * 4, segment_max_bytes=1_000)
    )
    first, second, third, fourth = (position.segment for position in positions)
    assert first == second < third == fourth


def test_an_idle_segment_is_closed_so_that_its_bodies_can_go(tmp_path: Path) -> None:
    async def idle() -> int:
        log = open_log(tmp_path, segment_max_age_s=0.05)
        position = await log.append(record(1))
        reader = SegmentReader(tmp_path)
        assert reader.release("worker-0", position) == 0  # it may still be written
        for _ in range(100):
            await asyncio.sleep(0.02)
            if freed := reader.release("worker-0", position):
                break
        await asyncio.sleep(0.2)
        assert len(segment_ids(tmp_path / "worker-0")) == 1  # an idle log makes no more segments
        await log.close()
        return freed

    assert asyncio.run(idle()) > 0


def test_release_keeps_what_has_not_landed(tmp_path: Path) -> None:
    positions = asyncio.run(append_and_close(tmp_path, [record(1), record(2)]))
    reader = SegmentReader(tmp_path)
    assert reader.release("worker-0", positions[0]) == 0
    assert reader.backlog_bytes("worker-0", positions[0]) == len(encode_frame(record(2)))
    assert reader.release("worker-0", positions[1]) > 0
    assert read_all(tmp_path) == []


def test_a_damaged_segment_is_kept_aside_for_a_person(tmp_path: Path) -> None:
    positions = asyncio.run(append_and_close(tmp_path, [record(1), record(2)]))
    directory = tmp_path / "worker-0"
    path = segment_path(directory, positions[0].segment)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert SegmentReader(tmp_path).release("worker-0", positions[0]) == positions[0].offset
    assert segment_ids(directory) == []
    torn = path.with_suffix(".torn")
    assert torn.read_bytes() == whole[positions[0].offset : -1]  # what has landed is not kept
    assert torn.stat().st_mode & 0o777 == 0o600


def test_two_workers_never_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest_api.event_log.segment_files.LOCK_WAIT_S", 0.05)
    sizes = ("segment_max_bytes", "budget_bytes", "backlog_max_bytes", "reserve_bytes")
    limits = {"segment_max_age_s": 1.0, **dict.fromkeys(sizes, 1)}

    async def claim() -> None:
        first = claim_writer(tmp_path, **limits)  # type: ignore[arg-type]  # sizes and an age
        with pytest.raises(DirectoryLockedError, match="another process writes"):
            open_log(tmp_path, first.writer)
        second = claim_writer(tmp_path, **limits)  # type: ignore[arg-type]  # sizes and an age
        assert (first.writer, second.writer) == ("worker-0", "worker-1")
        await first.close()
        third = claim_writer(tmp_path, **limits)  # type: ignore[arg-type]  # sizes and an age
        assert third.writer == "worker-0"
        await second.close()
        await third.close()

    asyncio.run(claim())


def test_over_its_budget_the_log_takes_nothing_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_api.event_log.segments.BUDGET_CHECK_INTERVAL_S", 0.0)

    async def fill() -> None:
        log = open_log(tmp_path, budget_bytes=2_000, segment_max_bytes=500)
        positions = [await log.append(record(body=bytes(600)))]
        positions.append(await log.append(record(body=bytes(600))))
        with pytest.raises(EventLogFullError, match="when the lander has caught up"):
            await log.append(record(body=bytes(900)))
        SegmentReader(tmp_path).release("worker-0", positions[0])
        await log.append(record(body=bytes(600)))
        assert log.is_writable()
        await log.close()

    asyncio.run(fill())
    assert len(read_all(tmp_path)) == 2


def test_a_failing_disk_refuses_and_the_log_recovers_in_a_new_segment(tmp_path: Path) -> None:
    async def fail() -> None:
        log = open_log(tmp_path)
        before = await log.append(record(1))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # the kernel's own EFBIG, in mid-record
        try:
            with pytest.raises(EventLogFullError, match="cannot write"):
                await log.append(record(2, bytes(10_000)))
            assert not log.is_writable()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        after = await log.append(record(3))
        assert after.segment > before.segment
        assert log.is_writable()
        await log.close()

    asyncio.run(fail())
    assert [item.received_at_us for item in read_all(tmp_path)] == [1_001, 1_003]


def test_a_directory_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    async def refuse() -> None:
        log = open_log(tmp_path)
        (tmp_path / "worker-0").rename(
            tmp_path / "elsewhere"
        )  # root ignores permissions; a missing one it cannot
        with pytest.raises(EventLogFullError, match="cannot open a segment"):
            await log.append(record(1))
        (tmp_path / "elsewhere").rename(tmp_path / "worker-0")
        await log.append(record(2))
        await log.close()

    asyncio.run(refuse())
    assert [item.received_at_us for item in read_all(tmp_path)] == [1_002]
