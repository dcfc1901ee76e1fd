"""Loaders of the language-neutral contracts in this folder: event schemas, table schemas, OpenAPI documents.

Only reading and shaping of the files belongs here; validation is the door's, tables are the lake's. What may
change between versions is `compatibility`'s, what every schema must hold is `lint`'s, what was released is
`released`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from resources.errors import ContractError

SCHEMAS_ROOT = Path(__file__).resolve().parent
EVENTS_ROOT = SCHEMAS_ROOT / "events"


@dataclass(frozen=True)
class Column:
    """One column of a lake table; `type` is an Iceberg primitive's name."""

    id: int
    name: str
    type: str
    required: bool
    doc: str


@dataclass(frozen=True)
class TableSchema:
    """A lake table's contract: columns, partition spec as (column, transform), sort order, properties."""

    name: str
    description: str
    columns: tuple[Column, ...]
    partition: tuple[tuple[str, str], ...]
    sort: tuple[str, ...]
    properties: dict[str, str]

    @property
    def slice_date_column(self) -> str | None:
        """The date column of tables that are partitioned by tenant and date, else None."""
        identity = [column for column, transform in self.partition if transform == "identity"]
        return identity[1] if len(identity) > 1 else None


@cache
def event_versions() -> tuple[str, ...]:
    """The contract versions there are, oldest first."""
    names = [path.name for path in EVENTS_ROOT.iterdir() if path.name[:1] == "v" and path.name[1:].isdigit()]
    return tuple(sorted(names, key=lambda name: int(name[1:])))


def event_schema_paths(version: str) -> dict[str, Path]:
    """Event type → its JSON Schema file. A version's folder holds what it changes; the rest is the one before's.

    Raises:
        ContractError: there is no such version.
    """
    versions = event_versions()
    if version not in versions:
        raise ContractError(f"there is no contract version {version}: choose one of {', '.join(versions)}")
    paths: dict[str, Path] = {}
    for name in versions[: versions.index(version) + 1]:
        paths |= {path.stem: path for path in (EVENTS_ROOT / name).glob("*.json")}
    return dict(sorted(paths.items()))


@cache
def event_schemas(version: str = "v1") -> dict[str, dict[str, Any]]:
    """Event type → its JSON Schema (2020-12)."""
    return {name: json.loads(path.read_text()) for name, path in event_schema_paths(version).items()}


@cache
def table_schemas() -> dict[str, TableSchema]:
    """Table name (`raw.events`) → its contract."""
    return {path.stem: _table_schema(path) for path in sorted((SCHEMAS_ROOT / "tables").glob("*.json"))}


def _table_schema(path: Path) -> TableSchema:
    document = json.loads(path.read_text())
    return TableSchema(
        name=document["name"],
        description=document["description"],
        columns=tuple(Column(**column) for column in document["columns"]),
        partition=tuple((field["column"], field["transform"]) for field in document["partition"]),
        sort=tuple(document["sort"]),
        properties=document["properties"],
    )
