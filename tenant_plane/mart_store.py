"""The tenant's marts: one Parquet file per (mart, date), replaced whole, read by SQL with DuckDB.

Belongs here: where files lie and how they are read. What a file may hold is `mart_contract`; what the
dashboard computes is `reports`.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from tenant_plane.database import mart_slices, now_ms, replace_row
from tenant_plane.files import replace_atomically
from tenant_plane.mart_contract import MART_SCHEMAS, Slice, checked_table
from tenant_plane.push import PushResult

Row = dict[str, object]

# One dashboard answer over 180 daily files of 200 rows takes about 30 ms of one thread; two threads and
# 512 MB leave room for the other planes of the same machine.
DUCKDB_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_file_cache": False,  # it keys by path and time: a replaced file must never be remembered
}


@dataclass(frozen=True)
class StoredSlice:
    """One (mart, date) that is there."""

    mart: str
    date: dt.date
    rows: int
    pushed_at_ms: int


class MartStore:
    """Marts of one tenant under `home/marts/<mart>/date=<d>/data.parquet`."""

    def __init__(self, home: Path, tenant_id: str, engine: sa.Engine, *, max_unpacked_bytes: int) -> None:
        self._root = home / "marts"
        self._tenant_id = tenant_id
        self._engine = engine
        self._max_unpacked_bytes = max_unpacked_bytes
        self._connecting = threading.Lock()
        self._duckdb: duckdb.DuckDBPyConnection | None = None

    def put(self, mart: str, date: dt.date, body: bytes) -> PushResult:
        """Check a pushed file and put it in the place of the slice's earlier one.

        Raises:
            ContractError: the file is not this mart of this date.
            AuthorizationError: the file holds another tenant's rows.
        """
        slice_ = Slice(self._tenant_id, mart, date)
        table = checked_table(body, slice_, max_unpacked_bytes=self._max_unpacked_bytes)
        replace_atomically(self._path(mart, date), parquet_bytes(table))
        with self._engine.begin() as connection:
            replaced = replace_row(
                connection,
                mart_slices,
                mart=mart,
                event_date=date,
                rows=table.num_rows,
                pushed_at_ms=now_ms(),
            )
        return PushResult(table.num_rows, replaced)

    def slices(self) -> list[StoredSlice]:
        """Every stored (mart, date), ordered."""
        query = sa.select(mart_slices).order_by(mart_slices.c.mart, mart_slices.c.event_date)
        with self._engine.connect() as connection:
            return [
                StoredSlice(row.mart, row.event_date, row.rows, row.pushed_at_ms)
                for row in connection.execute(query)
            ]

    def query(
        self,
        sql: str,
        mart: str,
        start: dt.date,
        end: dt.date,
        parameters: Mapping[str, object] | None = None,
    ) -> list[Row]:
        """Rows of `sql` over the mart's stored slices from `start` to `end`, both included.

        Args:
            sql: a constant statement that reads `slices`, a relation with the mart's columns.
            mart: a name of `MART_SCHEMAS`.
            start: first date.
            end: last date.
            parameters: values of the statement's `$name`s.
        """
        cursor = self._execute(sql, mart, start, end, parameters or {})
        try:
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def pages(
        self, mart: str, start: dt.date, end: dt.date, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[list[tuple[object, ...]]]:
        """The mart's rows in a fixed order, in chunks; moments as RFC 3339 text, the rest as it is."""
        columns = ", ".join(_select(field) for field in MART_SCHEMAS[mart])
        sql = f"SELECT {columns} FROM slices ORDER BY ALL LIMIT $limit OFFSET $offset"  # noqa: S608 - constants
        cursor = self._execute(sql, mart, start, end, {"limit": limit, "offset": offset})
        try:
            while chunk := cursor.fetchmany(1000):
                yield chunk
        finally:
            cursor.close()

    def count(self, mart: str, start: dt.date, end: dt.date) -> int:
        """How many rows the mart has from `start` to `end`."""
        return sum(s.rows for s in self.slices() if s.mart == mart and start <= s.date <= end)

    def has(self, mart: str, date: dt.date) -> bool:
        """Whether the mart's slice of that date was pushed, with rows or without."""
        return any(s.mart == mart and s.date == date for s in self.slices())

    def latest_date(self, mart: str) -> dt.date | None:
        """The newest date of a mart that holds rows; none before the first push."""
        return max((s.date for s in self.slices() if s.mart == mart and s.rows), default=None)

    def stored_bytes(self, mart: str) -> int:
        """What the mart's files take on disk."""
        return sum(path.stat().st_size for path in (self._root / mart).glob("date=*/data.parquet"))

    def close(self) -> None:
        """Close DuckDB."""
        if self._duckdb is not None:
            self._duckdb.close()

    def _path(self, mart: str, date: dt.date) -> Path:
        return self._root / mart / f"date={date.isoformat()}" / "data.parquet"

    def _execute(
        self, sql: str, mart: str, start: dt.date, end: dt.date, parameters: Mapping[str, object]
    ) -> duckdb.DuckDBPyConnection:
        files = [self._path(mart, s.date) for s in self.slices() if s.mart == mart and start <= s.date <= end]
        statement = f"WITH slices AS (SELECT * FROM read_parquet($files, hive_partitioning = false)) {sql}"  # noqa: S608 - constants
        every = {"files": [str(path) for path in [self._empty(mart), *files]], **parameters}
        return self._cursor().execute(statement, every)

    def _empty(self, mart: str) -> Path:
        """A file of the mart's columns and no rows: with it, a mart without slices reads as empty."""
        path = self._root / mart / "columns.parquet"
        if not path.exists():
            replace_atomically(path, parquet_bytes(MART_SCHEMAS[mart].empty_table()))
        return path

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._connecting:
            if self._duckdb is None:
                self._duckdb = duckdb.connect(":memory:", config=DUCKDB_SETTINGS)
            return self._duckdb.cursor()


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _select(field: pa.Field[Any]) -> str:
    if pa.types.is_timestamp(field.type):
        return f"strftime({field.name} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS {field.name}"
    return str(field.name)
