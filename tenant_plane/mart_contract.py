"""What a pushed mart may look like: its columns, and the pure function that checks a Parquet file.

Belongs here: mart names, column types, and the verdict on one body. Storage and HTTP do not.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.errors import AuthorizationError, ContractError

DECODE_ROWS = 8192  # at most about 4 MB of installs at a time
UTC_MS = pa.timestamp("ms", tz="UTC")


def _required(name: str, kind: pa.DataType) -> pa.Field[Any]:
    return pa.field(name, kind, nullable=False)


# Order and types of the ClickHouse marts; a nullable column there is nullable here, and no other.
MART_SCHEMAS: dict[str, pa.Schema] = {
    "installs": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("install_id", pa.string()),
            _required("app_id", pa.string()),
            _required("device_id", pa.string()),
            _required("install_time", UTC_MS),
            _required("platform", pa.string()),
            _required("country", pa.string()),
            _required("match_type", pa.string()),
            _required("tier", pa.uint8()),
            _required("touch_id", pa.string()),
            _required("touch_type", pa.string()),
            pa.field("touch_time", UTC_MS),
            pa.field("ctit_ms", pa.int64()),
            _required("source", pa.string()),
            _required("medium", pa.string()),
            _required("campaign", pa.string()),
            _required("adgroup", pa.string()),
            _required("creative", pa.string()),
            _required("assists", pa.list_(pa.string())),
            _required("ruleset_hash", pa.string()),
        ]
    ),
    "campaign_daily": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("app_id", pa.string()),
            _required("source", pa.string()),
            _required("campaign", pa.string()),
            _required("model", pa.string()),
            _required("spend_micros", pa.int64()),
            _required("impressions", pa.int64()),
            _required("clicks", pa.int64()),
            _required("installs", pa.int64()),
            _required("revenue_micros", pa.int64()),
            pa.field("cpi_micros", pa.float64()),
            pa.field("roas", pa.float64()),
            _required("credited_installs", pa.float64()),
        ]
    ),
    "kpi_daily": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("events", pa.int64()),
            _required("active_users", pa.int64()),
            _required("new_users", pa.int64()),
            _required("sessions", pa.int64()),
            _required("purchases", pa.int64()),
            _required("revenue_micros", pa.int64()),
            _required("purchases_other_currency", pa.int64()),
        ]
    ),
    "usage_daily": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("events_received", pa.int64()),
            _required("events_accepted", pa.int64()),
            _required("events_clean", pa.int64()),
            _required("events_duplicate", pa.int64()),
            _required("events_quarantined", pa.int64()),
            _required("active_users", pa.int64()),
            _required("stored_bytes", pa.int64()),
            _required("pulled_bytes", pa.int64()),
        ]
    ),
    "cohorts": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("cohort_date", pa.date32()),
            _required("day_n", pa.int64()),
            _required("app_id", pa.string()),
            _required("source", pa.string()),
            _required("campaign", pa.string()),
            _required("cohort_size", pa.int64()),
            _required("active_devices", pa.int64()),
            _required("purchasers", pa.int64()),
            _required("revenue_micros", pa.int64()),
            _required("spend_micros", pa.int64()),
        ]
    ),
    "funnel_daily": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("app_id", pa.string()),
            _required("source", pa.string()),
            _required("campaign", pa.string()),
            _required("step_index", pa.uint8()),
            _required("step", pa.string()),
            _required("devices", pa.int64()),
        ]
    ),
    "fraud_daily": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("app_id", pa.string()),
            _required("source", pa.string()),
            _required("rule", pa.string()),
            _required("verdict", pa.string()),
            _required("touches", pa.int64()),
            _required("installs", pa.int64()),
            _required("share", pa.float64()),
            _required("norm", pa.float64()),
            _required("reason", pa.string()),
        ]
    ),
    "touch_decisions": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("app_id", pa.string()),
            _required("conversion_id", pa.string()),
            _required("conversion_type", pa.string()),
            _required("conversion_time", UTC_MS),
            _required("touch_id", pa.string()),
            _required("touch_type", pa.string()),
            _required("touch_time", UTC_MS),
            _required("source", pa.string()),
            _required("medium", pa.string()),
            _required("campaign", pa.string()),
            _required("adgroup", pa.string()),
            _required("creative", pa.string()),
            _required("match_type", pa.string()),
            _required("tier", pa.uint8()),
            _required("ctit_ms", pa.int64()),
            _required("window_ms", pa.int64()),
            _required("candidate_rank", pa.int64()),
            _required("waterfall_position", pa.int64()),
            _required("verdict", pa.string()),
            _required("reason", pa.string()),
            _required("install_id", pa.string()),
            _required("ruleset_hash", pa.string()),
        ]
    ),
    "channel_credits": pa.schema(
        [
            _required("tenant_id", pa.string()),
            _required("event_date", pa.date32()),
            _required("app_id", pa.string()),
            _required("conversion_type", pa.string()),
            _required("event_name", pa.string()),
            _required("model", pa.string()),
            _required("channel", pa.string()),
            _required("conversions", pa.float64()),
            _required("revenue_micros", pa.int64()),
            pa.field("removal_effect", pa.float64()),
            pa.field("standard_error", pa.float64()),
        ]
    ),
}


class PushTooLargeError(ContractError):
    """The pushed file unpacks to more than this plane takes at once."""


@dataclass(frozen=True)
class Slice:
    """Where a pushed file belongs: one tenant, one mart, one date."""

    tenant_id: str
    mart: str
    date: dt.date

    def __str__(self) -> str:
        return f"{self.mart} of {self.date} for tenant {self.tenant_id}"


def checked_table(body: bytes, slice_: Slice, *, max_unpacked_bytes: int) -> pa.Table:
    """The rows of a pushed Parquet file in the mart's exact types; columns of later versions are left out.

    Raises:
        ContractError: the file cannot be read, lacks a column, or a value does not fit its column or date.
        AuthorizationError: a row names another tenant.
    """
    received = _read(body, slice_, max_unpacked_bytes)
    schema = MART_SCHEMAS[slice_.mart]
    table = pa.Table.from_arrays([_column(received, field, slice_) for field in schema], schema=schema)
    if table.num_rows:
        if not _all_equal(table.column("tenant_id"), pa.scalar(slice_.tenant_id)):
            raise AuthorizationError(
                f"the file pushed as {slice_} holds rows of another tenant: nothing was stored"
            )
        if not _all_equal(table.column("event_date"), pa.scalar(slice_.date, pa.date32())):
            raise ContractError(
                f"the file pushed as {slice_} holds another event_date: push one file per date"
            )
    return table


def _read(body: bytes, slice_: Slice, max_unpacked_bytes: int) -> pa.Table:
    """Decode in steps and stop at the limit: the sizes in the file's own metadata are those before decoding.

    100,000 equal rows of kpi_daily are 5 KB of file and 6.8 MB decoded.
    """
    batches: list[pa.RecordBatch] = []
    unpacked_bytes = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        for batch in file.iter_batches(batch_size=DECODE_ROWS):
            unpacked_bytes += batch.nbytes
            if unpacked_bytes > max_unpacked_bytes:
                raise PushTooLargeError(
                    f"the file pushed as {slice_} unpacks to more than {max_unpacked_bytes} bytes: "
                    "raise UNMOGROWP_TENANT_PUSH_MAX_UNPACKED_BYTES"
                )
            batches.append(batch)
        return pa.Table.from_batches(batches, schema=file.schema_arrow)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ContractError(f"the body pushed as {slice_} is not a readable Parquet file") from error


def _column(table: pa.Table, field: pa.Field[Any], slice_: Slice) -> pa.ChunkedArray[Any]:
    where = f"column {field.name} of {slice_}"
    if len(table.schema.get_all_field_indices(field.name)) != 1:
        raise ContractError(f"{where} must be there exactly once")
    column = table.column(field.name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not _castable(column.type, field.type):
        raise ContractError(f"{where} is {column.type} and must be {field.type}")
    if pa.types.is_date(field.type) and pa.types.is_uint16(column.type):
        column = column.cast(pa.int32())  # ClickHouse writes Date as days since 1970 in 16 bits
    try:
        column = column.cast(field.type)
    except pa.ArrowException as error:
        raise ContractError(f"{where} holds a value that is no {field.type}") from error
    if column.null_count and not field.nullable:
        raise ContractError(f"{where} holds nulls, and may not")
    return column


def _castable(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast keeps every value: integers stay integers, so money never passes through a float."""
    types = pa.types
    if types.is_integer(wanted):
        return bool(types.is_integer(given))
    if types.is_string(wanted):
        return bool(types.is_string(given) or types.is_large_string(given) or types.is_binary(given))
    if types.is_date(wanted):
        return bool(types.is_date(given) or types.is_uint16(given))
    if types.is_timestamp(wanted):
        return bool(types.is_timestamp(given))
    if types.is_list(wanted):
        is_list = types.is_list(given) or types.is_large_list(given)
        return bool(is_list and _castable(given.field(0).type, wanted.field(0).type))
    return bool(given == wanted or types.is_float32(given))


def _all_equal(column: pa.ChunkedArray[Any], value: pa.Scalar[Any]) -> bool:
    return bool(pc.all(pc.equal(column, value)).as_py())
