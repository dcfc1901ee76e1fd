"""One owner per data directory: an advisory lock that dies with its process.

What belongs here: taking and releasing the lock. What does not: what the owner keeps in the directory.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from resources.errors import DirectoryLockedError

LOCK_FILE_NAME = ".owner.lock"


class DirectoryLock:
    """An exclusive `flock` on `<directory>/.owner.lock`, which holds the owner's pid for people.

    The kernel drops the lock when the owner dies, kill -9 included, so a stale file never blocks a restart.

    Raises:
        DirectoryLockedError: another living process owns the directory.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(directory / LOCK_FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise DirectoryLockedError(
                f"process {owner} already serves {directory}: stop it first, or choose another directory"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in; the file stays (removing it would let two processes lock two files)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
