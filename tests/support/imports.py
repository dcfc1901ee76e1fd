"""For tests of importers: writing exports, reading their events, and the contract that these must keep."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker

from schemas import event_schemas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cli.importers import Importer, Record

TENANT = "t123"
SHA256 = "ab" * 32


def write_table(
    path: Path, header: Sequence[str], rows: Sequence[Mapping[str, str]], delimiter: str = ","
) -> Path:
    """A CSV file; columns that a row does not name are empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def records_of(importer: Importer, path: Path, *, shift_days: int = 0, after_row: int = 0) -> list[Record]:
    return list(importer.records(path, TENANT, SHA256, shift_days=shift_days, after_row=after_row))


def events_of(importer: Importer, path: Path, *, shift_days: int = 0) -> list[dict[str, Any]]:
    """All events of a file; each keeps the v1 contract."""
    records = records_of(importer, path, shift_days=shift_days)
    assert [record.reason for record in records if record.reason] == []
    events = [orjson.loads(line) for record in records for line in record.lines]
    for event in events:
        assert_keeps_the_contract(event)
    return events


def assert_keeps_the_contract(event: dict[str, Any]) -> None:
    schema = event_schemas("v1")[event["eventType"]]
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(event)


def golden(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event without its id and tenant, which are not a golden file's business."""
    return {name: value for name, value in event.items() if name not in {"eventId", "tenantId"}}
