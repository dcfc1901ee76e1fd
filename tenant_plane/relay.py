"""Events on their way out: straight to the global plane, or onto disk while it is away, always in order.

Belongs here: sending, the decision what is worth buffering, and the background sender. The write-only token
is added here and appears nowhere else. Events are passed on byte for byte, so their ids stay the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from dataclasses import dataclass

import httpx
import orjson

from resources.errors import AuthorizationError, ServiceUnavailableError
from resources.settings import TenantPlaneSettings
from tenant_plane.metrics import PlaneMetrics
from tenant_plane.relay_queue import Frame, RelayQueue

LOG = logging.getLogger(__name__)
# An app waits at most this long; above it the body goes to disk. The door's p99 is 35 ms (one fdatasync).
SEND_TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
# In the background these mean "not now": the operator or time can mend them, so nothing is thrown away.
_TRY_LATER = {401, 403, 408, 425, 429}
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class RelayAnswer:
    """What the app is told: the door's own answer, or that the body is safe on disk."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None


BUFFERED = RelayAnswer(202, "application/json", orjson.dumps({"buffered": True}))


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
        self._queue = RelayQueue(settings.home / "relay", budget_bytes=settings.relay_budget_bytes)
        self._refused = settings.home / "relay" / "refused.ndjson"
        self._client = httpx.AsyncClient(
            base_url=settings.ingest_url.rstrip("/"),
            timeout=SEND_TIMEOUT_S,
            trust_env=False,
            headers={
                "Authorization": f"Bearer {settings.ingest_token.get_secret_value()}",
                "X-Tenant-ID": settings.id,
                "Content-Type": "application/json",
            },
        )
        self._wake = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    @property
    def pending_bytes(self) -> int:
        """Bytes waiting on disk."""
        return self._queue.pending_bytes

    def start(self) -> None:
        """Begin sending what is on disk, also from before a restart."""
        self._sender = asyncio.create_task(self._send_forever(), name="relay sender")
        if self._queue.pending_bytes:
            self._wake.set()

    async def stop(self) -> None:
        """Stop sending; what is on disk stays there."""
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        await self._client.aclose()
        self._queue.close()

    async def accept(self, body: bytes, *, is_batch: bool, traceparent: str | None) -> RelayAnswer:
        """Hand a body on: the door's answer, or `BUFFERED` once it is durable here.

        Raises:
            EventLogFullError: the door is away and the buffer is full.
            ServiceUnavailableError: the door refuses this plane's own token.
        """
        if self._queue.pending_bytes == 0:
            answer = await self._post(body, is_batch=is_batch, traceparent=traceparent)
            if answer is not None:
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    raise ServiceUnavailableError(
                        f"tenant {self._tenant_id}: the global plane refuses this plane's token: renew it"
                    )
                self._metrics.relayed("direct")
                return _passed_on(answer)
        await asyncio.to_thread(self._queue.append, body, is_batch=is_batch)
        self._metrics.relayed("buffered")
        self._wake.set()
        return BUFFERED

    async def _post(
        self, body: bytes, *, is_batch: bool, traceparent: str | None = None
    ) -> httpx.Response | None:
        """The door's answer, or none when it is away (no connection, no answer in time, or 5xx)."""
        headers = {"traceparent": traceparent} if traceparent and _TRACEPARENT.fullmatch(traceparent) else {}
        path = "/v1/events/batch" if is_batch else "/v1/events/ingest"
        try:
            answer = await self._client.post(path, content=body, headers=headers)
        except httpx.TransportError as error:
            LOG.warning("the global plane is away: %s", type(error).__name__)
            return None
        return None if answer.is_server_error else answer

    async def _send_forever(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            frame = await asyncio.to_thread(self._queue.head)
            if frame is None:
                self._wake.clear()
                if self._queue.pending_bytes == 0:
                    await self._wake.wait()
                continue  # something was appended after the look at the queue
            if await self._send(frame):
                pause_s = FIRST_PAUSE_S
                continue
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _send(self, frame: Frame) -> bool:
        """Send one body from disk. True when it is finished with, for good or ill."""
        answer = await self._post(frame.body, is_batch=frame.is_batch)
        if answer is None or answer.status_code in _TRY_LATER:
            return False
        if answer.is_client_error:
            await asyncio.to_thread(self._keep_refused, frame, answer)
            self._metrics.relayed("refused")
        else:
            self._metrics.relayed("from_disk")
        await asyncio.to_thread(self._queue.done, frame)
        return True

    def _keep_refused(self, frame: Frame, answer: httpx.Response) -> None:
        """Keep a body that the door will never take, with its reason: the app was already told 202."""
        LOG.warning("the global plane refused a buffered body: %s", answer.status_code)
        entry = {
            "status": answer.status_code,
            "answer": answer.text[:4096],  # a problem document is under 1 KiB
            "body": frame.body.decode(),
        }
        self._refused.touch(mode=0o600)
        with self._refused.open("ab") as file:
            file.write(orjson.dumps(entry) + b"\n")


def _passed_on(answer: httpx.Response) -> RelayAnswer:
    return RelayAnswer(
        answer.status_code,
        answer.headers.get("Content-Type", "application/json"),
        answer.content,
        answer.headers.get("Retry-After"),
    )
