"""How far the lander is behind, in time: a `LogReader` around another that watches what is read and released.

Nothing is read for it. Of each writer it knows a moment that no unlanded record is older than: that of the first
record of the landing under way; after it, that of the last record read, or, where the log was read to its end, that
of reading. How far behind in bytes is the reader's own `backlog_bytes`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest_api.event_log.protocol import LogPosition, LogReader, LogRecord


def now_us() -> int:
    """The clock of `LogRecord.received_at_us`."""
    return time.time_ns() // 1_000


class LagReader:
    """The `LogReader` of a lander, measured. Its lag may be asked from another thread."""

    def __init__(self, reader: LogReader, clock_us: Callable[[], int] = now_us) -> None:
        self._reader = reader
        self._clock_us = clock_us
        self._oldest_us: dict[str, int] = {}  # no unlanded record of the writer came before
        self._next_oldest_us: dict[str, int] = {}  # ... once what was read has landed
        self._behind: set[str] = set()  # writers that have unlanded records, as far as is known

    def lag_s(self) -> float:
        """Age of the oldest record that has not landed, at most; 0 where everything has."""
        now = self._clock_us()
        ages = [now - self._oldest_us.get(writer, now) for writer in tuple(self._behind)]
        return max(0, *ages, 0) / 1e6

    def writers(self) -> list[str]:
        """See `LogReader.writers`. A writer that is not ours any more is another lander's to measure."""
        writers = self._reader.writers()
        self._behind.intersection_update(writers)
        return writers

    def read(
        self, writer: str, after: LogPosition | None, *, max_events: int
    ) -> Iterator[tuple[LogPosition, LogRecord]]:
        """See `LogReader.read`."""
        started_us = self._clock_us()
        given = 0
        for position, record in self._reader.read(writer, after, max_events=max_events):
            if not given:
                self._oldest_us[writer] = record.received_at_us
                self._behind.add(writer)
            given += record.event_count
            self._next_oldest_us[writer] = record.received_at_us
            yield position, record
        if given < max_events:
            self._next_oldest_us[writer] = started_us

    def release(self, writer: str, upto: LogPosition) -> int:
        """See `LogReader.release`: what was read has landed."""
        if (next_oldest_us := self._next_oldest_us.pop(writer, None)) is not None:
            self._oldest_us[writer] = next_oldest_us
        return self._reader.release(writer, upto)

    def backlog_bytes(self, writer: str, after: LogPosition | None) -> int:
        """See `LogReader.backlog_bytes`."""
        count = self._reader.backlog_bytes(writer, after)
        if count:
            self._behind.add(writer)
        else:
            self._behind.discard(writer)
        return count

    def close(self) -> None:
        """See `LogReader.close`."""
        self._reader.close()
