"""The project's real mart SQL over a frame, in this process: no Dagster, no dbt process, no lake, no server.

For golden cases, property tests and `unmogrowp bench attribution`. dbt renders the models (`mart_rendering`), an
in-process chDB runs them over a table shaped like clean.events, slice by slice as in production. Only the swap
differs: delete and insert here, REPLACE PARTITION there (tests/integration/test_marts.py covers that one).
"""

from __future__ import annotations

import datetime as dt
import io
import re
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from assets.marts import dbt_vars
from assets.partitions import RunSlices
from assets.skan_postbacks import SKAN_POSTBACKS
from benchmarks.mart_rendering import (
    DATABASE,
    SENTINEL_FIRST,
    SENTINEL_LAST,
    SENTINEL_TENANT,
    MartTable,
    RenderedModel,
    render,
    tables,
)
from resources.errors import PermanentError
from resources.rules import DEFAULT_RULES, RuleSet
from schemas import table_schemas

if TYPE_CHECKING:
    from types import TracebackType

CLEAN_EVENTS = "lab.clean_events"
PYTHON_TABLES = (SKAN_POSTBACKS,)  # what models read that no model makes; empty until `insert`
ROWS_PER_INSERT = 500_000  # one Arrow stream is in memory twice while it goes in: some 300 MB of events
_TENANT = re.compile(r"[a-z][a-z0-9_]{1,30}")
_POLARS_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "date": pl.Date(),
    "long": pl.Int64(),
    "timestamptz": pl.Datetime("us", "UTC"),
}
# what icebergLocal says of the same columns
_CLICKHOUSE_TYPES = {
    "string": "String",
    "date": "Date32",
    "long": "Int64",
    "timestamptz": "DateTime64(6, 'UTC')",
}


class LabError(PermanentError):
    """A model or a frame that the lab cannot take; the message names the model and says what ClickHouse said."""


class MartLab:
    """Marts over frames; one at a time per process (the engine serves one directory), so close it.

    `seconds` and `cpu_seconds` hold what each model's query took, summed over the builds since they were last cleared.
    """

    def __init__(self, directory: Path) -> None:
        import chdb  # noqa: PLC0415 - the engine is loaded where it is used

        directory.mkdir(parents=True, exist_ok=True)
        try:
            self._connection: Any = chdb.connect(f"{directory.resolve()}?timezone=UTC")
        except RuntimeError as error:
            raise LabError(f"close the other MartLab of this process first ({error})") from error
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._made: set[str] = set()
        self.execute("set max_partitions_per_insert_block = 0")  # worlds of many tenants in one frame
        self.execute("create database if not exists lab")
        self.execute(f"create database if not exists {DATABASE}")
        self._create_clean_events()
        for python_table in PYTHON_TABLES:
            self.execute(python_table.create_sql(f"{DATABASE}.{python_table.name}"))

    def put(self, events: pl.DataFrame, *, append: bool = False) -> None:
        """Make these the clean events, or add them: columns of clean.events, missing optional ones are null.

        Raises:
            LabError: a column that clean.events does not have, or a required one is missing.
        """
        frame = as_clean_events(events)
        if not append:
            self.execute(f"truncate table {CLEAN_EVENTS}")
        for part in frame.iter_slices(ROWS_PER_INSERT):
            self.insert(CLEAN_EVENTS, part)

    def build(
        self,
        tenant: str,
        first_date: dt.date,
        last_date: dt.date,
        rules: RuleSet = DEFAULT_RULES,
        models: Collection[str] | None = None,
        *,
        currency: str = "USD",
        blocked_ip_pseudonyms: Sequence[str] = (),
        with_parents: bool = True,
        against: RuleSet | None = None,
    ) -> None:
        """Replace one tenant's dates of these models and of those they read (all when none are named), in order.

        `against` is the rule set that `attribution_diff` compares with.

        Raises:
            LabError: no such model, or ClickHouse refuses one.
        """
        if not _TENANT.fullmatch(tenant):
            raise LabError(f"{tenant!r} is no tenant id")
        for table in tables().values():
            self._ensure(table)  # a model may read a mart that this build does not make
        variables = lab_variables(rules, currency=currency, blocked_ip_pseudonyms=blocked_ip_pseudonyms)
        if against is not None:
            variables["against_hash"] = against.content_hash
        for model in render(variables, models, with_parents=with_parents):
            if model.is_view:
                self._create_view(model)
            else:
                keys = {column: variables[name] for column, name in tables()[model.name].slice_keys}
                self._replace(model, tenant, first_date, last_date, keys)

    def mart(self, name: str, tenant: str | None = None) -> pl.DataFrame:
        """A mart's rows, of one tenant or all, ordered by every column so that two builds compare equal."""
        where = f" where tenant_id = '{tenant}'" if tenant else ""
        return self.query(f"select * from {DATABASE}.{name}{where} order by all")  # noqa: S608 - names of our own marts

    def query(self, sql: str) -> pl.DataFrame:
        """Rows of any query; the marts are in database `marts`."""
        return pl.read_ipc_stream(io.BytesIO(self.execute(sql, "ArrowStream")))

    def execute(self, sql: str, output_format: str = "TabSeparated") -> bytes:
        """Run a statement.

        Raises:
            LabError: what ClickHouse answers.
        """
        try:
            return bytes(self._connection.query(sql, output_format).bytes() or b"")
        except RuntimeError as error:  # chdb.ChdbError is one
            raise LabError(str(error).partition(" In scope ")[0]) from None  # the scope is the whole query

    def insert(self, table: str, frame: pl.DataFrame) -> None:
        """Add a frame's rows to a table whose columns it names.

        Raises:
            LabError: the table refuses them, or some did not come in (the engine may say nothing then).
        """
        before = self._count(table)
        stream = io.BytesIO()
        frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        columns = ", ".join(f"`{name}`" for name in frame.columns)
        try:
            with self._connection.send_insert(f"insert into {table} ({columns})", "ArrowStream") as inserter:
                inserter.append(stream.getvalue())
                inserter.finish()
        except RuntimeError as error:
            raise LabError(f"{table} refuses the rows: {error}") from error
        if (added := self._count(table) - before) != frame.height:
            raise LabError(f"{table} took {added} of {frame.height} rows")

    def clear(self) -> None:
        """Empty the clean events and every mart."""
        filled = sorted(self._made | {table.name for table in PYTHON_TABLES})
        for table in (CLEAN_EVENTS, *(f"{DATABASE}.{name}" for name in filled)):
            self.execute(f"truncate table {table}")

    def close(self) -> None:
        """Let go of the engine and its directory."""
        with suppress(RuntimeError):  # closing twice is closed
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _count(self, table: str) -> int:
        return int(self.execute(f"select count() from {table}"))  # noqa: S608 - tables are ours

    def _replace(
        self,
        model: RenderedModel,
        tenant: str,
        first_date: dt.date,
        last_date: dt.date,
        keys: Mapping[str, str],
    ) -> None:
        table = f"{DATABASE}.{model.name}"
        names = ", ".join(f"`{name}`" for name, _ in tables()[model.name].columns)
        values = ({"tenant_id": tenant} | dict(keys)).items()
        in_slice = " and ".join(f"{column} = '{value}'" for column, value in values)
        in_slice += f" and event_date between '{first_date}' and '{last_date}'"
        held = f"select distinct _partition_id from {table} where {in_slice}"  # noqa: S608 - our own marts, a checked tenant
        for partition in self.execute(held).decode().split():  # other months cost nothing, as in production
            self.execute(f"delete from {table} in partition id '{partition}' where {in_slice}")  # noqa: S608 - as above
        sql = model.sql_for(tenant, first_date, last_date)
        settings = f" settings {model.query_settings}" if model.query_settings else ""
        started, cpu_before_s = time.perf_counter(), time.process_time()
        try:
            self.execute(f"insert into {table} ({names}) select {names} from ({sql}\n){settings}")  # noqa: S608 - dbt made the SQL
        except LabError as error:
            raise LabError(f"model {model.name}: {error}") from None
        self.seconds[model.name] = self.seconds.get(model.name, 0.0) + time.perf_counter() - started
        cpu_s = time.process_time() - cpu_before_s
        self.cpu_seconds[model.name] = self.cpu_seconds.get(model.name, 0.0) + cpu_s

    def _create_view(self, view: RenderedModel) -> None:
        """Make a view; one over a table that only a Python asset fills waits until a test has made that table."""
        try:
            self.execute(f"create or replace view {DATABASE}.{view.name} as {view.sql}")
        except LabError as error:
            if "UNKNOWN_TABLE" not in str(error):
                raise LabError(f"view {view.name}: {error}") from None

    def _ensure(self, table: MartTable) -> None:
        """Make a model's empty table as its contract says."""
        if table.name in self._made:
            return
        columns = ", ".join(f"`{name}` {data_type}" for name, data_type in table.columns)
        self.execute(
            f"create table if not exists {DATABASE}.{table.name} ({columns}) engine = {table.engine}"
            f" partition by ({table.partition_by}) order by {table.order_by}"
        )
        self._made.add(table.name)

    def _create_clean_events(self) -> None:
        columns = ", ".join(
            f"`{column.name}` {_CLICKHOUSE_TYPES[column.type]}"
            if column.required
            else f"`{column.name}` Nullable({_CLICKHOUSE_TYPES[column.type]})"
            for column in table_schemas()["clean.events"].columns
        )
        self.execute(
            f"create or replace table {CLEAN_EVENTS} ({columns}) engine = MergeTree"
            " order by (tenant_id, event_date, event_type)"
        )


def lab_variables(
    rules: RuleSet, *, currency: str = "USD", blocked_ip_pseudonyms: Sequence[str] = ()
) -> dict[str, Any]:
    """The dbt vars of a run under these rules, with sentinels for tenant and dates."""
    sentinels = RunSlices(SENTINEL_TENANT, (SENTINEL_FIRST, SENTINEL_LAST))
    return dbt_vars(
        sentinels,
        clean_events=CLEAN_EVENTS,
        rules=rules,
        currency=currency,
        blocked_ip_pseudonyms=blocked_ip_pseudonyms,
    )


def as_clean_events(events: pl.DataFrame) -> pl.DataFrame:
    """The frame with clean.events' columns and types: `event_date` made from `event_time`, gaps filled.

    `received_at` is the event's time where it is missing, `land_seq` the row's number, `app_id` empty.

    Raises:
        LabError: a column that clean.events does not have, or a required one is missing.
    """
    columns = {column.name: column for column in table_schemas()["clean.events"].columns}
    if unknown := set(events.columns) - columns.keys():
        raise LabError(f"clean.events has no column {', '.join(sorted(unknown))}")
    if missing := {"tenant_id", "event_id", "event_type", "event_time"} - set(events.columns):
        raise LabError(f"the frame lacks {', '.join(sorted(missing))}")
    fillings = {
        "event_date": pl.col("event_time").dt.date(),
        "received_at": pl.col("event_time"),
        "land_seq": pl.int_range(pl.len(), dtype=pl.Int64),
        "app_id": pl.lit(""),
    }
    return events.with_columns(
        *(filling.alias(name) for name, filling in fillings.items() if name not in events.columns)
    ).select(
        (pl.col(name) if name in events.columns or name in fillings else pl.lit(None))
        .cast(_POLARS_TYPES[column.type])
        .alias(name)
        for name, column in columns.items()
    )
