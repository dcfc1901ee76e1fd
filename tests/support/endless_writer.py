"""`python -m tests.support.endless_writer`: appends numbered records, prints each acknowledged one, until killed."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import TYPE_CHECKING

from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogRecord
from ingest_api.event_log.stores import open_event_log
from resources.settings import load_settings

if TYPE_CHECKING:
    from ingest_api.event_log.protocol import EventLog

TOGETHER = 10


async def _write(log: EventLog, number: int) -> None:
    await log.append(LogRecord("t123", number, BodyFormat.JSON, BodyEncoding.IDENTITY, 1, b"{}"))
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


async def main() -> None:
    log = open_event_log(load_settings())
    for first in itertools.count(0, TOGETHER):
        await asyncio.gather(*(_write(log, first + place) for place in range(TOGETHER)))


if __name__ == "__main__":
    asyncio.run(main())
