"""What an event log is: records, positions, and the protocols of its two ends.

The door holds an `EventLog` and appends; the lander holds a `LogReader` and reads, then releases what is
in the lake. Stores implement both; nothing here touches a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol, Self


class BodyFormat(IntEnum):
    """How a record's body splits into deliveries. Values are on disk: never renumber."""

    JSON = 0  # one JSON value, one delivery
    ARRAY = 1  # a JSON array, one delivery per element
    NDJSON = 2  # one delivery per non-blank line
    OPAQUE = 3  # could not be parsed or unpacked: the whole body is one delivery, and it is rejected


class BodyEncoding(IntEnum):
    """Compression of a record's body, as the client chose it. Values are on disk: never renumber."""

    IDENTITY = 0
    GZIP = 1
    ZSTD = 2


class Rejection(NamedTuple):
    """Why delivery number `at` (from 0) of a record is not accepted. Holds no value of the event."""

    at: int
    code: str
    pointer: str
    reason: str


class LogPosition(NamedTuple):
    """A place in one writer's log: the byte after a record. Compares in log order; `str` round-trips."""

    segment: int
    offset: int

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position whose `str` this is."""
        segment, offset = text.split(":")
        return cls(int(segment), int(offset))


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One request's deliveries, as they came (still compressed), with the door's verdicts on the bad ones."""

    tenant_id: str
    received_at_us: int
    format: BodyFormat
    encoding: BodyEncoding
    event_count: int
    body: bytes
    rejections: Sequence[Rejection] = field(default=())
    schema_version: str = "v1"


class EventLog(Protocol):
    """The door's end."""

    async def append(self, record: LogRecord) -> LogPosition:
        """Return only once the record would survive a power cut.

        Raises:
            EventLogFullError: it is not durable (budget, disk full, read-only, I/O error); try again later.
        """
        ...

    def is_writable(self) -> bool:
        """Whether the last append succeeded and the budget is not used up."""
        ...

    async def close(self) -> None:
        """Finish what is pending and let go of the store."""
        ...


class LogReader(Protocol):
    """The lander's end. One reader at a time."""

    def writers(self) -> list[str]:
        """Names of the writers that have a log, sorted."""
        ...

    def read(
        self, writer: str, after: LogPosition | None, *, max_events: int
    ) -> Iterator[tuple[LogPosition, LogRecord]]:
        """Records after a position in order, each with the position behind it; stops past `max_events`."""
        ...

    def release(self, writer: str, upto: LogPosition) -> int:
        """Delete what lies wholly at or before `upto`; returns the bytes freed."""
        ...

    def backlog_bytes(self, writer: str, after: LogPosition | None) -> int:
        """Bytes of the writer's log behind a position."""
        ...
