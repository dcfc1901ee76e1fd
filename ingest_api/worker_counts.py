"""What the workers of a door have counted together: each keeps its counts in a file, any of them adds them up.

`HOME/status/door/<n>.json` is the n-th worker's, written every second, before every scrape and at the end. A worker
takes the first file that no living one has and counts on from it, and a scrape shows only what is in the files:
so no counter ever goes back, not by kill -9 either, which Prometheus would take for a restart from zero and
count everything again. What is counted is `metrics`'.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import orjson

from ingest_api.metrics import Counts, exposition
from resources.errors import DirectoryLockedError

if TYPE_CHECKING:
    from pathlib import Path

    from ingest_api.event_log.protocol import LogUsage
    from ingest_api.metrics import DoorMetrics

logger = logging.getLogger(__name__)
PUBLISH_INTERVAL_S = 1.0  # 0.5 ms at 100 tenants
MAX_WORKERS = 256


class WorkerCounts:
    """One worker's place among the files. Made in, and belonging to, one event loop."""

    def __init__(self, directory: Path, metrics: DoorMetrics) -> None:
        """Take a file and count on from it.

        Raises:
            DirectoryLockedError: every one is another process's.
        """
        self._directory = directory
        self._metrics = metrics
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path, self._lock_descriptor = _claimed(directory)
        before = _counts_in(self._path)
        if before is not None:
            metrics.counts.add(before)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="door-counts")  # one: the files in order
        self._published: bytes | None = None
        self._failed = False

    async def publish(self) -> None:
        """Write the counts of now, if they changed."""
        text = orjson.dumps(self._metrics.counts.document())
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, text)

    async def exposition(self, usage: LogUsage | None) -> tuple[bytes, str]:
        """All workers' counts as Prometheus reads them, and the content type."""
        await self.publish()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._exposition, usage)

    async def keep_publishing(self) -> None:
        """Publish every second until cancelled."""
        while True:
            await asyncio.sleep(PUBLISH_INTERVAL_S)
            await self.publish()

    async def close(self) -> None:
        """Publish the last counts and give the file up."""
        await self.publish()
        self._thread.shutdown(wait=True)
        os.close(self._lock_descriptor)

    # -- in the thread ---------------------------------------------------------------------------

    def _write(self, text: bytes) -> None:
        if text == self._published:
            return
        draft = self._path.with_suffix(".draft")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            draft.replace(self._path)
        except OSError as error:  # a full disk must not end counting; the next second tries again
            if not self._failed:
                logger.warning("the door's counts cannot be kept in %s: %s", self._path, error.strerror)
            self._failed = True
            return
        self._published, self._failed = text, False

    def _exposition(self, usage: LogUsage | None) -> tuple[bytes, str]:
        found = [_counts_in(path) for path in sorted(self._directory.glob("*.json"))]
        return exposition([counts for counts in found if counts is not None], usage)


def _claimed(directory: Path) -> tuple[Path, int]:
    """The first file of no living worker, and the descriptor that holds it."""
    for number in range(MAX_WORKERS):
        descriptor = os.open(directory / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return directory / f"{number}.json", descriptor
    raise DirectoryLockedError(f"all {MAX_WORKERS} places in {directory} are taken: stop a door first")


def _counts_in(path: Path) -> Counts | None:
    """The counts of a file; None where there are none, or what is there cannot be read."""
    try:
        return Counts.parse(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError):
        logger.warning("%s holds no counts of a door: they start again from zero", path)
        return None
