"""What an event log is: records, positions, and the protocols of its two ends.

The door holds an `EventLog` and appends; the lander holds a `LogReader` and reads, then releases what is
in the lake. Stores implement both; nothing here touches a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, Self

from resources.errors import EventLogFullError, RecordTooLargeError


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


class LogRecord(NamedTuple):
    """One request's deliveries, as they came (still compressed), with the door's verdicts on the bad ones."""

    tenant_id: str
    received_at_us: int
    format: BodyFormat
    encoding: BodyEncoding
    event_count: int
    body: bytes
    rejections: Sequence[Rejection] = ()
    schema_version: str = "v1"


class LogUsage(NamedTuple):
    """How full a log is that lies on a disk of ours. The backlog's limit comes first, then the budget."""

    used_bytes: int
    backlog_max_bytes: int
    budget_bytes: int


# What an append came to: a place once it is durable, or the error that `EventLog.append` raises.
Outcome = LogPosition | EventLogFullError | RecordTooLargeError
Appended = Callable[[Outcome], None]


class EventLog(Protocol):
    """The door's end."""

    async def append(self, record: LogRecord) -> LogPosition:
        """Return only once the record would survive a power cut.

        Raises:
            LanderBehindError: what has not landed is beyond its limit; nothing was taken.
            EventLogFullError: it is not known to be durable (budget, disk full, read-only, I/O error, no
                confirmation in time); try again later. A store over a network may hold it nevertheless:
                the repeat is then a duplicate, which the clean layer removes.
            RecordTooLargeError: no retry will make it fit.
        """
        ...

    def append_then(self, record: LogRecord, done: Appended) -> None:
        """As `append`, without a coroutine: `done` gets the outcome, in the event loop, once.

        Never before this returns: who calls may still be setting things up.
        """
        ...

    def is_writable(self) -> bool:
        """Whether the log takes events: the last write or probe succeeded, and the budget is not used up."""
        ...

    async def usage(self) -> LogUsage | None:
        """How full it is; None where its store looks after that."""
        ...

    async def close(self) -> None:
        """Finish what is pending and let go of the store."""
        ...


class LogReader(Protocol):
    """The lander's end. One reader per writer at a time; a second one's landings are refused by the lake."""

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
        """Bytes of the writer's log behind a position; an estimate where the store does not know."""
        ...

    def close(self) -> None:
        """Let go of the store, so that another reader can go on."""
        ...
