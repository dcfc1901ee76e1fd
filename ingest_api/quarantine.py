"""Rows of `raw.quarantine`: rejected deliveries with their reasons, sealed; and how to open one again.

The body is what was sent, byte for byte, under the tenant's key. Verdicts are the door's; landing is
the lander's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from ingest_api.contracts import readable_event_id
from ingest_api.pii import quarantine_context
from ingest_api.timestamps import parse_timestamp
from resources.pii import Keyring, TenantPii

if TYPE_CHECKING:
    import datetime as dt

    from ingest_api.event_log.protocol import LogPosition, LogRecord, Rejection
    from ingest_api.pii import TenantEvents

QUARANTINE_ID_HEX_DIGITS = 32


def quarantine_row(
    record: LogRecord,
    rejection: Rejection,
    raw: bytes,
    *,
    writer: str,
    position: LogPosition,
    tenant: TenantEvents,
) -> dict[str, Any]:
    """One rejected delivery as a row; the same delivery gives the same id again."""
    quarantine_id = quarantine_id_of(writer, position, rejection.at)
    event_id, event_date = _readable(raw)
    return {
        "tenant_id": record.tenant_id,
        "received_at": record.received_at_us,
        "quarantine_id": quarantine_id,
        "event_id": event_id,
        "event_date": event_date,
        "reason_code": rejection.code,
        "pointer": rejection.pointer,
        "reason": rejection.reason,
        "body_sealed": tenant.seal(raw, quarantine_id),
    }


def quarantine_id_of(writer: str, position: LogPosition, at: int) -> str:
    """Stable id of the delivery number `at` of the record that ends at `position`."""
    return hashlib.sha256(f"{writer}/{position}/{at}".encode()).hexdigest()[:QUARANTINE_ID_HEX_DIGITS]


def unseal_body(keyring: Keyring, tenant_id: str, quarantine_id: str, body_sealed: bytes) -> bytes:
    """The bytes that were sent, for a person to look at or for replay.

    Raises:
        ArtifactCorruptError: the row was changed, or is another tenant's.
    """
    return TenantPii(keyring, tenant_id).unseal(body_sealed, quarantine_context(quarantine_id))


def _readable(raw: bytes) -> tuple[str | None, dt.date | None]:
    """Event id and UTC day of a rejected delivery, where they can be read."""
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None, None
    timestamp = event.get("timestamp") if isinstance(event, dict) else None
    try:
        event_date = parse_timestamp(timestamp).date() if isinstance(timestamp, str) else None
    except ValueError:
        event_date = None
    return readable_event_id(event), event_date
