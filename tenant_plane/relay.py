"""Events on their way out: straight to the global plane, or onto disk while it is away, always in order.

Belongs here: what of a body is checked before it leaves, and what the app is told. Sending, buffering and
trying again are the SDK's (`unmogrowp`). The write-only token is handed over here and appears nowhere else.
Events are passed on byte for byte, so their ids stay the same.
"""

from __future__ import annotations

import re

import httpx
import orjson

from resources.errors import (
    AuthorizationError,
    DirectoryLockedError,
    EventLogFullError,
    ServiceUnavailableError,
)
from resources.plane_settings import TenantPlaneSettings
from tenant_plane.metrics import PlaneMetrics
from unmogrowp.client import AsyncClient, BufferFullError, BufferLockedError, Reply

# An app waits at most this long; above it the body goes to disk. The door's p99 is 35 ms (one fdatasync).
SEND_TIMEOUT_S = 5.0
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
BUFFERED = Reply(httpx.codes.ACCEPTED, "application/json", orjson.dumps({"buffered": True}))


def check_tenant(body: bytes, tenant_id: str) -> bool:
    """Whether the body is a batch, after checking that every event in it names this tenant.

    An event that names no tenant, or is no object, is left to the door, which keeps it with its reason.

    Raises:
        ValueError: the body is not JSON, an object or an array.
        AuthorizationError: an event names another tenant.
    """
    document = orjson.loads(body)
    if not isinstance(document, dict | list):
        raise ValueError("the body must be one event or an array of events")
    for index, event in enumerate(document if isinstance(document, list) else [document]):
        if isinstance(event, dict) and event.get("tenantId", tenant_id) != tenant_id:
            where = f"/{index}/tenantId" if isinstance(document, list) else "/tenantId"
            raise AuthorizationError(f"{where} names another tenant than {tenant_id}: nothing was accepted")
    return isinstance(document, list)


class Relay:
    """Sends bodies to the global plane's door with the write-only token."""

    def __init__(self, settings: TenantPlaneSettings, metrics: PlaneMetrics) -> None:
        self._tenant_id = settings.id
        self._metrics = metrics
        try:
            self._client = AsyncClient(
                settings.ingest_url,
                settings.id,
                settings.ingest_token.get_secret_value(),
                buffer_dir=settings.home / "relay",
                budget_bytes=settings.relay_budget_bytes,
                timeout_s=SEND_TIMEOUT_S,
                full_wait_s=0.0,  # the app is told at once, and sends again
                on_acknowledged=lambda _: metrics.relayed("from_disk"),
                on_refused=lambda _: metrics.relayed("refused"),
            )
        except BufferLockedError as error:
            raise DirectoryLockedError(str(error)) from error

    @property
    def pending_bytes(self) -> int:
        """Bytes waiting on disk."""
        return self._client.pending_bytes

    def start(self) -> None:
        """Begin sending what is on disk, also from before a restart."""
        self._client.start()

    async def stop(self) -> None:
        """Stop sending; what is on disk stays there."""
        await self._client.close(timeout_s=0.0)

    async def accept(self, body: bytes, *, is_batch: bool, traceparent: str | None) -> Reply:
        """Hand a body on: the door's answer, or `BUFFERED` once it is durable here.

        Raises:
            EventLogFullError: the door is away and the buffer is full.
            ServiceUnavailableError: the door refuses this plane's own token.
        """
        headers = {"traceparent": traceparent} if traceparent and _TRACEPARENT.fullmatch(traceparent) else {}
        try:
            answer = await self._client.relay(body, is_batch=is_batch, headers=headers)
        except BufferFullError as error:
            raise EventLogFullError(str(error)) from error
        if answer is None:
            self._metrics.relayed("buffered")
            return BUFFERED
        if answer.status == httpx.codes.UNAUTHORIZED:
            raise ServiceUnavailableError(
                f"tenant {self._tenant_id}: the global plane refuses this plane's token: renew it"
            )
        self._metrics.relayed("direct")
        return answer
