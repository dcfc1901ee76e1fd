"""From log records to the columns of `raw.events` and `raw.quarantine`. Pure but for the tenants' caches.

A batch gathers records until it is full, then gives Arrow tables. Committing them is `lander`'s.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingest_api.bodies import BodyUnreadableError, parsed, raw_deliveries, unpacked
from ingest_api.contracts import DEFAULT_TYPE
from ingest_api.event_log.protocol import BodyFormat, LogPosition, LogRecord, Rejection
from ingest_api.fast_columns import FastColumns
from ingest_api.quarantine import quarantine_row
from ingest_api.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest_api.pii import TenantEvents
    from ingest_api.remembered import Remembered

logger = logging.getLogger(__name__)
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_UNPACKED_MAX_BYTES = (
    2**40
)  # the door has held the body to its limit already, which may have been another then


class LandedRows(NamedTuple):
    """Rows as `Lake.append_with_offsets` takes them, the slices they touch, and how many they are."""

    rows: pa.Table | Iterable[pa.Table]
    slices: dict[str, set[dt.date]]
    row_count: int


class Batch:
    """What one landing takes: rows of both tables, and how far it read each writer's log."""

    def __init__(
        self,
        remembered: Remembered,
        next_land_seq: int,
    ) -> None:
        self.positions: dict[str, LogPosition] = {}
        self.next_land_seq = next_land_seq
        self.unpacked_bytes = 0
        self._remembered = remembered
        self._first_land_seq = next_land_seq
        self._quarantine: list[dict[str, Any]] = []
        self._fast = FastColumns(remembered.known) if remembered.known is not None else None
        self._events: dict[str, list[Any]] = {name: [] for name in _EVENT_COLUMNS}

    def add(
        self, writer: str, position: LogPosition, record: LogRecord, *, is_quarantine_landed: bool
    ) -> None:
        """Take one record. What cannot be read, though the door could, is quarantined whole."""
        try:
            count, rejected = self._take(record)
        except MemoryError:
            raise  # says nothing about the record; the next attempt may have room
        except Exception:
            logger.exception("tenant %s: record %s of %s does not land", record.tenant_id, position, writer)
            count = 0
            rejected = [
                (Rejection(0, "unlandable", "", "the lander cannot read what the door took"), record.body)
            ]
        self.next_land_seq += count
        if rejected and not is_quarantine_landed:
            tenant = self._remembered.tenant(record.tenant_id)
            self._quarantine += [
                quarantine_row(record, rejection, raw, writer=writer, position=position, tenant=tenant)
                for rejection, raw in rejected
            ]
        self.positions[writer] = position

    @property
    def event_count(self) -> int:
        """Rows for `raw.events`."""
        return self.next_land_seq - self._first_land_seq

    @property
    def quarantine_count(self) -> int:
        """Rows for `raw.quarantine`."""
        return len(self._quarantine)

    def events(self, schema: pa.Schema) -> LandedRows | None:
        """Rows for `raw.events`, once, personal values replaced; `land_seq` says the order they were sent in."""
        slow = self._slow_table(schema) if self._events["event_id"] else None
        self._remembered.name_values()
        fast = self._fast.prepare() if self._fast is not None and self._fast.has_rows else None
        if fast is None:
            return None if slow is None else LandedRows(slow, slices_of(slow, "event_date"), self.event_count)
        if slow is None:
            return LandedRows(fast.parts(schema), slices_of(fast.dates(), "event_date"), self.event_count)
        rows = pa.concat_tables([slow, *fast.parts(schema)])
        return LandedRows(rows, slices_of(rows, "event_date"), self.event_count)

    def _slow_table(self, schema: pa.Schema) -> pa.Table:
        columns, self._events = self._events, {name: [] for name in _EVENT_COLUMNS}
        event_time = pa.array(columns["event_time"], _TIMESTAMP)
        arrays: dict[str, Any] = {
            **columns,
            "received_at": pa.array(columns["received_at"], pa.int64()).cast(_TIMESTAMP),
            "event_time": event_time,
            "event_date": event_time.cast(pa.date32()),
        }
        return _table(arrays, schema)

    def quarantine_table(self, schema: pa.Schema) -> pa.Table:
        """Rows for `raw.quarantine`."""
        columns = {name: [row[name] for row in self._quarantine] for name in self._quarantine[0]}
        received_at = pa.array(columns["received_at"], pa.int64()).cast(_TIMESTAMP)
        return _table(
            {**columns, "received_at": received_at, "received_date": received_at.cast(pa.date32())}, schema
        )

    def _take(self, record: LogRecord) -> tuple[int, list[tuple[Rejection, bytes]]]:
        """Takes the accepted events of a record; how many, and the rejected ones with their bytes."""
        if record.format is BodyFormat.OPAQUE:
            return 0, [(rejection, record.body) for rejection in record.rejections]
        plain = unpacked(record.body, record.encoding, _UNPACKED_MAX_BYTES)
        self.unpacked_bytes += len(plain)
        fast = None if record.rejections else self._fast
        if fast is not None and fast.take(record, plain, self.next_land_seq):
            return record.event_count, []
        accepted, rejected = _split(record, plain)
        tenant = self._remembered.tenant(record.tenant_id)
        rows = [
            self._event_row(tenant, record, event, self.next_land_seq + at)
            for at, event in enumerate(accepted)
        ]
        for name, values in zip(_EVENT_COLUMNS, zip(*rows, strict=True), strict=False):  # no rows, no values
            self._events[name].extend(values)
        return len(rows), rejected

    def _event_row(
        self, tenant: TenantEvents, record: LogRecord, event: dict[str, Any], land_seq: int
    ) -> tuple[Any, ...]:
        event_type = event.get("eventType", DEFAULT_TYPE)
        timestamp = event["timestamp"]
        try:
            event_time = dt.datetime.fromisoformat(timestamp)
        except ValueError:
            event_time = parse_timestamp(timestamp)  # the odd but legal spellings
        tenant.pseudonymise(event, record.schema_version, event_type)
        return (
            record.tenant_id,
            record.received_at_us,
            land_seq,
            event["eventId"].lower(),
            event_type,
            event_time,
            record.schema_version,
            orjson.dumps(event).decode(),
        )


_EVENT_COLUMNS = (
    "tenant_id",
    "received_at",
    "land_seq",
    "event_id",
    "event_type",
    "event_time",
    "schema_version",
    "body",
)


def _split(record: LogRecord, plain: bytes) -> tuple[list[dict[str, Any]], list[tuple[Rejection, bytes]]]:
    """Accepted events, and rejected ones with their bytes."""
    events = parsed(plain, record.format).events
    if len(events) != record.event_count:
        raise BodyUnreadableError(f"{len(events)} deliveries where the door saw {record.event_count}")
    if not record.rejections:
        return events, []
    raws = raw_deliveries(plain, record.format)
    refused = {rejection.at for rejection in record.rejections}
    accepted = [event for at, event in enumerate(events) if at not in refused]
    return accepted, [(rejection, raws[rejection.at]) for rejection in record.rejections]


def slices_of(
    table: pa.Table, date_column: str, fallback_column: str | None = None
) -> dict[str, set[dt.date]]:
    """Tenant → dates that a table's rows touch; rows without a date count by the fallback's."""
    dates: Any = table[date_column]
    if fallback_column is not None:
        dates = pc.coalesce(dates, table[fallback_column])
    both: pa.Table = pa.Table.from_arrays([table["tenant_id"], dates], names=["tenant_id", "date"])
    slices: dict[str, set[dt.date]] = {}
    for pair in both.group_by(["tenant_id", "date"]).aggregate([]).to_pylist():
        slices.setdefault(pair["tenant_id"], set()).add(pair["date"])
    return slices


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    arrays: list[Any] = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for field in schema
        for column in [columns[field.name]]
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
