"""Reading the segment-file log and deleting what has landed. Writing is `segments`'.

The newest segment of a living writer is still growing: its end is where the whole frames end. Of any older
segment a torn tail is final, because a segment is never appended to again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from typing import TYPE_CHECKING

from ingest_api.event_log.frames import SEGMENT_MAGIC, TornFrameError, decode_frame
from ingest_api.event_log.protocol import LogPosition
from ingest_api.event_log.segment_files import LOCK_NAME, segment_ids, segment_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest_api.event_log.protocol import LogRecord

logger = logging.getLogger(__name__)
TORN_SUFFIX = ".torn"
BLOCK_BYTES = 1024 * 1024  # read at once: a landing takes a part of a segment, so not the whole of it


class SegmentReader:
    """The `LogReader` over all writers' segment files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ends: dict[Path, int] = {}  # of older segments read to their end: where their whole records end

    def writers(self) -> list[str]:
        """Names of the writer directories, sorted."""
        if not self._root.exists():
            return []
        return sorted(path.name for path in self._root.iterdir() if path.is_dir())

    def read(
        self, writer: str, after: LogPosition | None, *, max_events: int
    ) -> Iterator[tuple[LogPosition, LogRecord]]:
        """Whole records after a position; stops once `max_events` deliveries were given."""
        given = 0
        directory = self._root / writer
        ids = segment_ids(directory)  # listed before reading: whatever is older than the last is closed
        for segment_id in ids:
            if after is not None and segment_id < after.segment:
                continue
            start = after.offset if after is not None and segment_id == after.segment else len(SEGMENT_MAGIC)
            path = segment_path(directory, segment_id)
            end = start
            for end, record in _records(path, start):
                yield LogPosition(segment_id, end), record
                given += record.event_count
                if given >= max_events:
                    return
            if segment_id != ids[-1]:
                self._ends[path] = end

    def release(self, writer: str, upto: LogPosition) -> int:
        """Delete closed segments whose whole records all lie at or before `upto`, also empty ones behind it.

        Bytes after the last whole record of a closed segment were never acknowledged, unless the disk
        corrupted them: they are kept beside the log, in a file of their own, for a person to look at.
        """
        directory = self._root / writer
        ids = segment_ids(directory)
        closed = ids if self._has_no_living_writer(directory) else ids[:-1]
        freed = 0
        for segment_id in closed:
            path = segment_path(directory, segment_id)
            if segment_id > upto.segment and path.stat().st_size > len(SEGMENT_MAGIC):
                break
            landed_upto = upto.offset if segment_id == upto.segment else self._ends.get(path)
            freed += _delete_landed(path, landed_upto)
            self._ends.pop(path, None)
        return freed

    def backlog_bytes(self, writer: str, after: LogPosition | None) -> int:
        """Bytes of the writer's log behind a position."""
        directory = self._root / writer
        total = 0
        for segment_id in segment_ids(directory):
            if after is None or segment_id >= after.segment:
                done = (
                    after.offset if after is not None and segment_id == after.segment else len(SEGMENT_MAGIC)
                )
                total += max(0, segment_path(directory, segment_id).stat().st_size - done)
        return total

    def close(self) -> None:
        """Nothing is held open between reads."""

    def _has_no_living_writer(self, directory: Path) -> bool:
        lock = directory / LOCK_NAME
        if not lock.exists():
            return True
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


def _records(path: Path, start: int) -> Iterator[tuple[int, LogRecord]]:
    """(end, record) of the whole frames from `start` on. Reads a block at a time, no more than is asked for."""
    with path.open("rb") as file:
        file.seek(start)
        block, at = b"", 0
        while True:
            try:
                record, end = decode_frame(memoryview(block), at)
            except TornFrameError:
                more = file.read(BLOCK_BYTES)
                if not more:
                    return
                block, at = block[at:] + more, 0
                continue
            start += end - at
            at = end
            yield start, record


def _delete_landed(path: Path, landed_upto: int | None) -> int:
    """Delete a closed segment; bytes freed, 0 when a whole record in it has not landed yet."""
    size = path.stat().st_size
    end = landed_upto or len(SEGMENT_MAGIC)
    if size > end:
        for record_end, _ in _records(path, end):
            if landed_upto is not None:
                return 0
            end = record_end
    if size > end:
        logger.warning(
            "segment %s ends in %d bytes that are no record; kept as %s", path, size - end, TORN_SUFFIX
        )
        _set_aside(path, end)
        return end
    path.unlink()
    return size


def _set_aside(path: Path, end: int) -> None:
    """Keep what is behind a segment's last record; the bodies before it have landed and go."""
    torn = path.with_suffix(TORN_SUFFIX)
    draft = path.with_suffix(".draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with path.open("rb") as segment, os.fdopen(descriptor, "wb") as kept:
            segment.seek(end)
            shutil.copyfileobj(segment, kept)
            os.fsync(kept.fileno())
    except OSError:  # a full disk: releasing must go on, so the whole file is kept for once
        draft.unlink(missing_ok=True)
        path.rename(torn)
        return
    draft.rename(torn)
    path.unlink()
