"""`tenant_exports`: every mart and the scores of a slice as files with a manifest, then delivered to the tenant.

What a file looks like is in export_contract.py, how it is published in export_files.py, how it is delivered in
export_delivery.py. Everything is published before anything is delivered, and a receiver that is away fails no run:
its deliveries wait in the registry, and redelivery.py tries them again.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster import ResourceParam

from assets.export_contract import MARTS, SCORES, SCORES_DATASET, mart_sql
from assets.export_delivery import Doors, Outcome, deliver_all
from assets.export_files import ExportSlice, Published, publish
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import ensure_table
from resources.lake import Lake, SnapshotChange
from resources.object_store import ObjectStore
from resources.registry.destination_store import PLANE
from resources.usage import USAGE_DAILY

SOURCES = ("clean.events", "ml.scores")


@dg.asset(
    partitions_def=TENANT_DAY,
    deps=[*MARTS, SCORES],
    group_name="exports",
    kinds={"parquet"},
    description="The tenant's marts and scores as Parquet with manifests, delivered to its plane and destinations.",
)
def tenant_exports(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    clickhouse: ResourceParam[ClickHouse],
    exports_store: ResourceParam[ObjectStore],
    deliveries: ResourceParam[Doors],
) -> dg.MaterializeResult[None]:
    """Marts of ClickHouse and scores of the lake, published file by file, then delivered where they are new."""
    slices = run_slices(context)
    ensure_table(clickhouse, USAGE_DAILY)  # of a home that has metered nothing yet
    changes = {name: lake.changes_since(name, None)[0] for name in SOURCES}
    published = [
        publish(
            exports_store,
            slice_,
            read_rows(slice_, lake, clickhouse),
            source_snapshots=source_snapshots(changes, slice_),
            run_id=context.run.run_id,
        )
        for slice_ in export_slices(slices)
    ]
    outcome = deliver_all(deliveries, slices.tenant_id, published, context.run.run_id)
    return dg.MaterializeResult(metadata=exports_metadata(slices, published, outcome))


def export_slices(slices: RunSlices) -> list[ExportSlice]:
    """Every dataset of every date: by date, scores last."""
    datasets = [*MARTS.values(), SCORES_DATASET]
    return [ExportSlice(slices.tenant_id, dataset, day) for day in slices.dates for dataset in datasets]


def read_rows(slice_: ExportSlice, lake: Lake, clickhouse: ClickHouse) -> pa.Table:
    """The slice's rows: a mart's from ClickHouse, the scores with their features from the lake."""
    if slice_.dataset.name != SCORES:
        parameters = {"tenant_id": slice_.tenant_id, "date": slice_.date}
        return clickhouse.query_arrow(mart_sql(slice_.dataset), parameters)
    scores = lake.read_slices("ml.scores", slice_.tenant_id, [slice_.date])
    features = lake.read_slices("ml.user_features", slice_.tenant_id, [slice_.date])
    return scores.join(features, on=["tenant_id", "as_of", "app_id", "user_id"], how="inner").to_arrow()


def source_snapshots(changes: dict[str, list[SnapshotChange]], slice_: ExportSlice) -> dict[str, int | None]:
    """Lake tables behind the slice → the newest snapshot that wrote this (tenant, date); None when expired.

    The slice's own snapshots, not the tables' newest: what other tenants do must not change a manifest.
    """
    tables = SOURCES if slice_.dataset.name == SCORES else SOURCES[:1]
    return {name: newest_of_slice(changes[name], slice_.tenant_id, slice_.date) for name in tables}


def newest_of_slice(changes: Iterable[SnapshotChange], tenant_id: str, date: dt.date) -> int | None:
    """The last of these snapshots (oldest first) that touched (tenant, date)."""
    touching = [change.snapshot_id for change in changes if date in change.slices.get(tenant_id, ())]
    return touching[-1] if touching else None


def exports_metadata(slices: RunSlices, published: Sequence[Published], outcome: Outcome) -> dict[str, Any]:
    """Rows and bytes per dataset, restatements, and what became of the deliveries."""
    to_plane = {item.slice for where, item in outcome.delivered if where == PLANE}
    names = [*MARTS, SCORES]
    rows = {name: sum(p.rows for p in published if p.slice.dataset.name == name) for name in names}
    lines = ["| dataset | date | rows | bytes | restatement | pushed |", "|---|---|---:|---:|---:|---|"]
    lines += [
        f"| {p.slice.dataset.name} | {p.slice.date} | {p.rows} | {p.bytes} | {p.restatement} "
        f"| {'yes' if p.slice in to_plane else 'no'} |"
        for p in published
    ]
    return {
        "tenant": slices.tenant_id,
        "rows": dg.MetadataValue.json(rows),
        "bytes": sum(p.bytes for p in published),
        "restated": sum(p.changed and p.restatement > 0 for p in published),
        "pushed": len(to_plane),
        "delivered_elsewhere": len(outcome.delivered) - len(to_plane),
        "waiting": len(outcome.waiting),
        "dead": len(outcome.dead),
        "files": dg.MetadataValue.md("\n".join(lines)),
    }
