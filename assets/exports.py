"""`tenant_exports`: every mart and the scores of a slice as files with a manifest, then pushed to the tenant.

What a file looks like is in export_contract.py, how it is published in export_files.py, how it is sent in
resources/tenant_gateway.py. Everything is published before anything is pushed: a plane that is away costs
the tenant its push, not its exports.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster import ResourceParam

from assets.export_contract import MARTS, SCORES, SCORES_DATASET, mart_sql
from assets.export_files import (
    ExportSlice,
    Published,
    acknowledge,
    content_of,
    is_acknowledged,
    publish,
    was_ever_pushed,
)
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import ensure_table
from resources.errors import RetryableError
from resources.lake import Lake, SnapshotChange
from resources.object_store import ObjectStore
from resources.tenant_gateway import TenantGateway
from resources.usage import USAGE_DAILY

SOURCES = ("clean.events", "ml.scores")
SCORE_MODEL = "ltv"  # the name the tenant sees; a new version replaces the day's scores, whatever made them
ROW_COLUMNS_NOT_SENT = ("as_of", "model_name")  # the day and the model are said once, beside the items
# the gateway itself waits about 8 s for a plane that restarts; these wait for one that is upgraded
PUSH_RETRIES = 3
PUSH_RETRY_DELAY_S = 30


@dg.asset(
    partitions_def=TENANT_DAY,
    deps=[*MARTS, SCORES],
    group_name="exports",
    kinds={"parquet"},
    description="The tenant's marts and scores as Parquet with manifests, pushed to its own plane.",
)
def tenant_exports(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    clickhouse: ResourceParam[ClickHouse],
    exports_store: ResourceParam[ObjectStore],
    gateway: ResourceParam[TenantGateway],
) -> dg.MaterializeResult[None]:
    """Marts of ClickHouse and scores of the lake, published file by file, then pushed where they are new."""
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
    pushed = push_all(gateway, exports_store, published)
    return dg.MaterializeResult(metadata=exports_metadata(slices, published, pushed))


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


def push_all(gateway: TenantGateway, store: ObjectStore, published: Sequence[Published]) -> list[Published]:
    """Push what is new; what was pushed.

    Raises:
        RetryRequested: the plane is away; the exports are published and the step comes back to push the rest.
    """
    try:
        return [item for item in published if push_if_new(gateway, store, item)]
    except RetryableError as error:
        raise dg.RetryRequested(PUSH_RETRIES, PUSH_RETRY_DELAY_S) from error


def push_if_new(gateway: TenantGateway, store: ObjectStore, published: Published) -> bool:
    """Push what the tenant's plane has not acknowledged yet, and note its acknowledgement.

    Empty scores are pushed only where there were some: a day without a model is no news.

    Returns:
        Whether something was pushed. False too when the tenant has no plane (yet): its exports wait.
    """
    slice_ = published.slice
    target = gateway.target(slice_.tenant_id)
    if target is None or is_acknowledged(store, published, target.fingerprint):
        return False
    if slice_.dataset.name == SCORES:
        if not published.rows and not was_ever_pushed(store, slice_):
            return False
        _push_scores(gateway, store, published)
    else:
        content, key = content_of(store, published), idempotency_key(published)
        gateway.push_mart(slice_.tenant_id, slice_.dataset.name, slice_.date, content, key)
    acknowledge(store, published, target.fingerprint)
    return True


def idempotency_key(published: Published) -> str:
    """One key per content and restatement: a repetition is recognised, a change back is not one."""
    slice_ = published.slice
    parts = (slice_.tenant_id, slice_.dataset.name, slice_.date, published.restatement, published.sha256[:16])
    return ":".join(str(part) for part in parts)


def _push_scores(gateway: TenantGateway, store: ObjectStore, published: Published) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only where scores are pushed

    table = pq.read_table(pa.BufferReader(content_of(store, published)))
    generated_at = dt.datetime.now(dt.UTC)
    gateway.push_scores(
        published.slice.tenant_id,
        model=SCORE_MODEL,
        as_of=published.slice.date,
        rows=table.drop_columns(list(ROW_COLUMNS_NOT_SENT)).to_pylist(),
        generated_at=generated_at,
        # the body holds the moment, and a key names one body
        idempotency_key=f"{idempotency_key(published)}:{generated_at.timestamp():.6f}",
    )


def exports_metadata(
    slices: RunSlices, published: Sequence[Published], pushed: Sequence[Published]
) -> dict[str, Any]:
    """Rows and bytes per dataset, restatements, and how much was pushed."""
    names = [*MARTS, SCORES]
    rows = {name: sum(p.rows for p in published if p.slice.dataset.name == name) for name in names}
    lines = ["| dataset | date | rows | bytes | restatement | pushed |", "|---|---|---:|---:|---:|---|"]
    lines += [
        f"| {p.slice.dataset.name} | {p.slice.date} | {p.rows} | {p.bytes} | {p.restatement} "
        f"| {'yes' if p in pushed else 'no'} |"
        for p in published
    ]
    return {
        "tenant": slices.tenant_id,
        "rows": dg.MetadataValue.json(rows),
        "bytes": sum(p.bytes for p in published),
        "restated": sum(p.changed and p.restatement > 0 for p in published),
        "pushed": len(pushed),
        "files": dg.MetadataValue.md("\n".join(lines)),
    }
