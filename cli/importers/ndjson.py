"""Newline-delimited v1 events, as another UnMoGrowP or `unmogrowp simulate --out` writes them.

Lines are sent as they are; only a missing `tenantId` or `eventId` is filled in, and times move when a shift
is asked for. A line that is no JSON object goes to the door too, which quarantines it with its reason. Lines
of other shapes need a mapping and are `mapped`'s.
"""

from __future__ import annotations

import codecs
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cli.importers import Record, Survey, id_namespace
from cli.importers.packed import open_bytes
from cli.importers.rejected import (
    REJECTED_LINE,
    REJECTED_REASON,
    REJECTED_ROW,
    NdjsonLayout,
    RejectedLayout,
    json_object,
)
from resources.errors import ContractError


class Ndjson:
    """The importer of this format."""

    refused_share_max = 0.5
    options = "ndjson"

    def survey(self, path: Path, tenant_id: str) -> Survey:
        """Counts events by type and by day; refuses a file with another tenant's events."""
        rows, kinds, days = 0, Counter[str](), Counter[dt.date]()
        for number, line in read_lines(path):
            rows = number
            event = json_object(line)
            if event is None:
                kinds["unreadable"] += 1
                continue
            if event.get("tenantId", tenant_id) != tenant_id:
                raise ContractError(
                    f"{path.name}, line {number} belongs to another tenant than {tenant_id}: import it there"
                )
            kinds[str(event.get("eventType", "install"))] += 1
            moment = _moment(event.get("timestamp"))
            if moment is not None:
                days[moment.date()] += 1
        if not days:
            raise ContractError(f"{path.name} holds no event with a readable timestamp: nothing to import")
        return Survey(rows, dict(kinds), dict(days))

    def records(
        self, path: Path, tenant_id: str, sha256: str, *, shift_days: int, after_row: int
    ) -> Iterator[Record]:
        """The lines after line `after_row`."""
        namespace = id_namespace(sha256)
        for number, line in read_lines(path):
            if number > after_row:
                yield Record(number, line, (completed(line, number, tenant_id, namespace, shift_days),))

    def rejected_layout(self, path: Path) -> RejectedLayout:  # noqa: ARG002 - all such files look the same
        """The same objects with two members more."""
        return NdjsonLayout()


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line number from 1, and the line without its end; blank lines are left out.

    A byte order mark and what a file of rejected rows adds are taken off.
    """
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            stripped = line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip()
            if stripped:
                yield number, _without_rejection(stripped)


def _without_rejection(line: bytes) -> bytes:
    if REJECTED_ROW.encode() not in line:
        return line
    document = json_object(line)
    if document is None or REJECTED_ROW not in document:
        return line
    if REJECTED_LINE in document:
        return str(document[REJECTED_LINE]).encode()
    added = (REJECTED_ROW, REJECTED_REASON)
    return orjson.dumps({name: value for name, value in document.items() if name not in added})


def completed(line: bytes, number: int, tenant_id: str, namespace: uuid.UUID, shift_days: int) -> bytes:
    """The line with tenant and id where they were missing, and its times moved; else byte for byte."""
    event = json_object(line)
    if event is None:
        return line
    missing: dict[str, object] = {}
    if "tenantId" not in event:
        missing["tenantId"] = tenant_id
    if "eventId" not in event:
        missing["eventId"] = str(uuid.uuid5(namespace, str(number)))
    if not missing and not shift_days:
        return line
    if shift_days:
        event = _shifted(event, shift_days)
    return orjson.dumps(event | missing)


def _shifted(event: dict[str, Any], shift_days: int) -> dict[str, Any]:
    """All times of an event (its own, its referrer's) moved by whole days."""
    moved = dict(event)
    if "timestamp" in event:
        moved["timestamp"] = _shifted_text(event["timestamp"], shift_days)
    referrer = event.get("referrer")
    if isinstance(referrer, dict):
        times = {name: referrer[name] for name in ("clickTime", "installBeginTime") if name in referrer}
        moved["referrer"] = referrer | {name: _shifted_text(text, shift_days) for name, text in times.items()}
    return moved


def _shifted_text(text: object, shift_days: int) -> object:
    """Only the date part changes, so fractions and zone stay as written; what is no time stays as it is."""
    if _moment(text) is None or not isinstance(text, str):
        return text
    date = dt.date.fromisoformat(text[:10]) + dt.timedelta(days=shift_days)
    return date.isoformat() + text[10:]


def _moment(text: object) -> dt.datetime | None:
    """A timestamp with a zone, in UTC; None for anything else."""
    try:
        moment = dt.datetime.fromisoformat(text) if isinstance(text, str) else None
        return moment.astimezone(dt.UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
