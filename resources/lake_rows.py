"""Rows on their way into a lake table: conformed to its contract, sorted, inside the slices they claim.

Pure functions over Arrow; committing them is `resources.lake`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.errors import MixedTenantsError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    import polars as pl
    import pyarrow as pa

    from schemas import TableSchema


def conformed(rows: pa.Table | pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The rows as Arrow, with exactly the schema's columns, types and order."""
    import pyarrow as pa  # noqa: PLC0415 - reading needs no conversion

    arrow = rows if isinstance(rows, pa.Table) else rows.to_arrow()
    return arrow.select(schema.names).cast(schema)


def sorted_rows(rows: pa.Table, contract: TableSchema) -> pa.Table:
    """The rows in the table's sort order, which PyIceberg does not make by itself."""
    return rows.sort_by([(column, "ascending") for column in contract.sort])


def sorted_parts(rows: pa.Table | Iterable[pa.Table], contract: TableSchema) -> Iterable[pa.Table]:
    """The rows as parts in the table's sort order; what comes in parts has it already."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    return [sorted_rows(rows, contract)] if isinstance(rows, pa.Table) else rows


def assert_inside(rows: pa.Table, contract: TableSchema, tenant_id: str, dates: Sequence[dt.date]) -> None:
    """Nothing, when every row is the tenant's and of these dates.

    Raises:
        MixedTenantsError: a row lies outside.
    """
    column = contract.slice_date_column or "event_date"
    tenants: set[Any] = set(rows["tenant_id"].unique().to_pylist())
    outside: set[Any] = set(rows[column].unique().to_pylist()) - set(dates)
    if tenants - {tenant_id} or outside:
        raise MixedTenantsError(
            f"{contract.name}: a write of tenant {tenant_id} holds rows of {sorted(tenants)} and dates "
            f"{sorted(outside)} outside its slices; nothing was written"
        )
