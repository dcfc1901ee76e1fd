"""Load for the door, from this process: events of a usual mix as ready HTTP requests, over many connections.

The client does as little as it can (whole requests as bytes, answers read by their length), because it shares
the machine with what it measures. Serving is `servers`; what the figures mean is in the claims.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from resources.errors import ServiceUnavailableError

CONNECTIONS = 64  # requesters at a time: enough that one sync of the log covers many requests
EVENTS_PER_DEVICE = 10
# Of the devices in one part of the load this share was in no earlier part: most traffic is of known devices.
NEW_DEVICES_SHARE = 0.1
_ACCEPTED = b"202"
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


def requests_of(events: Sequence[bytes], per_request: int, tenant_id: str, token: str) -> list[bytes]:
    """Whole HTTP requests: single events to the one route, JSON arrays to the other."""
    path = "/v1/events/ingest" if per_request == 1 else "/v1/events/batch"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {token}\r\nX-Tenant-ID: {tenant_id}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    requests = []
    for start in range(0, len(events), per_request):
        part = events[start : start + per_request]
        body = part[0] if per_request == 1 else b"[%s]" % b",".join(part)
        requests.append(b"%s%d\r\n\r\n%s" % (head, len(body), body))
    return requests


def send_all(port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> None:
    """Send every request and wait for every answer.

    Raises:
        ServiceUnavailableError: an answer was not 202, or held an event that was not accepted.
    """
    asyncio.run(_send_all(port, requests, connections))


async def _send_all(port: int, requests: Sequence[bytes], connections: int) -> None:
    waiting = iter(requests)
    await asyncio.gather(*(_send_over_one(port, waiting) for _ in range(min(connections, len(requests)))))


async def _send_over_one(port: int, waiting: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if head.split(b" ", 2)[1] != _ACCEPTED or b'"status":"quarantined"' in body:
                raise ServiceUnavailableError(f"the server did not accept the load: {body[:300].decode()}")
    except asyncio.IncompleteReadError as error:
        raise ServiceUnavailableError("the server went away under load: see its log") from error
    finally:
        writer.close()
        await writer.wait_closed()
