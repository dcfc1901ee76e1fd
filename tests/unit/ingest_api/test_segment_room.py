"""What the segment log leaves on its disk: room for the lander, and no files that hold nothing."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

import pytest

from ingest_api.event_log.frames import SEGMENT_MAGIC, encode_frame
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.event_log.segment_files import OpenSegment, free_bytes, segment_ids, segment_path
from ingest_api.event_log.segment_reader import SegmentReader
from ingest_api.event_log.segments import SegmentLog
from resources.errors import EventLogFullError

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
RECORD = LogRecord("t123", 1_000, BodyFormat.JSON, BodyEncoding.IDENTITY, 1, b"{}")


def open_log(root: Path, reserve_bytes: int) -> SegmentLog:
    return SegmentLog(
        root,
        "worker-0",
        segment_max_bytes=MIB,
        segment_max_age_s=60.0,
        budget_bytes=1 << 40,
        backlog_max_bytes=1 << 40,
        reserve_bytes=reserve_bytes,
    )


def append_one(root: Path, reserve_bytes: int = 0) -> LogPosition:
    async def append() -> LogPosition:
        log = open_log(root, reserve_bytes)
        try:
            position = await log.append(RECORD)
            assert log.is_writable()
            return position
        except EventLogFullError:
            assert not log.is_writable()
            raise
        finally:
            await log.close()

    return asyncio.run(append())


def test_the_disk_keeps_room_for_the_lander(tmp_path: Path) -> None:
    with pytest.raises(EventLogFullError, match="kept for the lander to make room with"):
        append_one(tmp_path, reserve_bytes=free_bytes(tmp_path) + 64 * MIB)
    append_one(tmp_path, reserve_bytes=free_bytes(tmp_path) // 2)
    assert len(list(SegmentReader(tmp_path).read("worker-0", None, max_events=10))) == 1


def test_a_segment_that_could_not_be_begun_leaves_no_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(SEGMENT_MAGIC) - 1, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            OpenSegment(tmp_path, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert segment_ids(tmp_path) == []


@pytest.mark.parametrize("content", [b"", SEGMENT_MAGIC[:3], SEGMENT_MAGIC])
def test_an_empty_segment_behind_the_last_record_goes_too(tmp_path: Path, content: bytes) -> None:
    position = append_one(tmp_path)
    directory = tmp_path / "worker-0"
    segment_path(directory, position.segment + 5).write_bytes(content)  # rolled, then the door was stopped
    SegmentReader(tmp_path).release("worker-0", position)
    assert segment_ids(directory) == []


def test_a_segment_behind_the_last_landed_record_stays_when_it_holds_one(tmp_path: Path) -> None:
    position = append_one(tmp_path)
    directory = tmp_path / "worker-0"
    later = segment_path(directory, position.segment + 5)
    later.write_bytes(SEGMENT_MAGIC + encode_frame(RECORD))
    SegmentReader(tmp_path).release("worker-0", position)
    assert segment_ids(directory) == [position.segment + 5]
