"""The door's application in this process, without a server or a disk: bytes in, verdicts out.

It is the whole ASGI application (keys, limits, parsing, contracts, and the native scan where it is built); only
the event log is replaced by one that remembers the last record.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

from ingest_api.app import create_app
from ingest_api.event_log.appending import AwaitedAppends
from ingest_api.event_log.protocol import BodyFormat, LogPosition, LogRecord
from resources.plans import LIMIT_MAX
from resources.registry import DoorLimits

if TYPE_CHECKING:
    from ingest_api.event_log.protocol import Appended
    from resources.plans import Quota
    from resources.settings import Settings

TENANT = "t123"
_TOKEN = b"umg_ingest_in-process"


class Verdict(NamedTuple):
    """What was said about one event; code and pointer are empty where it is accepted."""

    code: str = ""
    pointer: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether the event was taken."""
        return not self.code


class Outcome(NamedTuple):
    """The answer to one request: its status, a verdict per event (one for a body refused whole), its clock."""

    status: int
    verdicts: list[Verdict]
    received_at_us: int


class InProcessDoor:
    """Judges bodies as one tenant's. A context manager, because it owns an event loop."""

    def __init__(self, settings: Settings) -> None:
        self._log = _LastRecord()
        self._app = create_app(settings, _OneKey(), self._log)
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def __call__(self, body: bytes, body_format: BodyFormat, version: str) -> Outcome:
        """The door's answer to a body."""
        return self._loop.run_until_complete(self._answered(body, body_format, version))

    async def _answered(self, body: bytes, body_format: BodyFormat, version: str) -> Outcome:
        messages: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        self._log.record = None
        await self._app(_scope(body_format, version), receive, send)
        received_at_us = self._log.record.received_at_us if self._log.record else 0
        document = orjson.loads(messages[1]["body"])
        return Outcome(messages[0]["status"], _verdicts(document), received_at_us)


def _scope(body_format: BodyFormat, version: str) -> dict[str, Any]:
    name = "ingest" if body_format is BodyFormat.JSON else "batch"
    kind = b"application/x-ndjson" if body_format is BodyFormat.NDJSON else b"application/json"
    return {
        "type": "http",
        "method": "POST",
        "path": f"/{version}/events/{name}",
        "headers": [
            (b"authorization", b"Bearer " + _TOKEN),
            (b"x-tenant-id", TENANT.encode()),
            (b"content-type", kind),
        ],
    }


def _verdicts(document: dict[str, Any]) -> list[Verdict]:
    if "events" in document:
        return [_verdict(row) for row in document["events"]]
    return [_verdict(document)]


def _verdict(row: dict[str, Any]) -> Verdict:
    return Verdict() if row["status"] == "accepted" else Verdict(row["code"], row.get("pointer", ""))


class _OneKey:
    def active_key_digests(self, kind: str) -> dict[bytes, str]:
        assert kind == "ingest"
        return {hashlib.sha256(_TOKEN).digest(): TENANT}

    def door_limits(self) -> dict[str, DoorLimits]:
        return {TENANT: DoorLimits(LIMIT_MAX, LIMIT_MAX)}

    def note_quota_use(
        self, tenant_id: str, quota: Quota, period: str, used: int, limit: int
    ) -> tuple[object, ...]:
        raise AssertionError(f"nothing is limited: {tenant_id} {quota} {period} {used} {limit}")


class _LastRecord(AwaitedAppends):
    """An event log that keeps the last record in memory."""

    def __init__(self) -> None:
        self.record: LogRecord | None = None

    def append_then(self, record: LogRecord, done: Appended) -> None:
        self.record = record
        asyncio.get_running_loop().call_soon(done, LogPosition(0, 0))

    def is_writable(self) -> bool:
        return True

    async def usage(self) -> None:
        return

    async def close(self) -> None:
        return None
