"""From a world straight to the columns of `clean.events`: no HTTP, no lander, no pseudonyms' keys.

Every valid event once, delivered when it happened. Personal values stay readable tokens (an address as its /24),
equal where the lander's pseudonyms would be equal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from resources.pii import truncated_ip
from schemas import event_schemas, table_schemas
from simulator.events import EventColumns
from simulator.simulation import WorldName, draw_world

Path = tuple[str, ...]
_POLARS_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "date": pl.Date(),
    "long": pl.Int64(),
    "timestamptz": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class FrameWorld:
    """One tenant's clean events and the truth about them, by table."""

    tenant_id: str
    events: pl.DataFrame
    truth: dict[str, pl.DataFrame]


def simulate_frame(
    tenant_id: str, *, end_date: dt.date, days: int, seed: int, users: int, world: WorldName = "full"
) -> FrameWorld:
    """The world that `simulate` with `users_per_tenant` draws, as clean events: a minute becomes seconds."""
    drawn = draw_world(tenant_id, end_date=end_date, days=days, seed=seed, users=users, world=world)
    tables = {name: pl.DataFrame(table) for name, table in drawn.truth().items()}
    return FrameWorld(tenant_id, clean_events(tenant_id, drawn.groups), tables)


def clean_events(tenant_id: str, groups: Sequence[EventColumns]) -> pl.DataFrame:
    """Rows of `clean.events` with the columns that these events fill, in the order of their times."""
    rows = pl.concat([_group(group) for group in groups if len(group)], how="diagonal")
    rows = rows.sort("event_time", "event_id")
    return rows.select(
        pl.lit(tenant_id).alias("tenant_id"),
        pl.col("event_time").dt.date().alias("event_date"),
        pl.col("event_time").alias("received_at"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("land_seq"),
        pl.all(),
    )


def _group(group: EventColumns) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {
        "event_id": pl.Series(group.event_id.tolist(), dtype=pl.String),
        "event_type": pl.Series([group.event_type]).new_from_index(0, len(group)),
        "event_time": pl.Series(group.time_ms)
        .cast(pl.Datetime("ms", "UTC"))
        .cast(_POLARS_TYPES["timestamptz"]),
    }
    types = {column.name: column.type for column in table_schemas()["clean.events"].columns}
    for path, values in _leaves(group.fields):
        column, kind = _targets(group.event_type).get(path, ("", ""))
        if column:
            columns[column] = _column(types[column], _TOKENS[kind](values) if kind in _TOKENS else values)
    return pl.DataFrame(columns)


def _column(lake_type: str, values: Sequence[Any]) -> pl.Series:
    if lake_type == "timestamptz":
        return pl.Series(values, dtype=pl.String).str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.Series(values, dtype=_POLARS_TYPES[lake_type])


def _leaves(fields: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Path, Sequence[Any]]]:
    """Values by path; a nested object's members each on their own."""
    for name, values in fields.items():
        if len(values) and isinstance(values[0], dict):
            for member in values[0]:
                yield (name, member), [value[member] for value in values]
        else:
            yield (name,), values


@cache
def _targets(event_type: str) -> dict[Path, tuple[str, str]]:
    """Path of a property → its column in the lake and what kind of personal value it is."""
    found: dict[Path, tuple[str, str]] = {}
    for name, schema in event_schemas()[event_type]["properties"].items():
        members = schema.get("properties", {})
        for path, field in [
            ((name,), schema),
            *(((name, member), field) for member, field in members.items()),
        ]:
            if "x-lake" in field:
                found[path] = (field["x-lake"], field.get("x-pii", ""))
    return found


def _networks(addresses: Sequence[str]) -> list[str]:
    """What of addresses the lake would keep apart."""
    return [truncated_ip(address) for address in addresses]


_TOKENS: dict[str, Callable[[Sequence[Any]], list[str]]] = {"ip": _networks}
