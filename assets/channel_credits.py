"""`channel_credits`: per day and app, every channel's credit under every model of multi-touch credit.

The six models that weigh touches are sums of the mart attribution_credits; Markov, Shapley and removal per path are
computed from the day's journey_paths, where equal journeys are one row. The numbers are `resources.credit`'s.
"""

import dagster as dg
import polars as pl
import pyarrow as pa
from dagster import ResourceParam

from assets.pages import credit_markdown
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import SliceTable, replace_slice
from resources.credit.channel_models import channel_credits
from resources.credit_marts import journeys, touch_sums
from resources.file_lock import exclusive_file_lock
from resources.settings import Settings

CHANNEL_CREDITS = SliceTable(
    name="channel_credits",
    columns={
        "tenant_id": "String",
        "event_date": "Date",
        "app_id": "String",
        "conversion_type": "String",
        "event_name": "String",
        "model": "String",
        "channel": "String",
        "conversions": "Float64",
        "revenue_micros": "Int64",
        "removal_effect": "Nullable(Float64)",
        "standard_error": "Nullable(Float64)",
    },
    order_by=(
        "tenant_id",
        "event_date",
        "app_id",
        "conversion_type",
        "event_name",
        "model",
        "channel",
    ),
    comment="Channel x model: credited conversions and revenue of a day, app and conversion type",
)


@dg.asset(
    name="channel_credits",
    partitions_def=TENANT_DAY,
    deps=["attribution_credits", "journey_paths"],
    group_name="marts",
    kinds={"clickhouse", "python"},
    description="Every channel's credit of the day under every model: touch models, Markov 1-3, Shapley, removal.",
)
def channel_credits_asset(
    context: dg.AssetExecutionContext,
    clickhouse: ResourceParam[ClickHouse],
    settings: ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """Credit of each of the run's days from that day's journeys alone; replaces the slice."""
    slices = run_slices(context)
    rows = credits_by_day(clickhouse, slices)
    with exclusive_file_lock(
        settings.home / f"marts-{slices.tenant_id}.lock"
    ):  # as the dbt marts do: ADR 0003
        replace_slice(
            clickhouse, CHANNEL_CREDITS, slices.tenant_id, slices.dates, mart_rows(rows, slices.tenant_id)
        )
    return dg.MaterializeResult(metadata=credits_metadata(rows))


def credits_by_day(clickhouse: ClickHouse, slices: RunSlices) -> pl.DataFrame:
    """Columns of CREDIT_SCHEMA behind `event_date`, day by day."""
    first, last = slices.dates[0], slices.dates[-1]
    sums = touch_sums(clickhouse, slices.tenant_id, first, last)
    paths = journeys(clickhouse, slices.tenant_id, first, last)
    of_days = [
        channel_credits(
            sums.filter(pl.col("event_date") == day), paths.filter(pl.col("event_date") == day)
        ).select(pl.lit(day, pl.Date).alias("event_date"), pl.all())
        for day in slices.dates
    ]
    return pl.concat(of_days)


def mart_rows(rows: pl.DataFrame, tenant_id: str) -> pa.Table:
    """The rows as `channel_credits` stores them."""
    columns = list(CHANNEL_CREDITS.columns)
    of_tenant = rows.select(pl.lit(tenant_id).alias("tenant_id"), pl.all()).select(columns)
    return of_tenant.to_arrow().cast(CHANNEL_CREDITS.arrow_schema)


def credits_metadata(rows: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """What a person wants to see: how much was credited, installs by channel and model as a plot and a table."""
    linear = rows.filter(pl.col("model") == "linear")
    metadata: dict[str, dg.MetadataValue] = {
        "rows": dg.MetadataValue.int(rows.height),
        "revenue_micros": dg.MetadataValue.int(int(linear["revenue_micros"].sum())),
    }
    for kind in ("install", "purchase"):
        of_kind = rows.filter(pl.col("conversion_type") == kind)
        conversions = of_kind.filter(pl.col("model") == "linear")["conversions"].sum()
        metadata[f"{kind}s"] = dg.MetadataValue.float(round(float(conversions), 6))
        if not of_kind.is_empty():
            metadata[f"{kind}_credit"] = dg.MetadataValue.md(credit_markdown(of_kind, f"{kind}s by channel"))
    return metadata
