"""Entries of what happens often: refused requests, and reads of a tenant's data. Bounded, wherever they go.

The first of equal ones is written at once; its repeats in the same minute are counted and written as one entry
when the minute is over (those of the last minute before a crash are lost, the first is not). A flood of refusals
that differ is written as such a count too, beyond so many in a minute and in an hour. Where entries go is the
caller's: the audit trail (`resources.registry.access_trail`), or the log of a plane that has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from resources.errors import UnMoGrowPError

WINDOW_S = 60.0
FLUSH_S = 5.0  # counts of repeats are written this soon after their minute is over
HOUR_S = 3600.0
# 1,000 refusals written out and 60 counts of the rest are some 500 kB an hour, 12 MB a day, whatever is sent.
DENIALS_DISTINCT_PER_MINUTE = 50
DENIALS_PER_HOUR = 1000
VARIOUS = "various"
DENIED = "access.denied"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told. Equal ones are counted."""

    actor: str
    action: str
    tenant_id: str | None
    reason: str | None = None


VARIOUS_NOTICE = Notice(VARIOUS, VARIOUS, None)
Write = Callable[[Notice, int], None]  # how often it was repeated; 0 for the first of its minute


@dataclass(slots=True)
class _Window:
    began_s: float
    repeats: int = 0


class Notices:
    """Entries of one kind. `distinct_max` and `hourly_max` None: every new one is written out."""

    def __init__(
        self,
        write: Write,
        *,
        distinct_max: int | None = None,
        hourly_max: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._distinct_max = distinct_max
        self._hourly_max = hourly_max
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[Notice, _Window] = {}
        self._hour_began_s = clock()
        self._written_this_hour = 0

    def add(self, notice: Notice, times: int = 1) -> None:
        """Write the notice, or count it as so many more of its minute. Its first entry is there when this returns.

        Raises:
            SQLAlchemyError: the registry takes no entry now; nothing was counted.
        """
        with self._lock:
            if self._is_counted(notice, times):
                return
            now_s = self._clock()
            if self._is_full(now_s):
                notice = VARIOUS_NOTICE
                if self._is_counted(notice, times):
                    return
            self._write(notice, 0)
            self._open[notice] = _Window(now_s, times - 1)
            self._written_this_hour += 1

    def flush(self, *, everything: bool = False) -> None:
        """Write the counts of the minutes that are over; at the end of the process, of all."""
        with self._lock:
            now_s = self._clock()
            over = {
                notice: window
                for notice, window in self._open.items()
                if everything or now_s - window.began_s >= WINDOW_S
            }
            for notice in over:
                del self._open[notice]
        for notice, window in over.items():
            if window.repeats:
                try:
                    self._write(notice, window.repeats)
                except (SQLAlchemyError, UnMoGrowPError) as error:
                    log.error("%d of %s were not written: %s", window.repeats, notice.action, error)

    def _is_counted(self, notice: Notice, times: int) -> bool:
        window = self._open.get(notice)
        if window is None:
            return False
        window.repeats += times
        return True

    def _is_full(self, now_s: float) -> bool:
        if now_s - self._hour_began_s >= HOUR_S:
            self._hour_began_s, self._written_this_hour = now_s, 0
        too_many_now = self._distinct_max is not None and len(self._open) >= self._distinct_max
        return too_many_now or (self._hourly_max is not None and self._written_this_hour >= self._hourly_max)


@contextlib.asynccontextmanager
async def counts_written(*kinds: Notices) -> AsyncIterator[None]:
    """Write the counts of minutes that are over every few seconds, and at the end what is left."""
    writing = asyncio.create_task(_keep_writing(kinds))
    try:
        yield
    finally:
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        for notices in kinds:
            await asyncio.to_thread(notices.flush, everything=True)


async def _keep_writing(kinds: tuple[Notices, ...]) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        for notices in kinds:
            await asyncio.to_thread(notices.flush)
