"""Writing to and reading from the event log of some settings, whichever it is. No assertions here."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from ingest_api.event_log.stores import open_event_log, open_log_reader
from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ingest_api.event_log.protocol import EventLog, LogReader


ALL = 10**9


def record(number: int = 0, body: bytes = b"{}", tenant_id: str = "t123", **fields: object) -> LogRecord:
    given = {"format": BodyFormat.JSON, "encoding": BodyEncoding.IDENTITY, "event_count": 1, **fields}
    return LogRecord(tenant_id=tenant_id, received_at_us=number, body=body, **given)  # type: ignore[arg-type]  # one test's fields


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[EventLog]:
    log = open_event_log(settings)
    try:
        yield log
    finally:
        await log.close()


def append_all(settings: Settings, records: list[LogRecord]) -> list[LogPosition]:
    async def run() -> list[LogPosition]:
        async with opened(settings) as log:
            return [await log.append(item) for item in records]

    return asyncio.run(run())


@contextlib.contextmanager
def reading(settings: Settings) -> Iterator[LogReader]:
    with contextlib.closing(open_log_reader(settings)) as reader:
        yield reader


def read_on(reader: LogReader, places: dict[str, LogPosition], max_events: int = ALL) -> list[LogRecord]:
    """What every writer's log holds behind these places, which move on."""
    found = []
    for writer in reader.writers():
        for position, item in reader.read(writer, places.get(writer), max_events=max_events):
            assert position > places.get(writer, LogPosition(0, 0))
            places[writer] = position
            found.append(item)
    return found


def numbers(records: list[LogRecord], tenant_id: str = "t123") -> list[int]:
    return [item.received_at_us for item in records if item.tenant_id == tenant_id]
