"""Records in Kafka for tests, and waiting for what other threads and brokers do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ingest_api.event_log.kafka_log import KafkaLog
from ingest_api.event_log.protocol import BodyEncoding, BodyFormat, LogPosition, LogRecord
from tests.support.door import TENANT

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.settings import Settings

PATIENCE_S = 20.0


def record(number: int, tenant_id: str = TENANT, body: bytes = b"{}") -> LogRecord:
    return LogRecord(tenant_id, number, BodyFormat.JSON, BodyEncoding.IDENTITY, 1, body)


def append(settings: Settings, *records: LogRecord) -> list[LogPosition]:
    async def run() -> list[LogPosition]:
        log = KafkaLog(settings)
        try:
            return [await log.append(item) for item in records]
        finally:
            await log.close()

    return asyncio.run(run())


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
