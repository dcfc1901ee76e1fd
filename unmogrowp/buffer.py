"""Waiting records on disk: segment files, one sync for everybody who waits for one, a head that survives.

Promise: what was committed before a kill -9 or a power cut is still there, and leaves in the order it came.
The head may lag after a crash: then events are sent again with the same ids, which the platform counts once.
It never leads. Not here: frames (`frames`), sending (`engine`). POSIX only: the directory is locked by flock.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import orjson

from unmogrowp import frames
from unmogrowp.errors import BufferFullError, BufferLockedError
from unmogrowp.waiting import Group, Kind, Parcel, Position, RefusedBody

LOG = logging.getLogger(__name__)
SEGMENT_BYTES = 8 * 1024 * 1024  # 20,000 usual events; what a drained directory may still hold at most
_HEAD = struct.Struct("<QQI")
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class DiskBuffer:
    """First in, first out; survives kill -9; one process owns the directory."""

    def __init__(self, directory: Path, tenant_id: str, *, budget_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lost_frames = 0
        self._directory, self._tenant_id, self._budget_bytes = directory, tenant_id, budget_bytes
        self._owner = _locked(directory / ".owner.lock", tenant_id)
        self._head_file = os.open(directory / "head", os.O_RDWR | os.O_CREAT, 0o600)
        self._changed = threading.Condition()
        self._is_writing, self._writing_bytes = False, 0
        self._group = Group([])
        self._file: int | None = None
        self._sizes = self._found_segments()
        saved = self._saved_head()
        self._last = max([*self._sizes, saved[0]]) + 1  # a new file: never behind another process's torn end
        self._head = saved if saved[1] <= self._sizes.get(saved[0], -1) else (saved[0], 0)
        self._drop_sent()

    @property
    def pending_bytes(self) -> int:
        """Bytes that the door has not acknowledged yet, with those that are being written."""
        with self._changed:
            return self._pending_bytes()

    @property
    def head(self) -> Position:
        """Before the first record not yet acknowledged."""
        with self._changed:
            return self._head

    @property
    def tail(self) -> Position:
        """Behind the last committed record."""
        with self._changed:
            return self._last, self._sizes.get(self._last, 0)

    def add(self, kind: Kind, records: Sequence[bytes]) -> Group:
        """Queue records, all or none, for the next sync.

        Raises:
            BufferFullError: they do not fit into the budget.
        """
        framed = [frames.encode(kind, record) for record in records]
        size_bytes = sum(map(len, framed))
        with self._changed:
            if self._pending_bytes() + size_bytes > self._budget_bytes:
                raise BufferFullError(
                    f"tenant {self._tenant_id}: the buffer of {self._budget_bytes} bytes in {self._directory} "
                    "is full; send again when the door answers, or make the budget larger"
                )
            self._group.frames.extend(framed)
            self._group.size_bytes += size_bytes
            return self._group

    def commit(self, group: Group) -> None:
        """Return once the group is on disk: the first who comes syncs for all who wait.

        Raises:
            BufferFullError: the disk takes no more; nothing of the group is kept.
        """
        with self._changed:
            while self._is_writing and not group.is_done:
                self._changed.wait()
            if not group.is_done:
                self._is_writing, self._writing_bytes, self._group = True, group.size_bytes, Group([])
        if not group.is_done:
            self._lead(group)
        if group.error is not None:
            raise BufferFullError(str(group.error)) from group.error

    def peek(self, max_events: int, max_bytes: int) -> Parcel | None:
        """The oldest records that may travel together; damaged ones before them are counted and left out."""
        while True:
            with self._changed:
                (segment, offset), size = self._head, self._sizes.get(self._head[0], 0)
            if offset >= size:
                return None  # `_drop_sent` has gone on to the next segment, where there is one
            with self._path(segment).open("rb") as file:
                data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            with data:
                taken = frames.take(data, offset, size, max_events, max_bytes)
            if taken.lost:
                self.lost_frames += taken.lost
                LOG.error("tenant %s: %d damaged records left out", self._tenant_id, taken.lost)
            parcel = Parcel(taken.kind, taken.records, (segment, taken.end))
            if taken.records:
                return parcel
            self.done(parcel)

    def done(self, parcel: Parcel) -> None:
        """Move the head behind a parcel; a segment with nothing left is deleted."""
        with self._changed:
            self._head = parcel.end
            self._save_head()
            self._drop_sent()

    def keep_refused(self, refusal: RefusedBody) -> None:
        """Append to `refused.ndjson`, on disk before the head moves on."""
        entry = {"status": refusal.status, "answer": refusal.answer, "body": refusal.body.decode()}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(self._refused, flags, 0o600), "ab") as file:
            file.write(orjson.dumps(entry) + b"\n")
            file.flush()
            _sync(file.fileno())

    def take_refused(self) -> list[RefusedBody]:
        """What `refused.ndjson` holds; the file is deleted."""
        if not self._refused.exists():
            return []
        entries = [orjson.loads(line) for line in self._refused.read_bytes().splitlines()]
        self._refused.unlink()
        return [RefusedBody(each["status"], each["answer"], each["body"].encode()) for each in entries]

    def tidy(self) -> None:
        """Delete the last segment too when all of it was acknowledged: no event stays longer than it must."""
        with self._changed:
            is_idle = not self._is_writing and not self._pending_bytes()
            if is_idle and self._sizes:
                self._begin_segment()
                self._drop_sent()

    def close(self) -> list[bytes]:
        """Give up the directory; what waits stays there for the next client, so nothing is given back."""
        self.tidy()
        with self._changed:
            self._begin_segment()
        os.close(self._head_file)
        os.close(self._owner)
        return []

    @property
    def _refused(self) -> Path:
        return self._directory / "refused.ndjson"

    def _pending_bytes(self) -> int:
        unsynced = self._group.size_bytes + self._writing_bytes
        return sum(self._sizes.values()) - self._head[1] + unsynced

    def _lead(self, group: Group) -> None:
        """Write for all who wait; they learn how it went, whatever happens here."""
        group.error = BufferFullError(f"tenant {self._tenant_id}: nothing was written; send again")
        written = 0
        try:
            written = self._write(group.frames, group.size_bytes)
            group.error = None
        except OSError as error:
            group.error = BufferFullError(
                f"tenant {self._tenant_id}: the buffer in {self._directory} cannot be written "
                f"({error.strerror}); free disk space, then send again"
            )
        finally:
            with self._changed:
                self._sizes[self._last] = self._sizes.get(self._last, 0) + written
                if not written:
                    self._begin_segment()
                self._is_writing, self._writing_bytes, group.is_done = False, 0, True
                self._drop_sent()
                self._changed.notify_all()

    def _write(self, framed: Sequence[bytes], size_bytes: int) -> int:
        """Append and sync; a segment whose write failed gets its old size back and nothing more."""
        before = self._sizes.get(self._last, 0)
        if before and before + size_bytes > SEGMENT_BYTES:
            self._begin_segment()
            before = 0
        path = self._path(self._last)
        try:
            if self._file is None:
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                _sync_directory(self._directory)
            _write_all(self._file, b"".join(framed))
            _sync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise
        return size_bytes

    def _begin_segment(self) -> None:
        """What is committed next goes to a new file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._last += 1

    def _drop_sent(self) -> None:
        """Go on to the next segment when this one is sent; the head is saved first, so none is skipped."""
        segment, offset = self._head
        later = [number for number in self._sizes if number > segment]
        while segment < self._last and offset >= self._sizes.get(segment, 0):
            segment, offset = min(later, default=self._last), 0
            later = [number for number in later if number > segment]
        if segment != self._head[0]:
            self._head = segment, offset
            self._save_head()
        for old in [number for number in self._sizes if number < segment]:
            self._path(old).unlink(missing_ok=True)
            del self._sizes[old]

    def _save_head(self) -> None:
        """Not synced: after a power cut an older head is read, and events are sent again."""
        segment, offset = self._head
        checked = zlib.crc32(f"{segment} {offset}".encode())
        os.pwrite(self._head_file, _HEAD.pack(segment, offset, checked), 0)

    def _saved_head(self) -> Position:
        saved = os.pread(self._head_file, _HEAD.size, 0)
        if len(saved) == _HEAD.size:
            segment, offset, checked = _HEAD.unpack(saved)
            if zlib.crc32(f"{segment} {offset}".encode()) == checked:
                return segment, offset
        return min(self._sizes, default=0), 0

    def _found_segments(self) -> dict[int, int]:
        sizes = {}
        for path in sorted(self._directory.glob("*.segment")):
            size = path.stat().st_size
            if size:
                with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
                    size = frames.intact_size(data, size)
            sizes[int(path.stem)] = size
        return sizes

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:012d}.segment"


def _locked(path: Path, tenant_id: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise BufferLockedError(
            f"tenant {tenant_id}: {path.parent} belongs to a running client; stop that one, or use another "
            "directory"
        ) from error
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
