"""What every event schema must hold, so that door, lander and lake can rely on it. Pure: documents in, problems out.

Changes against the release are `compatibility`'s; this looks at one version alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

from schemas import TableSchema, event_schema_paths, event_schemas, table_schemas

Schema = Mapping[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PII_KINDS = frozenset({"device_id", "user_id", "ip", "user_agent"})
# Without these an event has no place in the lake: tenant, slice, and the id it counts once by.
REQUIRED_EVERYWHERE = ("eventId", "tenantId", "timestamp")
# What `compatibility` compares, `reasons` words and the differential test covers. A typo is in none of them.
KEYWORDS = frozenset(
    {"$schema", "$id", "title", "description", "examples", "type", "properties", "required"}
    | {"additionalProperties", "const", "enum", "anyOf", "format", "pattern"}
    | {"minLength", "maxLength", "minimum", "maximum", "x-pii", "x-lake"}
)
FORMATS = frozenset({"uuid", "date-time", "ipv4", "ipv6"})
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1


class Problem(NamedTuple):
    """Something wrong with one event type's schema, at a place in its events."""

    event_type: str
    pointer: str
    reason: str


def version_problems(version: str) -> list[Problem]:
    """Everything wrong with a version's schemas as they lie in the tree; each is reported where its file is."""
    schemas, paths = event_schemas(version), event_schema_paths(version)
    own = {name: schema for name, schema in schemas.items() if paths[name].parent.name == version}
    problems = [problem for name, schema in own.items() for problem in schema_problems(name, version, schema)]
    return [*problems, *clashes(schemas)]


def schema_problems(event_type: str, version: str, schema: Schema) -> list[Problem]:
    """Everything wrong with one schema."""
    if schema.get("$schema") != DIALECT or not jsonschema_rs.meta.is_valid(dict(schema)):
        return [Problem(event_type, "", f"it is no valid JSON Schema of {DIALECT}")]
    found = [
        *_head_problems(event_type, version, schema),
        *_node_problems(schema, ""),
        *_example_problems(schema),
    ]
    return [Problem(event_type, pointer, reason) for pointer, reason in found]


_Found = Iterator[tuple[str, str]]


def _head_problems(event_type: str, version: str, schema: Schema) -> _Found:
    expected = {
        "$id": f"urn:unmogrowp:events:{version}:{event_type}",
        "title": event_type,
        "type": "object",
        "additionalProperties": False,
    }
    for keyword, value in expected.items():
        if schema.get(keyword) != value:
            yield "", f"{keyword} must be {value!r}"
    properties = schema.get("properties", {})
    if properties.get("eventType", {}).get("const") != event_type:
        yield "/eventType", f"const must be {event_type!r}"
    for name in REQUIRED_EVERYWHERE:
        if name not in schema.get("required", ()):
            yield f"/{name}", "every type requires it"


def _node_problems(node: Schema, pointer: str) -> _Found:
    for keyword in sorted(node.keys() - KEYWORDS):
        yield pointer, f"{keyword} is not a keyword these contracts use"
    if "format" in node and node["format"] not in FORMATS:
        yield pointer, f"format {node['format']} is not one of {', '.join(sorted(FORMATS))}"
    if "x-pii" in node:
        yield from _pii_problems(node, pointer)
    if "x-lake" in node:
        yield from _column_problems(node, pointer)
    properties = node.get("properties", {})
    if properties and node.get("additionalProperties") is not False:
        yield pointer, "an object with fields of ours must have additionalProperties false"
    for name in node.get("required", ()):
        if properties and name not in properties:
            yield f"{pointer}/{name}", "it is required and not described"
    for name, member in properties.items():
        yield from _node_problems(member, f"{pointer}/{name}")
    for alternative in node.get("anyOf", ()):
        yield from _node_problems(alternative, pointer)


def _pii_problems(node: Schema, pointer: str) -> _Found:
    if node["x-pii"] not in PII_KINDS:
        yield pointer, f"x-pii {node['x-pii']} is not one of {', '.join(sorted(PII_KINDS))}"
    if node.get("type") != "string":
        yield pointer, "x-pii is for strings: only they have pseudonyms"


def _column_problems(node: Schema, pointer: str) -> _Found:
    table: TableSchema = table_schemas()["clean.events"]
    column = next((column for column in table.columns if column.name == node["x-lake"]), None)
    if column is None:
        yield pointer, f"x-lake {node['x-lake']} is no column of {table.name}"
    elif column.type not in _column_types(node):
        yield pointer, f"its values do not fit {table.name}.{column.name}, which is {column.type}"
    if node.get("type") == "integer":
        low, high = node.get("minimum", float("-inf")), node.get("maximum", float("inf"))
        if not _LONG_MIN <= low <= high <= _LONG_MAX:
            yield pointer, "minimum and maximum must keep it within 64 bits: the column holds no more"


def _column_types(node: Schema) -> tuple[str, ...]:
    """Column types that hold every value of a node."""
    if node.get("type") == "integer":
        return ("long",)
    if node.get("type") == "string":
        return ("timestamptz", "string") if node.get("format") == "date-time" else ("string",)
    if node.get("type") == "object" and "properties" not in node:
        return ("string",)  # as JSON
    members = node.get("enum", [node["const"]] if "const" in node else [])
    return ("string",) if members and all(isinstance(member, str) for member in members) else ()


def _example_problems(schema: Schema) -> _Found:
    examples = schema.get("examples", [])
    if not examples:
        yield "", "it has no examples: the contract tests are made from them"
    validator = jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
    for number, example in enumerate(examples):
        for error in validator.iter_errors(example):
            at = "".join(f"/{part}" for part in error.instance_path)
            yield at, f"example {number} does not validate: {error.message}"
    fields = {name for example in examples for name in example}
    for name in sorted(set(schema.get("required", ())) - fields):
        yield f"/{name}", "no example shows it"


def clashes(schemas: Mapping[str, Schema]) -> Iterator[Problem]:
    """Fields that cannot be read together: the lake parses all types of a version with one structure."""
    groups: dict[str, bool] = {}
    for event_type, schema in schemas.items():
        columns: dict[str, str] = {}
        for pointer, member in _fields(schema, ""):
            is_group = "properties" in member
            if groups.setdefault(pointer, is_group) is not is_group:
                yield Problem(event_type, pointer, "it is an object in one type and a value in another")
            column = member.get("x-lake")
            if column is not None and columns.setdefault(column, pointer) != pointer:
                yield Problem(
                    event_type, pointer, f"x-lake {column} is filled from {columns[column]} already"
                )


def _fields(node: Schema, pointer: str) -> Iterator[tuple[str, Schema]]:
    for name, member in node.get("properties", {}).items():
        yield f"{pointer}/{name}", member
        yield from _fields(member, f"{pointer}/{name}")
