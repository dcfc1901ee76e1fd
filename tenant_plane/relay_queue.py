"""Events on disk while the global plane is away: an append-only queue of segment files, synced before an ack.

Belongs here: frames, segments and the read position. Sending is `relay`.
A frame is length (4 bytes), CRC-32 (4 bytes), kind (1 byte), body. The read position may lag after a crash:
then events are sent again with the same ids, which the global plane counts once. It never leads.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

from resources.errors import DirectoryLockedError, EventLogFullError
from tenant_plane.files import replace_atomically, sync_directory

HEADER = struct.Struct("<IIB")
SEGMENT_BYTES = 8 * 1024 * 1024  # at least one request body (10 MiB) fits by starting its own segment


@dataclass(frozen=True)
class Frame:
    """One request body to relay, and where the next one begins."""

    body: bytes
    is_batch: bool
    segment: int
    end_offset: int


class RelayQueue:
    """First in, first out; survives kill -9; one process owns the directory."""

    def __init__(self, directory: Path, *, budget_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._owner = (directory / ".owner.lock").open("w")
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._owner.close()
            raise DirectoryLockedError(
                f"{directory} belongs to a running tenant plane: stop that one first"
            ) from error
        segments = self._segments()
        if segments:
            _truncate_torn_tail(self._path(segments[-1]))
        self._segment, self._offset = self._saved_position(segments)
        self._last = segments[-1] if segments else self._segment
        self._bytes = sum(self._path(segment).stat().st_size for segment in segments)

    @property
    def pending_bytes(self) -> int:
        """Bytes on disk that are not yet sent."""
        with self._lock:
            return max(0, self._bytes - self._offset)

    def append(self, body: bytes, *, is_batch: bool) -> None:
        """Add one body; it is durable when this returns.

        Raises:
            EventLogFullError: the queue's disk budget is used up.
        """
        frame = HEADER.pack(len(body), zlib.crc32(body), is_batch) + body
        with self._lock:
            if self._bytes + len(frame) > self._budget_bytes:
                raise EventLogFullError(
                    f"the relay's buffer of {self._budget_bytes} bytes is full: "
                    "send again when the global plane answers"
                )
            path = self._path(self._last)
            size = path.stat().st_size if path.exists() else 0
            if size and size + len(frame) > SEGMENT_BYTES:
                self._last += 1
                path = self._path(self._last)
            _write_whole(path, size, frame)
            if size == 0:
                sync_directory(self._directory)
            self._bytes += len(frame)

    def head(self) -> Frame | None:
        """The oldest body not yet sent; none when the queue is empty."""
        with self._lock:
            while True:
                frame = self._read_at(self._segment, self._offset)
                if frame is not None or self._segment >= self._last:
                    return frame
                self._drop_segment()

    def done(self, frame: Frame) -> None:
        """Move past a sent body; a segment with nothing left is deleted."""
        with self._lock:
            self._offset = frame.end_offset
            path = self._path(self._segment)
            if self._segment < self._last or self._offset < path.stat().st_size:
                self._save_position()
                return
            self._drop_segment()
            self._last = self._segment

    def close(self) -> None:
        """Give up the directory."""
        self._owner.close()

    def _drop_segment(self) -> None:
        """Go to the next segment; the position is saved first, so that no unsent one is ever skipped."""
        path = self._path(self._segment)
        size = path.stat().st_size if path.exists() else 0
        self._segment, self._offset = self._segment + 1, 0
        self._save_position()
        path.unlink(missing_ok=True)
        self._bytes -= size

    def _read_at(self, segment: int, offset: int) -> Frame | None:
        path = self._path(segment)
        if not path.exists():
            return None
        with path.open("rb") as file:
            file.seek(offset)
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                return None
            length, _crc, is_batch = HEADER.unpack(header)
            return Frame(file.read(length), bool(is_batch), segment, offset + HEADER.size + length)

    def _save_position(self) -> None:
        replace_atomically(self._directory / "position", f"{self._segment} {self._offset}".encode())

    def _saved_position(self, segments: list[int]) -> tuple[int, int]:
        path = self._directory / "position"
        segment, offset = (int(part) for part in path.read_text().split()) if path.exists() else (0, 0)
        for old in [number for number in segments if number < segment]:
            self._path(old).unlink()
            segments.remove(old)
        if segments and segment not in segments:
            return segments[0], 0
        return segment, offset

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._directory.glob("*.segment"))

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:012d}.segment"


def _write_whole(path: Path, size: int, frame: bytes) -> None:
    """Append a frame and sync it, or leave the file as it was: half a frame would hide those behind it."""
    with path.open("ab") as file:
        try:
            file.write(frame)
            file.flush()
            os.fdatasync(file.fileno())
        except OSError as error:
            os.ftruncate(file.fileno(), size)
            raise EventLogFullError(
                "the relay's buffer cannot be written: free disk space, send again"
            ) from error


def _truncate_torn_tail(path: Path) -> None:
    """Cut what a crash left half-written behind the last whole frame; nobody was told it is safe."""
    end = 0
    with path.open("r+b") as file:
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, crc, _is_batch = HEADER.unpack(header)
            body = file.read(length)
            if len(body) < length or zlib.crc32(body) != crc:
                break
            end += HEADER.size + length
        file.truncate(end)
