"""`skan_postbacks`: the slice's SKAdNetwork postbacks with what their conversion values stand for, in ClickHouse.

One row per postback event, also of a postback that came before: which of them counts, the view `skan_daily` says,
so that a slice never depends on another one. Signatures are the door's; meanings are `resources.skan`'s.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import dagster as dg
import polars as pl
import pyarrow as pa
from dagster import ResourceParam

from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import SliceTable, replace_slice
from resources.errors import PostbackError
from resources.file_lock import exclusive_file_lock
from resources.lake import Lake
from resources.lake_filters import all_of, equals, is_in
from resources.registry import Registry, SkanSchemaVersion
from resources.settings import Settings
from resources.skan.conversions import Basis, Conversion, ConversionSchema, mapped
from resources.skan.postback import Postback, parsed

EVENT_COLUMNS = (
    "tenant_id",
    "event_date",
    "event_id",
    "event_time",
    "land_seq",
    "app_id",
    "source",
    "campaign",
    "postback",
)

SKAN_POSTBACKS = SliceTable(
    name="skan_postbacks",
    columns={
        "tenant_id": "String",
        "event_date": "Date",
        "event_id": "String",
        "event_time": "DateTime64(3, 'UTC')",
        "land_seq": "Int64",
        "app_id": "String",
        "store_app_id": "UInt64",
        "transaction_id": "String",
        "sequence_index": "UInt8",
        "version": "String",
        "ad_network_id": "String",
        "source": "String",
        "campaign": "String",
        "source_identifier": "String",
        "source_app_id": "Nullable(UInt64)",
        "source_domain": "Nullable(String)",
        "fidelity_type": "Nullable(UInt8)",
        "is_test": "Bool",
        "is_redownload": "Bool",
        "did_win": "Bool",
        "fine_value": "Nullable(UInt8)",
        "coarse_value": "Nullable(String)",
        "basis": "String",
        "is_at_lock": "Bool",
        "events": "Array(String)",
        "revenue_low_micros": "Int64",
        "revenue_expected_micros": "Int64",
        "revenue_high_micros": "Int64",
        "schema_hash": "String",
    },
    order_by=("tenant_id", "event_date", "app_id", "transaction_id", "event_id"),
    comment="One row per SKAdNetwork postback event, decoded; event_date is the UTC day it was received",
)


class Decoded(NamedTuple):
    """Rows of `skan_postbacks`, and how many events could not be read."""

    rows: pa.Table
    unreadable: int


@dg.asset(
    partitions_def=TENANT_DAY,
    deps=["clean_events"],
    group_name="marts",
    kinds={"clickhouse", "python"},
    description="SKAdNetwork postbacks of the slice with what their conversion values stand for.",
)
def skan_postbacks(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    clickhouse: ResourceParam[ClickHouse],
    registry: ResourceParam[Registry],
    settings: ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """The day's postbacks, read by the conversion documents of that day, replace the slice."""
    slices = run_slices(context)
    schemas = schemas_by_date(registry.skan_schemas(slices.tenant_id), slices.dates)
    decoded = decode(read_postbacks(lake, slices), schemas)
    with exclusive_file_lock(
        settings.home / f"marts-{slices.tenant_id}.lock"
    ):  # as the dbt marts do: ADR 0003
        replace_slice(clickhouse, SKAN_POSTBACKS, slices.tenant_id, slices.dates, decoded.rows)
    if decoded.unreadable:
        context.log.warning(f"{slices}: {decoded.unreadable} postbacks cannot be read and are not counted")
    return dg.MaterializeResult(metadata=postbacks_metadata(decoded))


def read_postbacks(lake: Lake, slices: RunSlices) -> pl.DataFrame:
    """The slice's `skan_postback` events."""
    wanted = all_of(
        equals("tenant_id", slices.tenant_id),
        is_in("event_date", slices.dates),
        equals("event_type", "skan_postback"),
    )
    return lake.read("clean.events", wanted, EVENT_COLUMNS)


def schemas_by_date(
    versions: Iterable[SkanSchemaVersion], dates: Iterable[dt.date]
) -> dict[dt.date, dict[int, ConversionSchema]]:
    """The documents in force on each date, by App Store id: of each app the highest version effective by then."""
    ordered = sorted(versions, key=lambda version: version.version)
    schemas = [(version.effective_from, ConversionSchema.of(version.document)) for version in ordered]
    return {day: {schema.app_id: schema for first, schema in schemas if first <= day} for day in dates}


def decode(events: pl.DataFrame, schemas: Mapping[dt.date, Mapping[int, ConversionSchema]]) -> Decoded:
    """Rows of `skan_postbacks` of these events; an app without a document has nothing mapped."""
    rows, unreadable = [], 0
    for event in events.iter_rows(named=True):
        try:
            postback = parsed(json.loads(event["postback"]))
        except (PostbackError, ValueError, TypeError):  # of an older contract: the door takes none of these
            unreadable += 1
            continue
        in_force = schemas.get(event["event_date"], {})
        schema = in_force.get(postback.app_id) or ConversionSchema.unknown(postback.app_id)
        rows.append(_row(event, postback, schema))
    return Decoded(pa.Table.from_pylist(rows, schema=SKAN_POSTBACKS.arrow_schema), unreadable)


def _row(event: Mapping[str, Any], postback: Postback, schema: ConversionSchema) -> dict[str, Any]:
    conversion = mapped(postback, schema)
    own = {name: event[name] for name in ("tenant_id", "event_date", "event_id", "event_time", "land_seq")}
    return {
        **own,
        "app_id": event["app_id"] or schema.event_app_id,
        "store_app_id": postback.app_id,
        "transaction_id": postback.transaction_id.lower(),
        "sequence_index": postback.sequence_index,
        "version": postback.version,
        "ad_network_id": postback.ad_network_id,
        "source": event["source"] or schema.source_of(postback.ad_network_id),
        "campaign": event["campaign"] or postback.campaign,
        "source_identifier": postback.campaign,
        "source_app_id": postback.source_app_id,
        "source_domain": postback.source_domain,
        "fidelity_type": postback.fidelity_type,
        "is_test": postback.is_test,
        "is_redownload": postback.is_redownload,
        "did_win": postback.did_win,
        "fine_value": postback.fine_value,
        "coarse_value": postback.coarse_value,
        **_meaning_columns(conversion),
        "schema_hash": schema.content_hash,
    }


def _meaning_columns(conversion: Conversion) -> dict[str, Any]:
    revenue = conversion.meaning.revenue
    return {
        "basis": str(conversion.basis),
        "is_at_lock": conversion.is_at_lock,
        "events": list(conversion.meaning.events),
        "revenue_low_micros": revenue.low_micros,
        "revenue_expected_micros": revenue.expected_micros,
        "revenue_high_micros": revenue.high_micros,
    }


def postbacks_metadata(decoded: Decoded) -> dict[str, dg.MetadataValue]:
    """What a person wants to see: postbacks by what they were read from, apps without a document."""
    rows = decoded.rows.select(["basis", "store_app_id", "schema_hash"]).to_pylist()
    bases = [row["basis"] for row in rows]
    without = {row["store_app_id"] for row in rows if not row["schema_hash"]}
    lines = ["| read from | postbacks |", "|---|---:|"]
    lines += [f"| {basis} | {bases.count(basis)} |" for basis in Basis]
    return {
        "rows": dg.MetadataValue.int(decoded.rows.num_rows),
        "unreadable": dg.MetadataValue.int(decoded.unreadable),
        "by_basis": dg.MetadataValue.md("\n".join(lines)),
        "apps_without_a_document": dg.MetadataValue.json(sorted(without)),
    }
