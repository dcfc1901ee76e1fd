"""Refused requests of the door in the audit trail: counted in the event loop, written beside it.

A write into the registry takes milliseconds and may wait for another writer: nothing that answers requests waits
for it. What is refused for its tenant or its token is told; a body that breaks the contract is quarantined.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from ingest_api.reasons import TENANT_MISMATCH
from resources.notices import VARIOUS_NOTICE, Notice, Notices, counts_written
from resources.registry import key_id_of
from resources.registry.access_trail import ANYBODY, key_actor, note_refusal, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ingest_api.event_log.protocol import Rejection

ACTION = "event:ingest"
WRITE_EVERY_S = 1.0
# Different ones between two writes, about 200 bytes each; the trail takes 50 a minute, the rest are counted.
WAITING_MAX = 100
_REASONS = {
    HTTPStatus.UNAUTHORIZED: "the write token is missing, unknown or revoked",
    HTTPStatus.FORBIDDEN: "the request names another tenant than its token's",
}
EVENTS_OF_ANOTHER = "events name another tenant than the token's"


class Refusals:
    """What waits to be written. For one event loop. Without `denials` there is no trail to write to."""

    def __init__(self, denials: Notices | None) -> None:
        self._denials = denials
        self._waiting: dict[Notice, int] = {}

    def request(self, status: int, token: bytes, named_tenant: bytes) -> None:
        """Count a refused request, where it was refused for who sends it."""
        reason = _REASONS.get(HTTPStatus(status))
        if reason is not None:
            actor = ANYBODY if status == HTTPStatus.UNAUTHORIZED else _actor(token)
            self._count(refusal(actor, ACTION, named_tenant.decode("latin-1"), reason))

    def events(self, rejections: Sequence[Rejection], token: bytes, tenant_id: str) -> None:
        """Count a body that holds events of another tenant. Which one, their bytes in quarantine say."""
        if any(rejection.code == TENANT_MISMATCH for rejection in rejections):
            self._count(refusal(_actor(token), ACTION, tenant_id, EVENTS_OF_ANOTHER))

    @contextlib.asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write what waits every second, and the rest at the end."""
        if self._denials is None:
            yield
            return
        async with counts_written(self._denials):
            writing = asyncio.create_task(self._keep_writing(self._denials))
            try:
                yield
            finally:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await writing
                await self._write(self._denials)

    def _count(self, notice: Notice) -> None:
        if notice not in self._waiting and len(self._waiting) >= WAITING_MAX:
            notice = VARIOUS_NOTICE
        self._waiting[notice] = self._waiting.get(notice, 0) + 1

    async def _keep_writing(self, denials: Notices) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self._write(denials)

    async def _write(self, denials: Notices) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            await asyncio.to_thread(_write_all, denials, waiting)


def _write_all(denials: Notices, waiting: dict[Notice, int]) -> None:
    for notice, times in waiting.items():
        note_refusal(denials, notice, times)


def _actor(token: bytes) -> str:
    return key_actor(key_id_of(token.decode("latin-1")))
