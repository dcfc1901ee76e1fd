"""`unmogrowp sql` and `unmogrowp lake`: read the marts in ClickHouse, the lake through DuckDB."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
import typer

from cli.output import console, emit, fail, table
from cli.stack import JsonOption
from resources.clickhouse import ClickHouse
from resources.embedded.stack import running_stack
from resources.settings import load_settings
from schemas import table_schemas

Sql = Annotated[str, typer.Argument(help="one SELECT")]
ROWS_SHOWN = 50


def sql_command(query: Sql, as_json: JsonOption = False) -> None:
    """Query the marts in ClickHouse."""
    settings = load_settings()
    stack = running_stack(settings)
    if stack is not None:
        settings = settings.with_changes(**stack.ports)
    show(pl.DataFrame(ClickHouse.from_settings(settings).query_arrow(query)), as_json)


def lake_command(query: Sql, as_json: JsonOption = False) -> None:
    """Query the lake with DuckDB; tables are named as in Iceberg, e.g. clean.events."""
    import duckdb  # noqa: PLC0415 - only this command needs it

    from resources.lake import Lake  # noqa: PLC0415 - 1.4 CPU s of import

    lake = Lake(load_settings())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in table_schemas():
            schema, short = name.split(".")
            if name in query:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                connection.register(f"{schema}_{short}", lake.table(name).scan().to_arrow_batch_reader())
                view = f"CREATE VIEW {schema}.{short} AS SELECT * FROM {schema}_{short}"  # noqa: S608 - our own names
                connection.execute(view)
        try:
            show(pl.DataFrame(connection.sql(query).to_arrow_table()), as_json)
        except duckdb.Error as error:
            fail(f"DuckDB refuses the query: {error}")


def show(frame: pl.DataFrame, as_json: bool) -> None:
    """Rows as a table, or as JSON."""
    payload = {"columns": frame.columns, "rows": frame.to_dicts()}

    def render(_: Any) -> None:
        shown = frame.head(ROWS_SHOWN)
        console.print(table(f"{frame.height:,} rows", frame.columns, shown.rows()))
        if frame.height > ROWS_SHOWN:
            console.print(f"… {frame.height - ROWS_SHOWN:,} more; --json prints all")

    emit(payload, as_json, render)
