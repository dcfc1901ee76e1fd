"""The lake: Iceberg tables over a SQL catalog, on local files or S3.

Reads, appends, slice replacement and the snapshot log are here; what the rows mean is not.
Every write is idempotent: an append carries the log offsets it consumed (and is refused when another
writer moved them), a slice write replaces (tenant, date) whole.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, ValidationException

from resources.errors import CommitConflictError
from resources.lake_catalog import arrow_schema, create_missing_tables, open_catalog
from resources.lake_clickhouse import clickhouse_source
from resources.lake_expiry import expire_if_due
from resources.lake_filters import all_of, below, equals, is_in
from resources.lake_history import PastSnapshot, landed_until, snapshots_since
from resources.lake_rows import assert_inside, conformed, sorted_parts, sorted_rows
from schemas import table_schemas

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

    from resources.settings import Settings

OFFSET_PREFIX = "unmogrowp.offset."
SLICES_KEY = "unmogrowp.slices"
RUN_ID_KEY = "unmogrowp.run_id"
RAW_SNAPSHOT_KEY = "unmogrowp.raw_snapshot"
REOPENED_KEY = "unmogrowp.reopened"


@dataclass(frozen=True)
class SnapshotChange:
    """One snapshot of a table: its id, commit time and the (tenant → dates) slices it touched."""

    snapshot_id: int
    committed_at: dt.datetime
    slices: dict[str, tuple[dt.date, ...]]
    summary: dict[str, str]


class Lake:
    """The lake of these settings. Cheap to construct; the catalog opens on first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog, namespaces made."""
        return open_catalog(self._settings)

    def close(self) -> None:
        """Close the catalog's connections; the next use opens it again."""
        catalog = self.__dict__.pop("catalog", None)
        if catalog is not None:
            catalog.close()

    def ensure_tables(self) -> None:
        """Create every table of `schemas/tables` that is missing; safe to call from several processes."""
        create_missing_tables(self.catalog)

    def table(self, name: str) -> Table:
        """The table at its newest metadata."""
        return self.catalog.load_table(name)

    def arrow_schema(self, name: str) -> pa.Schema:
        """The Arrow schema an append to this table must have."""
        return arrow_schema(table_schemas()[name])

    # -- appends, exactly once -------------------------------------------------------------------

    def offsets(self, name: str) -> dict[str, str]:
        """Log offsets landed in this table: `unmogrowp.offset.<writer>` → value."""
        return offsets_of(self.table(name))

    def append_with_offsets(
        self,
        name: str,
        rows: pa.Table | Iterable[pa.Table],
        *,
        offsets: Mapping[str, str],
        expected_offsets: Mapping[str, str],
        summary: Mapping[str, str],
        properties: Mapping[str, str] | None = None,
    ) -> int:
        """Append rows and move the offsets in one commit.

        Rows are a table in any order, or tables that follow each other in the table's sort order, so that they need
        not be in memory together.

        The offsets go into the snapshot summary and into the table properties: the first is lost when
        the snapshot expires, the second is not. These tables have `commit.retry.num-retries=0`, so a
        commit made since the offsets were compared fails this one instead of being retried over.

        Returns:
            The new snapshot's id.

        Raises:
            CommitConflictError: another writer moved the offsets or committed meanwhile; nothing was written.
        """
        from resources.lake_files import AppendTransaction, append_rows  # noqa: PLC0415 - 1.5 CPU s of import that readers are spared

        table = self.table(name)
        stored = offsets_of(table)
        for key in offsets:
            if stored.get(key) != expected_offsets.get(key):
                raise CommitConflictError(
                    f"{name}: {key} is {stored.get(key)!r}, expected {expected_offsets.get(key)!r}: "
                    "another lander moved it; read the offsets again and continue from there"
                )
        try:
            with (tx := AppendTransaction(table)):
                append_rows(tx, table, sorted_parts(rows, table_schemas()[name]), {**summary, **offsets})
                tx.set_properties({**offsets, **(properties or {})})
        except CommitFailedException as error:
            raise CommitConflictError(f"{name}: a concurrent commit won; read the offsets again") from error
        snapshot_id = current_snapshot_id(table) or 0
        expire_if_due(table, self._settings)
        return snapshot_id

    # -- slices ----------------------------------------------------------------------------------

    def replace_slices(
        self,
        name: str,
        rows: pa.Table | pl.DataFrame,
        *,
        tenant_id: str,
        dates: Sequence[dt.date],
        run_id: str,
        summary: Mapping[str, str] | None = None,
        since: Table | None = None,
    ) -> int:
        """Make `rows` the whole content of (tenant, dates), in one commit; an emptied slice becomes empty.

        Args:
            name: the table.
            rows: the slices' rows, any order.
            tenant_id: the one tenant.
            dates: the slices.
            run_id: kept in the snapshot's summary.
            summary: more for the snapshot's summary.
            since: the table as it was loaded before the rows were computed; a commit to the same slices since
                then is a conflict, instead of being overwritten by older knowledge.

        Returns:
            The new snapshot's id.

        Raises:
            MixedTenantsError: a row lies outside the slices.
            CommitConflictError: a concurrent commit touched the same slices; recompute.
        """
        arrow = conformed(rows, self.arrow_schema(name))
        assert_inside(arrow, table_schemas()[name], tenant_id, dates)
        table = since or self.table(name)
        told = {**(summary or {}), RUN_ID_KEY: run_id, SLICES_KEY: slices_json({tenant_id: dates})}
        try:
            table.overwrite(
                sorted_rows(arrow, table_schemas()[name]),
                overwrite_filter=self._slice_filter(name, tenant_id, dates),
                snapshot_properties=told,
            )
        except (CommitFailedException, ValidationException) as error:
            raise CommitConflictError(
                f"{name}: tenant {tenant_id}, {min(dates)}..{max(dates)} changed while it was being written; "
                "run it again"
            ) from error
        snapshot_id = current_snapshot_id(table) or 0
        expire_if_due(table, self._settings)
        return snapshot_id

    def replace_slice(
        self, name: str, rows: pa.Table | pl.DataFrame, *, tenant_id: str, date: dt.date, run_id: str
    ) -> int:
        """`replace_slices` for one date."""
        return self.replace_slices(name, rows, tenant_id=tenant_id, dates=[date], run_id=run_id)

    def read_slices(
        self, name: str, tenant_id: str, dates: Sequence[dt.date], columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Rows of (tenant, dates), in the table's sort order; an empty frame with the right types when none."""
        frame = self.read(name, self._slice_filter(name, tenant_id, dates), columns)
        order = [column for column in table_schemas()[name].sort if column in frame.columns]
        return frame.sort(order) if order else frame

    def slice_dates(self, name: str, tenant_id: str) -> list[dt.date]:
        """Dates for which the tenant has rows, ascending; from metadata alone."""
        table = self.table(name)
        if table.current_snapshot() is None:
            return []
        column = table_schemas()[name].slice_date_column
        dates: list[dt.date] = [
            row["partition"][column]
            for row in table.inspect.partitions().to_pylist()
            if row["partition"]["tenant_id"] == tenant_id and row["record_count"] > 0
        ]
        return sorted(dates)

    def read(
        self,
        name: str,
        row_filter: str,
        columns: Sequence[str] | None = None,
        snapshot_id: int | None = None,
    ) -> pl.DataFrame:
        """Rows that match (see `resources.lake_filters`), as polars; `columns` keeps only those.

        `snapshot_id` reads the table as it was then; without it, as it is. Of a landed table (raw.events) a
        snapshot that has expired is read by the landing order of its rows, which is the same rows.

        Raises:
            SnapshotExpiredError: the snapshot has expired and the table has no landing order.
        """
        import polars as pl  # noqa: PLC0415 - 0.4 CPU s of import, wanted only where rows are read

        fields = tuple(columns) if columns else ("*",)
        table = self.table(name)
        if snapshot_id is not None and table.snapshot_by_id(snapshot_id) is None:
            row_filter = all_of(row_filter, below("land_seq", landed_until(table, snapshot_id)))
            snapshot_id = None
        scan = table.scan(row_filter=row_filter, selected_fields=fields, snapshot_id=snapshot_id)
        arrow = scan.to_arrow()
        frame = pl.from_arrow(arrow)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - narrows from_arrow's union
        return frame.select(columns) if columns else frame

    # -- the change feed -------------------------------------------------------------------------

    def changes_since(self, name: str, snapshot_id: int | None) -> tuple[list[SnapshotChange], bool]:
        """Snapshots after `snapshot_id`, oldest first, and whether the chain is unbroken.

        Expired snapshots are among them for EXPIRED_LOG_DAYS (`resources.lake_orphans`). The second value is
        False when the cursor is older than that, or None while the table's first snapshots have expired: slices
        may be missing then and the caller must take every slice.
        """
        past_snapshots, unbroken = snapshots_since(self.table(name), snapshot_id)
        return [_change(snapshot) for snapshot in past_snapshots], unbroken

    def clickhouse_source(self, name: str) -> str:
        """The ClickHouse table expression that reads this table at its newest snapshot."""
        return clickhouse_source(self.table(name), self._settings.s3_endpoint)

    # -- shapes ----------------------------------------------------------------------------------

    def _slice_filter(self, name: str, tenant_id: str, dates: Iterable[dt.date]) -> str:
        column = table_schemas()[name].slice_date_column or "event_date"
        return all_of(equals("tenant_id", tenant_id), is_in(column, dates))


def offsets_of(table: Table) -> dict[str, str]:
    """The log offsets in a loaded table's properties."""
    return {key: value for key, value in table.properties.items() if key.startswith(OFFSET_PREFIX)}


def current_snapshot_id(table: Table) -> int | None:
    """Id of a loaded table's current snapshot, None when it never had a commit."""
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def slices_json(slices: Mapping[str, Iterable[dt.date]]) -> str:
    """Touched slices as the snapshot summary keeps them: {"tenant": ["2026-11-02", …]}, sorted."""
    return json.dumps(
        {tenant: sorted({day.isoformat() for day in days}) for tenant, days in sorted(slices.items())}
    )


def slices_of(text: str) -> dict[str, tuple[dt.date, ...]]:
    """What `slices_json` wrote."""
    return {
        tenant: tuple(dt.date.fromisoformat(day) for day in days) for tenant, days in json.loads(text).items()
    }


def _change(snapshot: PastSnapshot) -> SnapshotChange:
    slices = slices_of(snapshot.summary.get(SLICES_KEY, "{}"))
    committed_at = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=dt.UTC)
    return SnapshotChange(snapshot.snapshot_id, committed_at, slices, snapshot.summary)


def iter_slices(slices: Mapping[str, Iterable[dt.date]]) -> Iterator[tuple[str, dt.date]]:
    """(tenant, date) pairs of a slices mapping, sorted."""
    for tenant in sorted(slices):
        for day in sorted(set(slices[tenant])):
            yield tenant, day
