"""CSV and NDJSON of any origin, by a mapping file (`mapping` says what that can hold).

A row's event id is its mapped `eventId`, or made from the columns of `source.id`, or else from the file's hash
and the row's number: then equal rows are different events, and importing the file again is the same ones.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from cli.importers import RowError, id_namespace, values
from cli.importers.mapping import AUTOMATIC, RFC3339, UNIX_MS, UNIX_S, MappingFile, Rule, known_fields
from cli.importers.ndjson import read_lines
from cli.importers.personal import without_personal
from cli.importers.rejected import NdjsonLayout, RejectedLayout, json_object
from cli.importers.rows import Event, Job, RowImporter, SourceRow
from cli.importers.tables import csv_layout, open_table, require_columns
from cli.importers.vendor import told_apart
from schemas import event_schemas

_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:unmogrowp:import:mapped")
_TIMES = frozenset({"timestamp", "referrer.clickTime", "referrer.installBeginTime"})


class Mapped(RowImporter[dict[str, Any]]):
    """What both formats do with a row, which is a dict of columns or a JSON object."""

    def __init__(self, mapping: MappingFile) -> None:
        self.mapping = mapping
        self.options = f"mapped {mapping.sha256}"
        self._known = known_fields()

    def found(self, content: Mapping[str, Any], place: str) -> Any:
        """The value at a column or pointer; None where there is none."""
        return content.get(place)

    def rest(self, content: dict[str, Any], used: set[str]) -> dict[str, Any]:
        """What no field took."""
        return {name: value for name, value in content.items() if name not in used and value != ""}

    def row_events(self, row: SourceRow[dict[str, Any]], job: Job) -> list[Event]:
        """The row's one event."""
        number, content = row.number, row.content
        event_type, used = self._event_type(content)
        fields: Event = {}
        for name, rule in self.mapping.fields.items():
            if event_type not in self._known[name]:
                continue
            value, is_whole = self._value(rule, content, event_type, job)
            if value is not None:
                outer, _, inner = name.partition(".")
                (fields.setdefault(outer, {}) if inner else fields)[inner or outer] = value
            if is_whole:
                used.add(rule.place)
        self._require(event_type, fields)
        used |= self.mapping.leave_out
        personal = [str(fields[name]) for name in ("deviceId", "userId", "ip", "userAgent") if name in fields]
        event = {
            "eventId": self._event_id(number, content, event_type, job),
            "tenantId": job.tenant_id,
            "eventType": event_type,
            **fields,
        }
        return [event | self._metadata(number, self.rest(content, used), personal)]

    def _require(self, event_type: str, fields: Event) -> None:
        for name in _required(event_type):
            if name not in fields:
                raise RowError(
                    f"{self.mapping.fields[name].place} is empty, and every {event_type} needs {name}"
                )

    def _event_type(self, content: Mapping[str, Any]) -> tuple[str, set[str]]:
        rule = self.mapping.event_type
        if not rule.place:
            return str(rule.constant), set()
        told = _text(self.found(content, rule.place))
        if rule.values is not None and told in rule.values:
            return str(rule.values[told]), {rule.place}
        if rule.default is None:
            raise RowError(f"{rule.place} has a value that the mapping gives no event type")
        return str(rule.default), set()

    def _value(self, rule: Rule, content: Mapping[str, Any], event_type: str, job: Job) -> tuple[Any, bool]:
        """The field's value, and whether it says all that the column said."""
        if not rule.place:
            return _said(rule, rule.constant, job), False
        raw = self.found(content, rule.place)
        text = _text(raw)
        if text in values.NOTHING:
            return _said(rule, rule.default, job), text == ""
        if rule.values is not None:
            if text not in rule.values:
                raise RowError(f"{rule.place} has a value that the mapping does not know")
            return rule.values[text], True
        if rule.convert == "decimal_to_micros":
            return values.micros_of(text, rule.place)
        if isinstance(raw, bool | dict | list):
            return raw, True  # no text: the door says what is wrong with it
        return _read(rule, text, event_type, job), True

    def _event_id(self, number: int, content: Mapping[str, Any], event_type: str, job: Job) -> str:
        mapped = self.mapping.fields.get("eventId")
        if mapped is not None:
            told = self._value(mapped, content, event_type, job)[0]
            if told is None:
                raise RowError(f"{mapped.place} is empty, and it is mapped to the event's id")
            return str(told)
        if self.mapping.id_places:
            parts = [_text(self.found(content, place)) for place in self.mapping.id_places]
            if not any(parts):
                raise RowError(
                    f"{', '.join(self.mapping.id_places)} are empty, and the event's id is made of them"
                )
            return str(uuid.uuid5(_IDS, "\x1f".join([event_type, str(job.shift_days), *parts])))
        return str(uuid.uuid5(id_namespace(job.sha256), str(number)))

    def _metadata(self, number: int, rest: dict[str, Any], personal: list[str]) -> Event:
        texts = {name: value for name, value in rest.items() if isinstance(value, str)}
        provenance = {"importedFrom": self.mapping.name, "importedRow": number}
        return {"metadata": {**rest, **without_personal(texts, personal), **provenance}}


class MappedCsv(Mapped):
    """The importer of CSV with a mapping."""

    def rows(self, path: Path) -> Iterator[SourceRow[dict[str, Any]]]:
        """The rows by column."""
        with open_table(path, self.mapping.delimiter) as table:
            names = told_apart([name.strip() for name in table.header])
            wanted = self.mapping.places | self.mapping.leave_out
            missing = sorted(wanted - set(names))
            require_columns(path, f"file for {self.mapping.name}", missing, "correct the file or the mapping")
            for row in table.rows():
                content = {} if row.problem else dict(zip(names, row.values, strict=True))
                yield SourceRow(row.number, row.source, content, row.problem)

    def rejected_layout(self, path: Path) -> RejectedLayout:
        """The same columns and two more."""
        return csv_layout(path, self.mapping.delimiter)


class MappedNdjson(Mapped):
    """The importer of NDJSON with a mapping: places are JSON pointers (RFC 6901).

    A row is read twice where there is money in it: exactly for the fields, for a decimal must not pass through
    a float, and as it is for metadata.
    """

    def __init__(self, mapping: MappingFile) -> None:
        super().__init__(mapping)
        self._has_money = any(rule.convert == "decimal_to_micros" for rule in mapping.fields.values())

    def rows(self, path: Path) -> Iterator[SourceRow[dict[str, Any]]]:
        """The lines, numbered as in the file."""
        for number, line in read_lines(path):
            document = json_object(line)
            if document is None:
                yield SourceRow(number, line, {}, "the line is no JSON object")
                continue
            exact: object = document
            if self._has_money:
                try:
                    exact = json.loads(line, parse_float=Decimal)
                except (ValueError, RecursionError):
                    yield SourceRow(number, line, {}, "the line has numbers or nesting that cannot be read")
                    continue
            yield SourceRow(number, line, {"exact": exact, "document": document})

    def found(self, content: Mapping[str, Any], place: str) -> Any:
        """The value at a JSON pointer."""
        value: Any = content["exact"]
        for part in place.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping):
                value = value.get(name)
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        return value

    def rest(self, content: dict[str, Any], used: set[str]) -> dict[str, Any]:
        """The object without what became fields."""
        rest: dict[str, Any] = content["document"]
        for place in used:
            *parents, name = [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]
            value: Any = rest
            for parent in parents:
                value = value.get(parent) if isinstance(value, dict) else None
            if isinstance(value, dict):
                value.pop(name, None)
        return rest

    def rejected_layout(self, path: Path) -> RejectedLayout:  # noqa: ARG002 - all such files look the same
        """The same objects with two members more."""
        return NdjsonLayout()


@cache
def _required(event_type: str) -> tuple[str, ...]:
    """The fields that a row has to fill."""
    return tuple(sorted(set(event_schemas(values.CONTRACT_VERSION)[event_type]["required"]) - AUTOMATIC))


def _said(rule: Rule, value: Any, job: Job) -> Any:
    """What the mapping itself says in place of a column; times move with the file's."""
    is_time = value is not None and rule.field in _TIMES
    return values.rfc3339(_moment(rule, str(value)), job.shift_days) if is_time else value


def _read(rule: Rule, text: str, event_type: str, job: Job) -> Any:
    """The text as the field's type wants it."""
    if rule.field in _TIMES:
        return values.rfc3339(_moment(rule, text), job.shift_days)
    if rule.convert:
        return text.upper() if rule.convert == "upper" else text.lower()
    return _integer(text, rule.place) if _is_integer(event_type, rule.field) else text


def _moment(rule: Rule, text: str) -> dt.datetime:
    if rule.timestamps in {UNIX_S, UNIX_MS}:
        return values.unix_moment(text, 1 if rule.timestamps == UNIX_S else 1_000, rule.place)
    if rule.timestamps == RFC3339:
        return values.moment_of(text, rule.zone, rule.place)
    try:
        moment = dt.datetime.strptime(text, rule.timestamps)  # noqa: DTZ007 - the zone is the mapping's, below
        return values.in_utc(moment, rule.zone)
    except (ValueError, OverflowError) as error:
        raise RowError(f"{rule.place} is no time like {rule.timestamps}") from error


def _integer(text: str, what: str) -> int:
    number = values.decimal_of(text, what)
    if number != number.to_integral_value():
        raise RowError(f"{what} is no whole number")
    return int(number)


def _is_integer(event_type: str, field: str) -> bool:
    schema = event_schemas(values.CONTRACT_VERSION)[event_type]["properties"].get(field, {})
    return bool(schema.get("type") == "integer")


def _text(value: Any) -> str:
    """A value as an export would write it."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return value.strip() if isinstance(value, str) else str(value)
