"""An event as the line that is sent: ids filled in once, serialised once, the same bytes on every try. Pure.

Belongs here: filling what is missing, and the refusal of what can never be sent. What an event must hold is
the door's to judge (`schemas/events/v1`); it keeps what it quarantines.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from unmogrowp.errors import InvalidEventError


def line_of(event: Mapping[str, Any], tenant_id: str, *, max_bytes: int) -> tuple[str, bytes]:
    """The event's id and its NDJSON line; eventId, tenantId and timestamp are filled in where missing.

    Datetimes with a zone and UUIDs are written as JSON writes them; the caller's mapping is not changed.

    Raises:
        InvalidEventError: it names another tenant, has no usable id, is no JSON, or is larger than a batch.
    """
    document = dict(event)
    event_id = document.get("eventId") or uuid.uuid4()
    if isinstance(event_id, uuid.UUID):
        document["eventId"] = event_id = str(event_id)
    if not isinstance(event_id, str):
        raise InvalidEventError(f"tenant {tenant_id}: eventId must be text, a uuid; leave it out to get one")
    if document.setdefault("tenantId", tenant_id) != tenant_id:
        raise InvalidEventError(
            f"tenant {tenant_id}: event {event_id} names another tenant; send it with that tenant's client"
        )
    if "timestamp" not in document:
        document["timestamp"] = utc_now_text()
    try:
        line = orjson.dumps(document)
    except TypeError as error:
        raise InvalidEventError(f"tenant {tenant_id}: event {event_id} is no JSON ({error})") from error
    if len(line) >= max_bytes:
        raise InvalidEventError(
            f"tenant {tenant_id}: event {event_id} has {len(line)} bytes, a whole batch may have {max_bytes}"
        )
    return event_id, line


def utc_now_text() -> str:
    """Now, RFC 3339 in UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
