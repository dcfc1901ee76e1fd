"""The files of a writer's directory: naming, locking, opening and syncing of segments. No queue, no event loop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from ingest_api.event_log.frames import SEGMENT_MAGIC
from resources.errors import DirectoryLockedError

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_SUFFIX = ".seg"
LOCK_NAME = "lock"
LAST_ID_NAME = "last_segment_id"
PROBE_NAME = "probe"
PROBE_BYTES = 1024 * 1024  # a disk with a few free blocks would take a byte, and then no group of appends
LOCK_WAIT_S = 2.0  # the reader holds the lock for microseconds when it looks whether a writer lives


class OpenSegment:
    """The segment being written. Every method may raise OSError but `cut_back`."""

    def __init__(self, directory: Path, segment_id: int) -> None:
        self.id = segment_id
        self.opened_at = time.monotonic()
        path = segment_path(directory, segment_id)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.size = 0
        try:
            self.write(SEGMENT_MAGIC)
            _sync_directory(directory)  # the file's name must survive too
        except OSError:
            os.close(self.descriptor)
            with contextlib.suppress(OSError):  # or every append that meets a full disk leaves an empty file
                path.unlink()
            raise

    @property
    def is_empty(self) -> bool:
        """Whether no record was written to it."""
        return self.size <= len(SEGMENT_MAGIC)

    def write(self, data: bytes) -> None:
        """Append and sync; `size` counts only what is durable."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
        os.fdatasync(self.descriptor)
        self.size += len(data)

    def cut_back(self, size: int) -> None:
        """Take back a failed write as far as the disk lets us; readers skip a torn tail anyway."""
        try:
            os.ftruncate(self.descriptor, size)
        except OSError:
            return


def segment_path(directory: Path, segment_id: int) -> Path:
    """The file of a segment; names sort as ids do."""
    return directory / f"{segment_id:020d}{SEGMENT_SUFFIX}"


def segment_ids(directory: Path) -> list[int]:
    """Ids of the segments in a writer's directory, ascending."""
    return sorted(int(path.stem) for path in directory.glob(f"*{SEGMENT_SUFFIX}"))


def directory_bytes(root: Path) -> int:
    """Bytes of all files under `root`; files that vanish meanwhile count nothing."""
    total = 0
    for path in root.rglob("*"):
        try:
            status = path.stat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        except FileNotFoundError:
            continue
    return total


def free_bytes(directory: Path) -> int:
    """What the directory's disk has free for us."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def probe_writing(directory: Path) -> None:
    """Write and sync as much as a large group of appends, and take it away again.

    Raises:
        OSError: the disk takes nothing.
    """
    path = directory / PROBE_NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, PROBE_BYTES)
        os.write(descriptor, b"probe")
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
        path.unlink()


def next_segment_id(directory: Path) -> int:
    """A durable id above every earlier one, though the clock step back or all segments be deleted."""
    last_path = directory / LAST_ID_NAME
    last = int(last_path.read_text() or 0) if last_path.exists() else 0
    fresh = max([last, time.time_ns() // 1_000_000, *segment_ids(directory)]) + 1
    draft = last_path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, str(fresh).encode())
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(last_path)
    return fresh


def lock_directory(directory: Path) -> int:
    """Take the directory for this process until the returned descriptor is closed.

    Raises:
        DirectoryLockedError: another process has it.
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise DirectoryLockedError(
                    f"another process writes {directory}: stop it, or give this one another name"
                ) from None
            time.sleep(0.01)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
