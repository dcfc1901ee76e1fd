"""Parquet files of landed rows, written as the table's contract wants them, on their way into one commit.

PyIceberg's own append spends as long around the Parquet writer as in it (it filters the rows once per partition,
dictionary-encodes columns that never repeat, and keeps statistics of whole JSON bodies): 1.9 µs per row, this 0.9.
For tables partitioned by the day of one timestamp; every other write goes through PyIceberg.
"""

from __future__ import annotations

import datetime as dt
import uuid
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Transaction
from pyiceberg.transforms import DayTransform
from pyiceberg.typedef import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

# Columns whose values hardly repeat: a dictionary of them would be built, found useless and thrown away.
UNIQUE_COLUMNS_KEY = "unmogrowp.write.unique-columns"
ROW_GROUP_ROWS = 20_000  # a tenant's rows prune by row group
_EPOCH = dt.date(1970, 1, 1)


class AppendTransaction(Transaction):
    """A transaction that makes its metadata once for an append; PyIceberg's copies it for each of 12 questions.

    A copy takes 0.1 ms for each snapshot kept: 2 ms of CPU after 20 commits.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._during_append: TableMetadata | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The table's metadata as this transaction has changed it."""
        return self._during_append or super().table_metadata

    def append_data_files(self, files: Iterable[DataFile], summary: Mapping[str, str]) -> None:
        """Add files as one snapshot with this summary."""
        self._during_append = super().table_metadata
        try:
            with self.update_snapshot(snapshot_properties=dict(summary)).merge_append() as append:
                for file in files:
                    append.append_data_file(file)
        finally:
            self._during_append = None


def append_rows(
    tx: AppendTransaction, table: Table, parts: Iterable[pa.Table], summary: Mapping[str, str]
) -> None:
    """Append rows in this transaction, as one snapshot with this summary.

    Args:
        tx: the table's open transaction.
        table: the table.
        parts: the rows, each part behind the one before in the table's sort order; one at a time is in memory.
        summary: for the snapshot.
    """
    fields = table.spec().fields
    if len(fields) != 1 or not isinstance(fields[0].transform, DayTransform):
        tx.append(pa.concat_tables(parts), snapshot_properties=dict(summary))
        return
    files = write_data_files(table, parts)
    try:
        tx.append_data_files(files, summary)
    except OSError:  # the disk had room for the rows and none for the manifest: nothing refers to the files
        for file in files:
            with suppress(OSError):
                table.io.delete(file.file_path)
        raise


def write_data_files(table: Table, parts: Iterable[pa.Table]) -> list[DataFile]:
    """Write rows into one file per day; the files belong to nothing until they are committed.

    A write that fails leaves none: half a file per attempt would keep a full disk full.
    """
    column = table.schema().find_column_name(table.spec().fields[0].source_id)
    assert column is not None  # noqa: S101 - a partition field's source is a column of the table
    files: dict[dt.date, _DayFile] = {}
    with ExitStack() as written, ExitStack() as opened:
        for part in parts:
            for day, rows in _by_day(part, column):
                if day not in files:
                    files[day] = _DayFile(table, day)
                    written.callback(files[day].remove)
                    opened.enter_context(files[day])
                files[day].write(rows)
        opened.close()  # the end of a file may be what the disk has no room for
        written.pop_all()
    return [files[day].data_file() for day in sorted(files)]


def _by_day(rows: pa.Table, column: str) -> Iterator[tuple[dt.date, pa.Table]]:
    days: Any = rows[column].cast(pa.date32())
    unique: list[dt.date] = pc.unique(days).to_pylist()
    for day in sorted(unique):
        yield day, rows if len(unique) == 1 else rows.filter(pc.equal(days, pa.scalar(day, pa.date32())))


class _DayFile:
    """The Parquet file of one day while it is written. A context manager."""

    def __init__(self, table: Table, day: dt.date) -> None:
        self._table, self._day = table, day
        self._path = f"{table.location()}/data/{table.spec().fields[0].name}={day}/{uuid.uuid4()}.parquet"
        self._plan = compute_statistics_plan(table.schema(), table.properties)
        self._row_group_rows = int(table.properties.get("write.parquet.row-group-limit", ROW_GROUP_ROWS))
        self._open = ExitStack()

    def __enter__(self) -> Self:
        properties, names = self._table.properties, self._table.schema().column_names
        unique = properties.get(UNIQUE_COLUMNS_KEY, "").split(",")
        measured = {
            field_id
            for field_id, column in self._plan.items()
            if column.mode.type is not MetricModeTypes.NONE
        }
        stream: Any = self._open.enter_context(self._table.io.new_output(self._path).create())
        codec: Any = properties["write.parquet.compression-codec"]
        dictionaries: Any = [name for name in names if name not in unique]  # the stubs know a bool only
        self._schema = schema_to_pyarrow(self._table.schema())
        self._writer = self._open.enter_context(
            pq.ParquetWriter(
                stream,
                self._schema,
                compression=codec,
                compression_level=int(properties["write.parquet.compression-level"]),
                use_dictionary=dictionaries,
                write_statistics=[
                    field.name for field in self._table.schema().fields if field.field_id in measured
                ],
            )
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, rows: pa.Table) -> None:
        """Append rows as further row groups."""
        self._writer.write_table(rows.cast(self._schema), row_group_size=self._row_group_rows)

    def remove(self) -> None:
        """Take back what was written; it is not committed. Never raises: the reason for it is on its way."""
        with suppress(OSError):
            self._table.io.delete(self._path)

    def data_file(self) -> DataFile:
        """What a manifest says of the finished file."""
        schema = self._table.schema()
        statistics = data_file_statistics_from_parquet_metadata(
            self._writer.writer.metadata, self._plan, parquet_path_to_id_mapping(schema)
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self._path,
            file_format=FileFormat.PARQUET,
            partition=Record((self._day - _EPOCH).days),
            file_size_in_bytes=len(self._table.io.new_input(self._path)),
            sort_order_id=None,
            spec_id=self._table.spec().spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
