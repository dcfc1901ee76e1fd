"""What tests of the SDK send, and what the door's log then holds. No assertions here."""

from __future__ import annotations

from typing import Any

from ingest_api.bodies import parsed, unpacked
from resources.settings import Settings
from tests.support.door import click, logged

FAST = {"flush_interval_s": 0.02}


def events_of(settings: Settings) -> list[dict[str, Any]]:
    """What the door's log holds, in the order it came, deliveries and all."""
    events: list[dict[str, Any]] = []
    for record in logged(settings):
        plain = unpacked(record.body, record.encoding, settings.body_max_unpacked_bytes)
        events.extend(parsed(plain, record.format).events)
    return events


def ids_of(settings: Settings) -> list[str]:
    return [event["eventId"] for event in events_of(settings)]


def clicks(count: int) -> list[dict[str, Any]]:
    return [click(deviceId=f"device-{number}") for number in range(count)]
