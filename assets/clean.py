"""`clean_events`: each event once, typed, per (tenant, date).

The first delivery of an event id to land is the one that counts: landing order never changes, so what a
slice decided stays true whatever lands later. Sessions, marts and money do not belong here.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl
from dagster import ResourceParam

from assets.event_columns import typed_query
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from assets.reopening import Influence, reopened_dates
from resources.errors import ContractError
from resources.lake import RAW_SNAPSHOT_KEY, REOPENED_KEY, Lake, current_snapshot_id, slices_json
from resources.lake_filters import all_of, is_in, received_between
from resources.registry import Registry
from resources.settings import Settings
from schemas import event_versions

DEFAULT_INFLUENCE = Influence.of(())
ID_COLUMNS = ("event_id", "event_date", "land_seq")


@dataclass(frozen=True)
class CleanSlices:
    """The outcome for some dates of one tenant: clean rows, and raw and duplicate counts per date."""

    events: pl.DataFrame
    raw_rows: dict[dt.date, int]
    duplicates: dict[dt.date, int]


@dg.asset(
    partitions_def=TENANT_DAY,
    deps=["raw_events"],
    group_name="lake",
    kinds={"iceberg", "polars", "duckdb"},
    description="One row per event id and tenant, typed (Iceberg clean.events), replaced slice by slice.",
)
def clean_events(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    registry: ResourceParam[Registry],
    settings: ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """Rows per type, duplicates left out, and the later dates whose conversions this change reopens."""
    slices = run_slices(context)
    influence = Influence.of(version.rules for version in registry.rule_versions(slices.tenant_id))
    return rebuild(lake, slices, settings.late_days, context.run.run_id, influence)


def rebuild(
    lake: Lake, slices: RunSlices, late_days: int, run_id: str, influence: Influence = DEFAULT_INFLUENCE
) -> dg.MaterializeResult[None]:
    """Make the slices again from one snapshot of raw.events.

    The commit's summary says which snapshot that was (the ledger check counts the same one) and which later
    dates it reopens: both are as durable as the rows, whatever happens to the run afterwards.

    Raises:
        CommitConflictError: another run wrote these slices since this one began; run it again.
    """
    since, raw_snapshot = lake.table("clean.events"), current_snapshot_id(lake.table("raw.events"))
    before = lake.read_slices("clean.events", slices.tenant_id, slices.dates)
    raw, ids = read_raw(lake, slices.tenant_id, slices.dates, late_days, raw_snapshot)
    clean = clean_slices(raw, ids, slices.dates)
    reopened = reopened_dates(lake, slices, before, clean.events, influence)
    summary = {
        RAW_SNAPSHOT_KEY: str(raw_snapshot or ""),
        REOPENED_KEY: slices_json({slices.tenant_id: reopened}),
    }
    snapshot_id = lake.replace_slices(
        "clean.events",
        clean.events,
        tenant_id=slices.tenant_id,
        dates=slices.dates,
        run_id=run_id,
        summary=summary,
        since=since,
    )
    return dg.MaterializeResult(metadata=clean_metadata(clean, snapshot_id, reopened))


def read_raw(
    lake: Lake, tenant_id: str, dates: Sequence[dt.date], late_days: int, snapshot_id: int | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Raw rows of (tenant, dates), and (event_id, event_date, land_seq) of every delivery that could repeat one.

    Both from the same snapshot of raw.events, so that an event landing in between is in neither.

    An event is accepted for `late_days`, so its deliveries and repeats lie within that many days of its date.
    """
    margin = dt.timedelta(days=late_days + 1)
    nearby = received_between(tenant_id, min(dates) - margin, max(dates) + margin + dt.timedelta(days=1))
    in_slices = all_of(nearby, is_in("event_date", dates))
    rows = lake.read("raw.events", in_slices, snapshot_id=snapshot_id)
    return rows, lake.read("raw.events", nearby, ID_COLUMNS, snapshot_id)


def clean_slices(raw: pl.DataFrame, ids: pl.DataFrame, dates: Sequence[dt.date]) -> CleanSlices:
    """The first landed delivery of each event id, typed.

    Args:
        raw: rows of raw.events of one tenant on `dates`.
        ids: ID_COLUMNS of all its deliveries that may share an event id with them, `raw`'s included.
        dates: the slices asked for; one without rows comes out with zero counts.
    """
    first_landed = ids.group_by("event_id").agg(pl.col("land_seq").min())
    kept = raw.join(first_landed, on=["event_id", "land_seq"], how="semi")
    counts = {name: _rows_per_date(frame) for name, frame in (("raw", raw), ("kept", kept))}
    raw_rows = {date: counts["raw"].get(date, 0) for date in dates}
    duplicates = {date: raw_rows[date] - counts["kept"].get(date, 0) for date in dates}
    return CleanSlices(typed_events(kept), raw_rows, duplicates)


def typed_events(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of raw.events with their bodies parsed into the columns of clean.events.

    Raises:
        ContractError: a row is of a contract version that this code does not know.
    """
    import duckdb  # noqa: PLC0415 - only the run needs it

    unknown = sorted(set(raw["schema_version"].unique()) - set(event_versions()))
    if unknown:
        raise ContractError(
            f"tenant {raw['tenant_id'][0]}: raw.events holds events of contract {', '.join(unknown)}, which "
            "came in after this code was released: deploy the version of the door here too, then run again"
        )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("raw", raw.to_arrow())
        return pl.DataFrame(connection.sql(typed_query("raw")).to_arrow_table())


def clean_metadata(
    clean: CleanSlices, snapshot_id: int, reopened: Sequence[dt.date]
) -> dict[str, dg.MetadataValue]:
    """What a person wants to see of a clean run: totals, a table per date and per type, reopened dates."""
    per_type = clean.events.group_by("event_type").len().sort("event_type")
    return {
        "rows": dg.MetadataValue.int(clean.events.height),
        "raw_rows": dg.MetadataValue.int(sum(clean.raw_rows.values())),
        "duplicates": dg.MetadataValue.int(sum(clean.duplicates.values())),
        "duplicates_by_date": dg.MetadataValue.json({str(day): n for day, n in clean.duplicates.items()}),
        "rows_by_type": dg.MetadataValue.md(_markdown_table(per_type)),
        "snapshot_id": dg.MetadataValue.text(str(snapshot_id)),
        "reopened_dates": dg.MetadataValue.json([str(day) for day in reopened]),
    }


def _rows_per_date(frame: pl.DataFrame) -> dict[dt.date, int]:
    return dict(frame.group_by("event_date").len().iter_rows())


def _markdown_table(frame: pl.DataFrame) -> str:
    lines = ["| type | rows |", "|---|---|", *(f"| {name} | {count} |" for name, count in frame.iter_rows())]
    return "\n".join(lines)
