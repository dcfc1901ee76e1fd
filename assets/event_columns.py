"""From a landed event's JSON body to the typed columns of `clean.events`, driven by the schemas' `x-lake`.

One SELECT per contract version serves all its event types: a column takes the annotated field that the type has.
Only shapes are here; which delivery counts is `assets.clean`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from schemas import event_schemas, event_versions, table_schemas

Path = tuple[str, ...]

# columns the lander has already typed in raw.events
ENVELOPE = ("tenant_id", "event_id", "event_type", "event_time", "event_date", "received_at", "land_seq")
DUCKDB_TYPES = {"string": "VARCHAR", "long": "BIGINT", "timestamptz": "VARCHAR"}
_FIRST, _LAST = "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"
_LEAP_SECOND_AT = 18  # place of the seconds' digits in an RFC 3339 text, from 1


@cache
def lake_paths(version: str) -> dict[str, tuple[Path, ...]]:
    """Column → paths of property names that fill it in some type, for every `x-lake` field beside the envelope."""
    paths: dict[str, dict[Path, None]] = {}
    for path, field in _fields(version):
        if "x-lake" in field and field["x-lake"] not in ENVELOPE:
            paths.setdefault(field["x-lake"], {})[path] = None
    return {column: tuple(found) for column, found in paths.items()}


def body_structure(version: str) -> str:
    """DuckDB `from_json` structure of a version's annotated properties."""
    tree: dict[str, Any] = {}
    types = {column.name: column.type for column in table_schemas()["clean.events"].columns}
    for path, field in _fields(version):
        column = field.get("x-lake")
        if column is None or column in ENVELOPE:
            continue
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = "JSON" if field.get("type") == "object" else DUCKDB_TYPES[types[column]]
    return json.dumps(tree)


def typed_query(relation: str) -> str:
    """The query that makes clean.events' columns of a relation with raw.events' columns, in the contract's order."""
    selects = [_version_select(relation, version) for version in event_versions()]
    return "\nUNION ALL\n".join(selects) + "\nORDER BY event_time, event_id"


def _version_select(relation: str, version: str) -> str:
    columns = ",\n".join(
        _expression(column.name, column.type, lake_paths(version).get(column.name, ()))
        for column in table_schemas()["clean.events"].columns
    )
    event = f"from_json(body, '{body_structure(version)}') AS event"
    rows = f"SELECT * EXCLUDE (body), {event} FROM {relation} WHERE schema_version = '{version}'"  # noqa: S608 - schemas
    return f"SELECT {columns} FROM ({rows})"  # noqa: S608 - made of the schemas, which are ours


def _expression(column: str, column_type: str, paths: tuple[Path, ...]) -> str:
    if column in ENVELOPE:
        return column
    places = [".".join(f'"{name}"' for name in ("event", *path)) for path in paths]
    if column_type == "timestamptz":
        places = [_timestamp(place) for place in places]
    typed = "TIMESTAMPTZ" if column_type == "timestamptz" else DUCKDB_TYPES[column_type]
    if column == "app_id":
        places.append("''")
    value = f"coalesce({', '.join(places)})" if len(places) > 1 else places[0] if places else "NULL"
    return f"CAST({value} AS {typed}) AS {column}"


def _timestamp(place: str) -> str:
    """RFC 3339 with its odd but legal spellings, as the lander reads them (`ingest_api.timestamps`).

    A leap second is the second after it; what lies outside the years 1 to 9999 is held at their ends.
    """
    is_leap = f"substr({place}, {_LEAP_SECOND_AT}, 2) = '60'"
    before = f"substr({place}, 1, {_LEAP_SECOND_AT - 1}) || '59' || substr({place}, {_LEAP_SECOND_AT + 2})"
    plain = f"upper(CASE WHEN {is_leap} THEN {before} ELSE {place} END)"
    moment = f"try_cast({plain} AS TIMESTAMPTZ) + to_seconds(CASE WHEN {is_leap} THEN 1 ELSE 0 END)"
    held = f"least(greatest({moment}, TIMESTAMPTZ '{_FIRST}'), TIMESTAMPTZ '{_LAST}')"
    return f"CASE WHEN {moment} IS NOT NULL THEN {held} END"


def _fields(version: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for schema in event_schemas(version).values():
        yield from _members(schema, ())


def _members(node: Mapping[str, Any], prefix: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for name, member in node.get("properties", {}).items():
        yield (*prefix, name), member
        yield from _members(member, (*prefix, name))
