"""User features as of the end of the install day: the pure function and its asset.

Point in time: a row of day D uses events of day D alone, from the install on. Labels, encodings and models
are not here.
"""

import datetime as dt

import dagster as dg
import polars as pl
from dagster import ResourceParam

from assets.partitions import TENANT_DAY, run_slices
from resources.clickhouse import ClickHouse
from resources.lake import Lake
from resources.registry import Registry

FEATURES_TABLE = "ml.user_features"
HOUR_US = 3_600_000_000
UNKNOWN = "unknown"  # where the sender gave none; a category of its own, so that rows never drop out

EVENT_COLUMNS = (
    "tenant_id",
    "event_date",
    "event_id",
    "event_type",
    "event_time",
    "app_id",
    "device_id",
    "duration_ms",
    "revenue_micros",
    "currency",
)


INSTALL_COLUMNS = (
    "tenant_id",
    "event_date",
    "install_id",
    "app_id",
    "device_id",
    "install_time",
    "platform",
    "country",
    "match_type",
    "ctit_ms",
    "source",
    "campaign",
)
INSTALLS_SQL = f"""
SELECT {", ".join(INSTALL_COLUMNS)}
FROM installs
WHERE tenant_id = {{tenant_id:String}} AND event_date IN {{dates:Array(Date)}}
"""  # noqa: S608 - column names are constants, values are server-side parameters


@dg.asset(
    name="user_features",
    partitions_def=TENANT_DAY,
    deps=["clean_events", "installs"],
    group_name="ml",
    kinds={"iceberg", "polars"},
    description="What was known of each user at the end of the install day (Iceberg ml.user_features).",
)
def user_features_asset(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    clickhouse: ResourceParam[ClickHouse],
    registry: ResourceParam[Registry],
) -> dg.MaterializeResult[None]:
    """The slices' clean events and installs, point in time, one row per user who installed that day."""
    slices = run_slices(context)
    tenant_id, dates = slices.tenant_id, list(slices.dates)
    events = lake.read_slices("clean.events", tenant_id, dates, EVENT_COLUMNS)
    installs = read_installs(clickhouse, tenant_id, dates)
    currency = registry.get(tenant_id).currency
    features = pl.concat([user_features(events, installs, day, currency=currency) for day in dates])
    snapshot_id = lake.replace_slices(
        FEATURES_TABLE, features, tenant_id=tenant_id, dates=dates, run_id=context.run.run_id
    )
    return dg.MaterializeResult(metadata=features_metadata(features, snapshot_id))


def read_installs(clickhouse: ClickHouse, tenant_id: str, dates: list[dt.date]) -> pl.DataFrame:
    """INSTALL_COLUMNS of marts.installs for the tenant's dates; ClickHouse's Arrow dates as dates."""
    arrow = clickhouse.query_arrow(INSTALLS_SQL, {"tenant_id": tenant_id, "dates": dates})
    return pl.DataFrame(arrow).with_columns(pl.col("event_date").cast(pl.Date))


def features_metadata(features: pl.DataFrame, snapshot_id: int) -> dict[str, dg.MetadataValue]:
    """Rows, the share of organic users and of payers on the install day, and the snapshot."""
    rows = features.height
    payers = features.filter(pl.col("purchases") > 0).height
    organic = int(features["is_organic"].sum())
    return {
        "rows": dg.MetadataValue.int(rows),
        "organic_share": dg.MetadataValue.float(organic / rows if rows else 0.0),
        "day_0_payer_share": dg.MetadataValue.float(payers / rows if rows else 0.0),
        "snapshot_id": dg.MetadataValue.text(str(snapshot_id)),
    }


def user_features(
    events: pl.DataFrame, installs: pl.DataFrame, as_of: dt.date, *, currency: str
) -> pl.DataFrame:
    """Features of the users who installed on `as_of`, known at that day's end.

    Grain: (tenant, app, device); a device that installed the app twice that day counts from the first.
    Revenue counts purchases in `currency`, the tenant's; `purchases` counts all. Units are in the names.

    Args:
        events: rows of clean.events, at least EVENT_COLUMNS; other days' rows are ignored.
        installs: rows of marts.installs; other days' rows are ignored.
        as_of: the UTC day whose end is the point in time.
        currency: ISO 4217 code that revenue is counted in.

    Returns:
        Columns of schemas/tables/ml.user_features.json, sorted by user and app.
    """
    cohort = _cohort(installs, as_of)
    behaviour = _behaviour(cohort, events.filter(pl.col("event_date") == as_of), currency)
    counts = ("sessions", "session_ms", "events", "purchases", "revenue_micros")
    day_end = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(), dt.UTC)
    observed = pl.lit(day_end).dt.cast_time_unit("us") - pl.col("install_time")
    organic = pl.col("match_type") == "organic"
    return (
        cohort.join(behaviour, on="install_id", how="left")
        .select(
            "tenant_id",
            pl.lit(as_of).alias("as_of"),
            "app_id",
            pl.col("device_id").alias("user_id"),
            "install_id",
            (observed.dt.total_microseconds() / HOUR_US).alias("hours_observed"),
            *(pl.col(name).fill_null(0).cast(pl.Int64) for name in counts),
            pl.when(organic).then(None).otherwise(pl.col("ctit_ms")).cast(pl.Int64).alias("ctit_ms"),
            organic.alias("is_organic"),
            *(_named(name) for name in ("source", "campaign", "platform", "country")),
        )
        .sort("user_id", "app_id")
    )


def _cohort(installs: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    return (
        installs.filter((pl.col("event_date") == as_of) & (pl.col("device_id").fill_null("") != ""))
        .with_columns(pl.col("install_time").cast(pl.Datetime("us", "UTC")))
        .sort("install_time", "install_id")
        .unique(subset=["tenant_id", "app_id", "device_id"], keep="first", maintain_order=True)
    )


def _behaviour(cohort: pl.DataFrame, events: pl.DataFrame, currency: str) -> pl.DataFrame:
    keys = ["tenant_id", "app_id", "device_id"]
    after_install = (
        events.with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))
        .join(cohort.select(*keys, "install_id", "install_time"), on=keys, how="inner")
        .filter(pl.col("event_time") >= pl.col("install_time"))
    )
    is_session, is_purchase = pl.col("event_type") == "session", pl.col("event_type") == "purchase"
    return after_install.group_by("install_id").agg(
        is_session.sum().alias("sessions"),
        pl.col("duration_ms").filter(is_session).sum().alias("session_ms"),
        (pl.col("event_type") == "event").sum().alias("events"),
        is_purchase.sum().alias("purchases"),
        pl.col("revenue_micros").filter(is_purchase & (pl.col("currency") == currency)).sum(),
    )


def _named(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.String)
    return pl.when(value.fill_null("") == "").then(pl.lit(UNKNOWN)).otherwise(value).alias(column)
