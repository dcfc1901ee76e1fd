"""From a landed event's JSON body to the typed columns of `clean.events`, driven by the schemas' `x-lake`.

One definition serves every event type: the union of their annotated properties. Only shapes are here;
which delivery counts is `assets.clean`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from schemas import event_schemas, table_schemas

# columns the lander has already typed in raw.events
ENVELOPE = ("tenant_id", "event_id", "event_type", "event_time", "event_date", "received_at", "land_seq")
DUCKDB_TYPES = {"string": "VARCHAR", "long": "BIGINT", "timestamptz": "VARCHAR"}


@cache
def lake_paths(version: str = "v1") -> dict[str, tuple[str, ...]]:
    """Column → path of property names in the body, for every `x-lake` property beside the envelope."""
    paths: dict[str, tuple[str, ...]] = {}
    for schema in event_schemas(version).values():
        _collect(schema["properties"], (), paths)
    return {column: path for column, path in paths.items() if column not in ENVELOPE}


def _collect(properties: dict[str, Any], prefix: tuple[str, ...], paths: dict[str, tuple[str, ...]]) -> None:
    for name, schema in properties.items():
        if "x-lake" in schema:
            paths[schema["x-lake"]] = (*prefix, name)
        if "properties" in schema:
            _collect(schema["properties"], (*prefix, name), paths)


def body_structure() -> str:
    """DuckDB `from_json` structure of the body's annotated properties."""
    tree: dict[str, Any] = {}
    types = {column.name: column.type for column in table_schemas()["clean.events"].columns}
    for column, path in lake_paths().items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = "JSON" if column in {"metadata", "postback"} else DUCKDB_TYPES[types[column]]
    return json.dumps(tree)


def typed_select() -> str:
    """SELECT list that makes the columns of clean.events, in order, from `event` (parsed body) and the envelope."""
    return ",\n".join(
        _expression(column.name, column.type) for column in table_schemas()["clean.events"].columns
    )


def _expression(column: str, column_type: str) -> str:
    if column in ENVELOPE:
        return column
    path = ".".join(f'"{name}"' for name in ("event", *lake_paths()[column]))
    if column == "app_id":
        return f"coalesce({path}, '') AS app_id"
    if column_type == "timestamptz":
        return f"try_cast({path} AS TIMESTAMPTZ) AS {column}"
    return f"CAST({path} AS {DUCKDB_TYPES[column_type]}) AS {column}"
