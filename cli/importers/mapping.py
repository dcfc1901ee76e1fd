"""Mapping files: which column or JSON pointer of an export becomes which field of an event. TOML, checked.

    [source]                                   # all optional
    delimiter = ";"                            # else found in the header
    timestamps = "%d.%m.%Y %H:%M:%S"           # or rfc3339 (the default), unix_s, unix_ms
    timezone = "Europe/Berlin"                 # of times without a zone; else --zone, else UTC
    id = ["Order"]                             # rows equal in these are one event; else each row is its own

    [event_type]                               # constant = "purchase", or by a column's value:
    column = "Kind"
    values = { order = "purchase", visit = "session" }
    otherwise = "event"                        # else such rows are rejected

    [fields]
    deviceId = { column = "Device" }           # of an NDJSON file: { pointer = "/device/id" }
    timestamp = { column = "Time" }            # may have its own timestamps = and timezone =
    revenueMicros = { column = "Total", convert = "decimal_to_micros" }
    currency = { column = "Currency", default = "EUR" }
    platform = { column = "OS", values = { "iPhone OS" = "ios", Android = "android" } }
    "referrer.clickId" = { column = "Click" }
    campaign = { constant = "crm" }

    [metadata]
    leave_out = ["Mail"]                       # personal columns; the rest goes into metadata

A field that the event's type does not have is left to metadata in rows of that type. Here the file is read
and checked; applying it is `mapped`'s.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.importers import file_sha256
from cli.importers.values import CONTRACT_VERSION, zone_of
from resources.errors import ContractError
from schemas import event_schemas

RFC3339, UNIX_S, UNIX_MS = "rfc3339", "unix_s", "unix_ms"
CONVERSIONS = frozenset({"decimal_to_micros", "lower", "upper"})
NEVER_MAPPED = {"tenantId": "it is --tenant", "eventType": "it has the table [event_type]", "metadata": ""}
AUTOMATIC = frozenset({"eventId", "tenantId", "eventType"})
_RULE_KEYS = frozenset(
    {"column", "pointer", "constant", "default", "values", "convert", "timestamps", "timezone"}
)
_TABLES = {
    "source": frozenset({"delimiter", "timestamps", "timezone", "id"}),
    "event_type": frozenset({"constant", "column", "pointer", "values", "otherwise"}),
    "metadata": frozenset({"leave_out"}),
}


@dataclass(frozen=True)
class Rule:
    """Where a field's value comes from: `place` is a column or pointer, empty for a constant."""

    field: str
    place: str = ""
    constant: Any = None
    default: Any = None
    values: Mapping[str, Any] | None = None
    convert: str = ""
    timestamps: str = RFC3339
    zone: dt.tzinfo = dt.UTC


@dataclass(frozen=True)
class MappingFile:
    """A checked mapping; `types` are the event types that rows can have."""

    name: str
    sha256: str
    event_type: Rule
    fields: Mapping[str, Rule]
    id_places: tuple[str, ...]
    leave_out: frozenset[str]
    delimiter: str | None
    types: frozenset[str]

    @property
    def places(self) -> frozenset[str]:
        """Every column or pointer that the mapping names, those that must be there."""
        rules = [self.event_type, *self.fields.values()]
        return frozenset({*(rule.place for rule in rules if rule.place), *self.id_places})


def load_mapping(path: Path, *, pointers: bool, zone: dt.tzinfo) -> MappingFile:
    """Reads and checks a mapping file; `pointers` when the export is NDJSON.

    Raises:
        ContractError: it is no TOML, or something in it cannot be; the message says what and where.
        OSError: it cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} is no TOML: {error}; correct it there") from error
    return _Reader(path, document, "pointer" if pointers else "column", zone).mapping()


def known_fields() -> dict[str, frozenset[str]]:
    """Event field → the types that have it; members of objects as `referrer.clickId`."""
    found: dict[str, set[str]] = {}
    for event_type, schema in event_schemas(CONTRACT_VERSION).items():
        for name, member in schema["properties"].items():
            inner = member.get("properties") or {}
            for field in [f"{name}.{inner_name}" for inner_name in inner] or [name]:
                found.setdefault(field, set()).add(event_type)
    return {field: frozenset(types) for field, types in found.items()}


class _Reader:
    """One mapping document on its way to a `MappingFile`."""

    def __init__(self, path: Path, document: dict[str, Any], place_key: str, zone: dt.tzinfo) -> None:
        self.path, self.document, self.place_key = path, document, place_key
        self._keys("", document, frozenset({*_TABLES, "fields"}))
        self.source = self._table("source")
        self.zone = zone_of(self.source["timezone"]) if "timezone" in self.source else zone

    def mapping(self) -> MappingFile:
        event_type, types = self._event_type()
        fields = {name: self._field(name, spec) for name, spec in self._table("fields").items()}
        self._require(fields, types)
        delimiter = self.source.get("delimiter")
        if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
            raise self._error("source.delimiter", 'must be one character, such as ";"')
        return MappingFile(
            name=self.path.name,
            sha256=file_sha256(self.path),
            event_type=event_type,
            fields=fields,
            id_places=tuple(self._names("source", "id")),
            leave_out=frozenset(self._names("metadata", "leave_out")),
            delimiter=delimiter,
            types=types,
        )

    def _event_type(self) -> tuple[Rule, frozenset[str]]:
        spec = self._table("event_type")
        if not spec:
            raise self._error("event_type", 'is missing: add constant = "…", or a column and its values')
        if "constant" in spec:
            types = frozenset({spec["constant"]})
            rule = Rule("eventType", constant=spec["constant"])
        else:
            values, otherwise = spec.get("values"), spec.get("otherwise")
            if self.place_key not in spec or not isinstance(values, dict) or not values:
                raise self._error("event_type", f"needs a constant, or a {self.place_key} and its values")
            types = frozenset({*values.values(), *([otherwise] if otherwise else [])})
            rule = Rule("eventType", self._place("event_type", spec), default=otherwise, values=values)
        unknown = sorted(map(str, types - set(event_schemas(CONTRACT_VERSION))))
        if unknown:
            known = ", ".join(sorted(event_schemas(CONTRACT_VERSION)))
            raise self._error("event_type", f"knows no type {unknown[0]}: choose one of {known}")
        return rule, types

    def _field(self, name: str, spec: Any) -> Rule:
        where = f"fields.{name}"
        if name in NEVER_MAPPED:
            raise self._error(
                where, f"cannot be mapped: {NEVER_MAPPED[name] or 'it takes what is left over'}"
            )
        if name not in known_fields():
            raise self._error(where, f"is no field of the contract: {_nearest(name)}")
        if not isinstance(spec, dict):
            raise self._error(where, f'must be a table, such as {{ {self.place_key} = "…" }}')
        self._keys(where, spec, _RULE_KEYS)
        if ("constant" in spec) == (self.place_key in spec):
            raise self._error(where, f"needs either a {self.place_key} or a constant")
        if "constant" in spec:
            return Rule(name, constant=spec["constant"])
        convert = spec.get("convert", "")
        if convert and convert not in CONVERSIONS:
            raise self._error(where, f"cannot convert by {convert}: choose {', '.join(sorted(CONVERSIONS))}")
        zone = zone_of(spec["timezone"]) if "timezone" in spec else self.zone
        timestamps = self._timestamps(where, spec.get("timestamps", self.source.get("timestamps", RFC3339)))
        place = self._place(where, spec)
        return Rule(name, place, None, spec.get("default"), spec.get("values"), convert, timestamps, zone)

    def _timestamps(self, where: str, text: Any) -> str:
        if isinstance(text, str) and (text in {RFC3339, UNIX_S, UNIX_MS} or "%" in text):
            return text
        raise self._error(where, f"has no timestamps like {text}: rfc3339, unix_s, unix_ms or %d.%m.%Y %H:%M")

    def _require(self, fields: Mapping[str, Rule], types: frozenset[str]) -> None:
        known = known_fields()
        for field in fields:
            if not known[field] & types:
                raise self._error(f"fields.{field}", f"is a field of {', '.join(sorted(known[field]))} alone")
        for event_type in sorted(types):
            required = set(event_schemas(CONTRACT_VERSION)[event_type]["required"]) - AUTOMATIC
            missing = sorted(required - set(fields))
            if missing:
                raise self._error("fields", f"lacks {', '.join(missing)}, which every {event_type} needs")
        if any(name.startswith("referrer.") for name in fields) and "referrer.clickId" not in fields:
            raise self._error("fields", "lacks referrer.clickId, which every referrer needs")

    def _place(self, where: str, spec: Mapping[str, Any]) -> str:
        place = spec.get(self.place_key)
        if not isinstance(place, str) or not place:
            raise self._error(where, f"needs a {self.place_key} that is a text")
        if self.place_key == "pointer" and not place.startswith("/"):
            raise self._error(where, f'has the pointer {place}: JSON pointers begin with "/"')
        return place

    def _table(self, name: str) -> dict[str, Any]:
        table = self.document.get(name, {})
        if not isinstance(table, dict):
            raise self._error(name, f"must be a table: [{name}]")
        if name in _TABLES:
            self._keys(name, table, _TABLES[name])
        return table

    def _names(self, table: str, key: str) -> list[str]:
        names = self._table(table).get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise self._error(f"{table}.{key}", f"must be a list of {self.place_key}s")
        return names

    def _keys(self, where: str, table: Mapping[str, Any], allowed: frozenset[str]) -> None:
        for key in table:
            if key not in allowed:
                name = f"{where}.{key}" if where else key
                raise self._error(name, f"is not known here: choose from {', '.join(sorted(allowed))}")

    def _error(self, where: str, problem: str) -> ContractError:
        return ContractError(f"{self.path.name}: {where} {problem}")


def _nearest(name: str) -> str:
    folded = name.replace("_", "").lower()
    for field in known_fields():
        if field.lower() == folded:
            return f"did you mean {field}?"
    return f"choose from {', '.join(sorted(set(known_fields()) - set(NEVER_MAPPED)))}"
