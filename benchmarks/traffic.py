"""Load for the door, from this process: events of a usual mix as ready HTTP requests, over many connections.

The client does as little as it can (whole requests as bytes, answers read by their length), because it shares
the machine with what it measures. Serving is `servers`; what the figures mean is in the claims.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import zstandard

from resources.errors import ServiceUnavailableError

CONNECTIONS = 64  # requesters at a time: enough that one sync of the log covers many requests
EVENTS_PER_DEVICE = 10
# Of the devices in one part of the load this share was in no earlier part: most traffic is of known devices.
NEW_DEVICES_SHARE = 0.1
_ACCEPTED = 202
_ANSWER_MAX_BYTES = 1024 * 1024  # of 10,000 verdicts
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_AGENT = "Mozilla/5.0 (Linux; Android 15; Pixel {}) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"


def make_events(tenant_id: str, count: int, part: int = 0) -> list[bytes]:
    """Events of the last hour as JSON, about 350 bytes each: half clicks, half sessions, ids unique.

    The same part number gives the same devices; each further part brings a tenth of new ones.
    """
    rng = random.Random(part)  # noqa: S311 - repeatable load, not a secret
    devices = max(1, count // EVENTS_PER_DEVICE)
    first = round(part * devices * NEW_DEVICES_SHARE)
    now = dt.datetime.now(dt.UTC)
    return [
        orjson.dumps(_event(rng, tenant_id, first + rng.randrange(devices), now, is_click=number % 2 == 0))
        for number in range(count)
    ]


def _event(
    rng: random.Random, tenant_id: str, device: int, now: dt.datetime, *, is_click: bool
) -> dict[str, Any]:
    event = {
        "eventId": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "tenantId": tenant_id,
        "timestamp": (now - dt.timedelta(seconds=rng.random() * 3600)).isoformat(timespec="milliseconds"),
        "deviceId": str(uuid.UUID(int=device)),
        "appId": "com.example.game",
        "platform": "android",
    }
    if not is_click:
        return event | {
            "eventType": "session",
            "userId": f"user-{device}",
            "sessionId": f"{rng.getrandbits(64):016x}",
            "durationMs": rng.randrange(600_000),
            "metadata": {"level": rng.randrange(60), "build": "1.42.0"},
        }
    network = f"10.{device >> 16 & 255}.{device >> 8 & 255}.{device & 255}"
    campaign = {"source": "net_alpha", "campaign": f"spring_{rng.randrange(20)}", "creative": "video_1"}
    agent = _AGENT.format(device % 10)
    return event | campaign | {"eventType": "click", "ip": network, "userAgent": agent}


def requests_of(
    events: Sequence[bytes], per_request: int, tenant_id: str, token: str, *, is_packed: bool = False
) -> list[bytes]:
    """Whole HTTP requests: single events to the one route, batches to the other.

    A batch is a JSON array, or packed as SDKs send it: NDJSON under zstd.
    """
    path = "/v1/events/ingest" if per_request == 1 else "/v1/events/batch"
    kind = (
        "Content-Type: application/x-ndjson\r\nContent-Encoding: zstd"
        if is_packed
        else "Content-Type: application/json"
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {token}\r\nX-Tenant-ID: {tenant_id}\r\n"
        f"{kind}\r\nContent-Length: "
    ).encode()
    pack = zstandard.ZstdCompressor(level=3).compress
    requests = []
    for start in range(0, len(events), per_request):
        part = events[start : start + per_request]
        plain = part[0] if per_request == 1 else b"[%s]" % b",".join(part)
        body = pack(b"\n".join(part)) if is_packed else plain
        requests.append(b"%s%d\r\n\r\n%s" % (head, len(body), body))
    return requests


def send_all(port: int, requests: Iterable[bytes], connections: int = CONNECTIONS) -> None:
    """Send every request and wait for every answer.

    Raises:
        ServiceUnavailableError: an answer was not 202, or held an event that was not accepted.
    """
    asyncio.run(_send_all(port, requests, connections))


async def _send_all(port: int, requests: Iterable[bytes], connections: int) -> None:
    waiting = iter(requests)
    await asyncio.gather(*(_send_over_one(port, waiting) for _ in range(connections)))


async def _send_over_one(port: int, waiting: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_ANSWER_MAX_BYTES)
    try:
        for request in waiting:
            await _exchange(reader, writer, request)
    finally:
        writer.close()
        await writer.wait_closed()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    try:
        writer.write(request)
        status, _, body = await read_answer(reader)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise ServiceUnavailableError("the server went away under load: see its log") from error
    if status != _ACCEPTED or b'"status":"quarantined"' in body:
        raise ServiceUnavailableError(f"the server did not accept the load: {body[:300].decode()}")


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """The next answer of a connection: status, head, body.

    Raises:
        asyncio.IncompleteReadError: the connection ended before the answer did.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1]), head, body


def send_at_rate(
    port: int, requests: Sequence[bytes], requests_per_s: float, connections: int = CONNECTIONS
) -> list[float]:
    """Send each request at its moment, late or not; seconds from that moment to the answer, per request.

    Counted from when a request was due, not from when a connection was free: a server that stalls is not
    spared the requests it kept waiting.

    Raises:
        ServiceUnavailableError: an answer was not 202, or held an event that was not accepted.
    """
    return asyncio.run(_send_at_rate(port, requests, 1 / requests_per_s, connections))


async def _send_at_rate(
    port: int, requests: Sequence[bytes], interval_s: float, connections: int
) -> list[float]:
    waiting = iter(enumerate(requests))
    latencies_s: list[float] = []
    started_s = time.perf_counter()

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_ANSWER_MAX_BYTES)
        try:
            for number, request in waiting:
                due_s = started_s + number * interval_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await _exchange(reader, writer, request)
                latencies_s.append(time.perf_counter() - due_s)
        finally:
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(one_connection() for _ in range(min(connections, len(requests)))))
    return latencies_s
