"""Replacing one tenant's dates in a ClickHouse table that Python fills, atomically for readers.

The same swap as the dbt materialization `slice_table` (`dbt_project/macros/slice_table.sql`, ADR 0003): a side table
gets the new rows and the month's other days, then REPLACE PARTITION moves it in. What the rows say is the asset's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from resources.errors import ContractError, MixedTenantsError
from resources.registry.records import TENANT_ID_PATTERN

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from resources.clickhouse import ClickHouse

_NULLABLE = re.compile(r"Nullable\((.*)\)")
_ARROW_TYPES: dict[str, pa.DataType] = {
    "String": pa.string(),
    "Date": pa.date32(),
    "DateTime64(3, 'UTC')": pa.timestamp("ms", tz="UTC"),
    "Int64": pa.int64(),
    "UInt8": pa.uint8(),
    "UInt16": pa.uint16(),
    "UInt64": pa.uint64(),
    "Float64": pa.float64(),
    "Bool": pa.bool_(),
    "Array(String)": pa.list_(pa.string()),
}


@dataclass(frozen=True)
class SliceTable:
    """A mart that Python fills: columns with their ClickHouse types, in order, and what rows are sorted by.

    `tenant_id String` and `event_date Date` are among the columns; they are the slice.
    """

    name: str
    columns: Mapping[str, str]
    order_by: Sequence[str]
    comment: str

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow: what `replace_slice` takes."""
        return pa.schema([_field(name, kind) for name, kind in self.columns.items()])

    def create_sql(self, name: str) -> str:
        """CREATE TABLE of this mart, or of its side table."""
        columns = ", ".join(f"{column} {kind}" for column, kind in self.columns.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = MergeTree() "
            f"PARTITION BY (tenant_id, toYYYYMM(event_date)) ORDER BY ({', '.join(self.order_by)}) "
            f"COMMENT '{self.comment}'"
        )


def _field(name: str, kind: str) -> pa.Field[pa.DataType]:
    nullable = _NULLABLE.fullmatch(kind)
    return pa.field(name, _ARROW_TYPES[nullable[1] if nullable else kind], nullable is not None)


def ensure_table(clickhouse: ClickHouse, table: SliceTable) -> None:
    """Make the table where it is missing, with the columns that a released version lacked."""
    clickhouse.command(table.create_sql(table.name))
    for column, kind in table.columns.items():
        clickhouse.command(f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {column} {kind}")


def replace_slice(
    clickhouse: ClickHouse, table: SliceTable, tenant_id: str, dates: Sequence[dt.date], rows: pa.Table
) -> int:
    """Make `rows` the whole content of the tenant's dates, also when there are none; how many there are.

    A month of one tenant is swapped at once: readers see the old one or the new one. A crash before the swap
    leaves the old one, doing it twice equals doing it once. Calls for one tenant and table must not overlap.

    Raises:
        MixedTenantsError: a row is another tenant's.
        ContractError: a row lies on another date, the tenant id is malformed, or a column is missing.
    """
    _check(table, tenant_id, dates, rows)
    ensure_table(clickhouse, table)
    side = _side_name(table, tenant_id)
    clickhouse.command(f"DROP TABLE IF EXISTS {side}")
    clickhouse.command(table.create_sql(side))
    clickhouse.insert_arrow(side, rows.select(list(table.columns)))
    listed = ", ".join(f"'{day.isoformat()}'" for day in sorted(set(dates)))
    for month in sorted({day.year * 100 + day.month for day in dates}):
        _swap_month(clickhouse, table, tenant_id, month, listed)
    clickhouse.command(f"DROP TABLE IF EXISTS {side}")
    return int(rows.num_rows)


def _side_name(table: SliceTable, tenant_id: str) -> str:
    return f"{table.name}__slice_{tenant_id}"


def _swap_month(
    clickhouse: ClickHouse, table: SliceTable, tenant_id: str, month: int, listed_dates: str
) -> None:
    side = _side_name(table, tenant_id)
    of_month = f"tenant_id = '{tenant_id}' AND toYYYYMM(event_date) = {month}"
    names = ", ".join(table.columns)
    clickhouse.command(
        f"INSERT INTO {side} ({names}) SELECT {names} FROM {table.name} "  # noqa: S608 - checked above, and ours
        f"WHERE {of_month} AND event_date NOT IN ({listed_dates})"
    )
    counted = clickhouse.query_rows(f"SELECT count() AS n FROM {side} WHERE {of_month}")  # noqa: S608 - as above
    partition = f"('{tenant_id}', {month})"
    if counted[0]["n"]:
        clickhouse.command(f"ALTER TABLE {table.name} REPLACE PARTITION {partition} FROM {side}")
    else:  # REPLACE refuses an empty source
        clickhouse.command(f"ALTER TABLE {table.name} DROP PARTITION {partition}")


def _check(table: SliceTable, tenant_id: str, dates: Sequence[dt.date], rows: pa.Table) -> None:
    if re.fullmatch(TENANT_ID_PATTERN, tenant_id) is None:
        raise ContractError(f"{table.name}: {tenant_id!r} is no tenant id; name one tenant")
    missing = sorted(set(table.columns) - set(rows.column_names))
    if missing:
        raise ContractError(f"{table.name} of tenant {tenant_id}: the rows lack {', '.join(missing)}")
    strangers = sorted({str(tenant) for tenant in rows["tenant_id"].unique().to_pylist()} - {tenant_id})
    if strangers:
        raise MixedTenantsError(
            f"{table.name} of tenant {tenant_id}: rows of {strangers} came with them; nothing was written"
        )
    outside = [day for day in rows["event_date"].unique().to_pylist() if day not in dates]
    if outside:
        raise ContractError(
            f"{table.name} of tenant {tenant_id}: a row lies on {outside[0]}, which was not asked for; "
            "nothing was written"
        )
