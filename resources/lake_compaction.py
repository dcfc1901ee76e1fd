"""Many small files of a partition become few sorted ones: the same rows, cheaper to plan and to prune.

A landed day is thousands of files of seconds each, and planning costs 57 µs per file; a tenant's rows are spread
over all of them. Compaction reads the small files of one partition, sorts them outside memory (DuckDB spills to
disk), writes files of OUTPUT_BYTES and replaces exactly the files it read, in one commit:

- exact: rows are copied whole; their number is compared before anything is committed, offsets stay;
- no reader sees half of it: the old files stay on disk until orphan removal, long after their last reader;
- live appends do not conflict: they add files, this replaces files. Where another commit came between, the same
  written files are committed again behind it (milliseconds);
- a slice that was rewritten meanwhile is left alone: one of the files it would replace is gone;
- crash-safe and idempotent: without the commit there are only orphans; with it too few small files are left
  for a second time.

Which tables, and when, is `resources.lake_maintenance`'s.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import WriteTask
from pyiceberg.transforms import DayTransform

from resources.errors import CommitConflictError, ContractError
from resources.lake_catalog import arrow_schema
from resources.lake_history import LAND_SEQ_KEY, OWN_KEYS_PREFIX
from schemas import table_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.typedef import Record

# Below this a file is small. A landing of 100,000 rows is 7 MB; OUTPUT_BYTES come out as 13 MB and more, so
# what compaction wrote is not small again.
SMALL_FILE_BYTES = 8 * 1024**2
MIN_SMALL_FILES = 8  # fewer cost under a millisecond of planning
OUTPUT_BYTES = 128 * 1024**2  # of Arrow, uncompressed: what is in memory at a time, about three times over
BATCH_ROWS = 20_000  # the row-group limit of raw.events
SORT_MEMORY = "256MB"  # beyond it DuckDB spills
# A lander commits every few seconds (every half when it catches up), an attempt takes 50 ms for a few files and
# about 1 s for the 17,000 of a day of 5 s landings. Waits grow by COMMIT_RETRY_WAIT_S, 4 s in all.
COMMIT_ATTEMPTS = 20
COMMIT_RETRY_WAIT_S = 0.02
COMPACTED_KEY = f"{OWN_KEYS_PREFIX}compacted"
EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Candidate:
    """The small files of one partition of a table, and the partition's name for people."""

    partition: Record
    label: str
    tasks: tuple[FileScanTask, ...]

    @property
    def rows(self) -> int:
        """Rows in those files."""
        return sum(task.file.record_count for task in self.tasks)

    @property
    def size_bytes(self) -> int:
        """Bytes of those files."""
        return sum(task.file.file_size_in_bytes for task in self.tasks)


@dataclass(frozen=True)
class Compaction:
    """What compacting one partition did; planning is of the whole table, before and after."""

    partition: str
    rows: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    planning_ms_before: float
    planning_ms_after: float
    seconds: float


def candidates(table: Table, today: dt.date) -> list[Candidate]:
    """Partitions of a loaded table with many small files, oldest first; days that still fill are left out."""
    contract = table_schemas()[".".join(table.name())]
    order = [column for column, _ in contract.partition]
    spec = table.spec()
    by_partition: dict[Record, list[FileScanTask]] = defaultdict(list)
    for task in table.scan().plan_files():
        file = task.file
        is_small = file.file_size_in_bytes < SMALL_FILE_BYTES and not task.delete_files
        if is_small and file.spec_id == spec.spec_id and _is_closed(table, file.partition, today):
            by_partition[file.partition].append(task)
    found = [
        Candidate(partition, _label(table, partition), tuple(tasks))
        for partition, tasks in by_partition.items()
        if len(tasks) >= MIN_SMALL_FILES
    ]
    return sorted(found, key=lambda candidate: [str(candidate.partition[at]) for at in range(len(order))])


def compact(table: Table, candidate: Candidate, spill_root: Path) -> Compaction:
    """Replace a candidate's files by sorted ones, in one commit.

    Args:
        table: the table as the candidate was planned on it.
        candidate: from `candidates`.
        spill_root: a directory for what the sort cannot hold in memory.

    Raises:
        CommitConflictError: the slice was rewritten meanwhile, or commits kept coming between; nothing changed.
        ContractError: other rows came out than went in; nothing changed.
    """
    started_s = time.perf_counter()
    planning_ms_before = _planning_ms(table)
    written: list[DataFile] = []
    try:
        for batches in _output_batches(table, candidate, spill_root):
            written.append(_write(table, candidate.partition, batches, len(written)))
        rows = sum(file.record_count for file in written)
        if rows != candidate.rows:
            raise ContractError(
                f"{_name(table)} {candidate.label}: {candidate.rows} rows went into compaction and {rows} came "
                "out; nothing was changed, please report it"
            )
        _commit(table, candidate, written)
    except (CommitConflictError, ContractError):
        for file in written:
            table.io.delete(file.file_path)
        raise
    return Compaction(
        partition=candidate.label,
        rows=candidate.rows,
        files_before=len(candidate.tasks),
        files_after=len(written),
        bytes_before=candidate.size_bytes,
        bytes_after=sum(file.file_size_in_bytes for file in written),
        planning_ms_before=planning_ms_before,
        planning_ms_after=_planning_ms(table),
        seconds=round(time.perf_counter() - started_s, 3),
    )


def _output_batches(table: Table, candidate: Candidate, spill_root: Path) -> Iterator[list[pa.RecordBatch]]:
    """The candidate's rows in the table's sort order, in lists of about OUTPUT_BYTES: one file each."""
    import duckdb  # noqa: PLC0415 - only a compaction sorts

    order = ", ".join(table_schemas()[_name(table)].sort)
    with (
        tempfile.TemporaryDirectory(prefix="compaction-", dir=spill_root) as spill,
        duckdb.connect() as engine,
    ):
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"SET memory_limit = '{SORT_MEMORY}'")
        engine.execute("SET temp_directory = $spill", {"spill": spill})
        engine.register("small_files", _reader(table, candidate.tasks))
        query = f"SELECT * FROM small_files ORDER BY {order}"  # noqa: S608 - columns of our own contract
        pending: list[pa.RecordBatch] = []
        for batch in engine.sql(query).to_arrow_reader(BATCH_ROWS):
            pending.append(batch)
            if sum(item.nbytes for item in pending) >= OUTPUT_BYTES:
                yield pending
                pending = []
        if pending:
            yield pending


def _reader(table: Table, tasks: Sequence[FileScanTask]) -> pa.RecordBatchReader:
    """The rows of these files, one file in memory at a time (PyIceberg's own reader fetches all ahead)."""
    import pyarrow as pa  # noqa: PLC0415 - as in _output_batches
    from pyiceberg.expressions import AlwaysTrue  # noqa: PLC0415 - as above
    from pyiceberg.io.pyarrow import ArrowScan  # noqa: PLC0415 - as above

    schema = arrow_schema(table_schemas()[_name(table)])
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    batches = (
        converted
        for task in tasks
        for batch in scan.to_record_batches([task])
        for converted in pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _write(table: Table, partition: Record, batches: list[pa.RecordBatch], number: int) -> DataFile:
    import pyarrow as pa  # noqa: PLC0415 - as in _output_batches
    from pyiceberg.io.pyarrow import write_file  # noqa: PLC0415 - as above

    schema = arrow_schema(table_schemas()[_name(table)])
    spec = table.spec()
    task = WriteTask(
        write_uuid=uuid.uuid4(),
        task_id=number,
        schema=table.schema(),
        record_batches=pa.Table.from_batches(batches).cast(schema).to_batches(),
        partition_key=PartitionKey(
            [PartitionFieldValue(field, partition[at]) for at, field in enumerate(spec.fields)],
            spec,
            table.schema(),
        ),
    )
    (file,) = write_file(table.io, table.metadata, iter([task]))
    return file


def _commit(table: Table, candidate: Candidate, written: Sequence[DataFile]) -> None:
    """Replace the files on the table's newest snapshot; the same files again when another commit came first."""
    for attempt in range(COMMIT_ATTEMPTS):
        time.sleep(COMMIT_RETRY_WAIT_S * attempt)
        table.refresh()
        told = {COMPACTED_KEY: candidate.label}
        if LAND_SEQ_KEY in table.properties:  # up to where it has landed, as an append's snapshot says
            told[LAND_SEQ_KEY] = table.properties[LAND_SEQ_KEY]
        try:
            with (
                table.transaction() as tx,
                tx.update_snapshot(snapshot_properties=told).overwrite() as change,
            ):
                for task in candidate.tasks:
                    change.delete_data_file(task.file)
                for file in written:
                    change.append_data_file(file)
        except (CommitFailedException, ValidationException):
            _assert_untouched(table, candidate)
            continue
        return
    raise CommitConflictError(
        f"{_name(table)} {candidate.label}: {COMMIT_ATTEMPTS} other commits came between; compact it later"
    )


def _assert_untouched(table: Table, candidate: Candidate) -> None:
    table.refresh()
    live = {task.file.file_path for task in table.scan().plan_files()}
    if any(task.file.file_path not in live for task in candidate.tasks):
        raise CommitConflictError(
            f"{_name(table)} {candidate.label} was rewritten while it was compacted; it needs it no more"
        )


def _planning_ms(table: Table) -> float:
    started_s = time.perf_counter()
    for _ in table.scan().plan_files():
        pass
    return round((time.perf_counter() - started_s) * 1e3, 1)


def _is_closed(table: Table, partition: Record, today: dt.date) -> bool:
    """Whether no day of the partition is still filling; slices are rewritten whole and count as closed."""
    days = [
        partition[at]
        for at, field in enumerate(table.spec().fields)
        if isinstance(field.transform, DayTransform)
    ]
    return all(EPOCH + dt.timedelta(days=day) < today for day in days)


def _label(table: Table, partition: Record) -> str:
    return table.spec().partition_to_path(partition, table.schema())


def _name(table: Table) -> str:
    return ".".join(table.name())
