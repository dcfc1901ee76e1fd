"""`lake_upkeep`: every table of the lake compacted, expired and cleaned, one op per table; nightly, or by hand.

Failure modes: a table fails → its op fails with the reason, the other tables' ops run; a partition fails → the
table's other partitions are done, the op fails at its end; a commit was lost to a live writer → told as skipped,
the next night does it; the run is killed → what was committed is done, the rest is orphans for a later night.
"""

from typing import Any

import dagster as dg
from dagster import ResourceParam

from resources.lake import Lake
from resources.lake_maintenance import TableUpkeep, maintain_table
from resources.settings import Settings
from schemas import table_schemas


class LakeUpkeepConfig(dg.Config):
    """What a run by hand may choose; the nightly run takes the defaults."""

    dry_run: bool = False


def op_name(table: str) -> str:
    """`raw.events` → `maintain_raw_events`."""
    return f"maintain_{table.replace('.', '_')}"


def table_op(table: str) -> dg.OpDefinition:
    """The op that maintains one table."""

    @dg.op(name=op_name(table), out=dg.Out(dg.Nothing), description=f"Compact, expire and clean {table}.")
    def maintain(
        context: dg.OpExecutionContext,
        config: LakeUpkeepConfig,
        lake: ResourceParam[Lake],
        settings: ResourceParam[Settings],
    ) -> None:
        upkeep = maintain_table(lake, settings, table, dry_run=config.dry_run)
        metadata = upkeep_metadata(upkeep)
        if upkeep.failures:
            raise dg.Failure("; ".join(upkeep.failures), metadata=metadata)
        context.add_output_metadata(metadata)

    return maintain


def upkeep_metadata(upkeep: TableUpkeep) -> dict[str, Any]:
    """What a person wants to see: what went, what became smaller, what was left for next time."""
    return {
        "dry_run": upkeep.dry_run,
        "snapshots_before": upkeep.snapshots_before,
        "snapshots_expired": upkeep.snapshots_expired,
        "orphan_files": upkeep.orphan_files,
        "orphan_bytes": upkeep.orphan_bytes,
        "partitions_to_compact": upkeep.partitions_to_compact,
        "compactions": dg.MetadataValue.md(_compactions_table(upkeep)),
        "skipped": dg.MetadataValue.json(upkeep.skipped),
    }


def _compactions_table(upkeep: TableUpkeep) -> str:
    lines = ["| partition | rows | files | bytes | planning ms | s |", "|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {done.partition} | {done.rows:,} | {done.files_before:,} → {done.files_after:,} "
        f"| {done.bytes_before:,} → {done.bytes_after:,} "
        f"| {done.planning_ms_before} → {done.planning_ms_after} | {done.seconds} |"
        for done in upkeep.compactions
    ]
    return "\n".join(lines)


@dg.config_mapping
def _every_table(config: LakeUpkeepConfig) -> dict[str, Any]:
    return {"ops": {op_name(table): {"config": {"dry_run": config.dry_run}} for table in table_schemas()}}


@dg.job(
    name="lake_upkeep",
    config=_every_table,
    executor_def=dg.in_process_executor,  # one import of PyIceberg instead of one per table
    description="Compacts closed days, expires snapshots and removes orphaned files of every table.",
)
def lake_upkeep() -> None:
    """One op per table, none after another: a bad table blocks no other."""
    for table in table_schemas():
        table_op(table)()


def lake_upkeep_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Every night at MAINTENANCE_CRON, in UTC: days close at midnight UTC."""
    return dg.ScheduleDefinition(
        name="lake_upkeep_nightly",
        job=lake_upkeep,
        cron_schedule=settings.maintenance_cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
