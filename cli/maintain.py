"""`unmogrowp maintain`: the nightly upkeep of the lake, by hand and without Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, fail, stderr, table
from cli.stack import JsonOption
from resources.errors import SettingsError
from resources.settings import load_settings
from schemas import table_schemas

if TYPE_CHECKING:
    from resources.lake_maintenance import TableUpkeep

COLUMNS = ("table", "compacted", "files", "expired", "kept", "orphans", "orphan MB")


def maintain_command(
    tables: Annotated[list[str] | None, typer.Argument(help="only these tables, e.g. raw.events")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done and change nothing")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compact closed days, expire snapshots and remove orphaned files; safe while the stack runs."""
    from resources.lake import Lake  # noqa: PLC0415 - 1.4 CPU s of import
    from resources.lake_maintenance import maintain_table  # noqa: PLC0415 - as above

    settings = load_settings()
    lake = Lake(settings)
    lake.ensure_tables()
    done = []
    for name in _known(tables):
        stderr.print(f"maintaining {name} …", style="dim")
        done.append(maintain_table(lake, settings, name, dry_run=dry_run))
    lake.close()
    failures = [failure for upkeep in done for failure in upkeep.failures]
    payload = {"ok": not failures, "dry_run": dry_run, "tables": [upkeep.document() for upkeep in done]}
    emit(payload, as_json, lambda console: _render(console, done, dry_run))
    if failures:
        fail("; ".join(failures))


def _known(tables: list[str] | None) -> list[str]:
    known = list(table_schemas())
    unknown = sorted(set(tables or ()) - set(known))
    if unknown:
        raise SettingsError(f"no table is called {', '.join(unknown)}: there are {', '.join(known)}")
    return tables or known


def _render(console: Any, done: list[TableUpkeep], dry_run: bool) -> None:
    console.print(table("Would be done" if dry_run else "Done", COLUMNS, [_row(upkeep) for upkeep in done]))
    for note in (note for upkeep in done for note in upkeep.skipped):
        console.print(f"left for next time: {note}")


def _row(upkeep: TableUpkeep) -> tuple[object, ...]:
    before = sum(compaction.files_before for compaction in upkeep.compactions)
    after = sum(compaction.files_after for compaction in upkeep.compactions)
    return (
        upkeep.table,
        upkeep.partitions_to_compact if upkeep.dry_run else len(upkeep.compactions),
        f"{before} → {after}" if before else "–",
        upkeep.snapshots_expired,
        upkeep.snapshots_before - upkeep.snapshots_expired,
        upkeep.orphan_files,
        round(upkeep.orphan_bytes / 1e6, 1),
    )
