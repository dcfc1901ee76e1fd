"""`unmogrowp import`: an existing export through the same HTTP door as live events, resumable and repeatable.

Formats are `cli.importers`' modules; this one decides what is sent and remembers how far it came.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.importers import Importer, Record, Survey, file_sha256
from cli.importers.batches import RowBatch, whole_rows
from cli.importers.formats import NO_CHOICES, Choices, ImportFormat, importer_of
from cli.importers.packed import name_unpacked
from cli.importers.progress import Progress, load_progress, progress_path, save_progress
from cli.importers.rejected import RejectedFile, require_own_file
from cli.importers.shift import DoorWindow, choose_shift_days
from cli.output import emit, fail, table
from cli.sending import door_client, progress_bar
from resources.errors import UnMoGrowPError
from resources.registry import Registry
from resources.settings import Settings, load_settings
from unmogrowp.client import Batch, BatchAnswer, SendReport


@dataclass(frozen=True)
class ImportReport:
    """What one run of the command did; `rejected` counts rows over all runs of this pass."""

    progress: Progress
    survey: Survey
    resumed_after_row: int
    sent: SendReport

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        progress, survey = self.progress, self.survey
        return {
            "tenant_id": progress.tenant_id,
            "file": progress.file,
            "sha256": progress.sha256,
            "format": progress.format,
            "shift_days": progress.shift_days,
            "rows": survey.rows,
            "events": survey.events,
            "resumed_after_row": self.resumed_after_row,
            "rejected": {
                "rows": progress.rejected_rows,
                "unreadable": survey.rejected,
                "with_quarantined_events": progress.rejected_rows - survey.rejected,
                "file": progress.rejected if progress.rejected_rows else None,
            },
            "left_out": survey.left_out,
            **self.sent.document(),
        }


def import_command(
    file: Annotated[Path, typer.Argument(help="the export; .gz and .zst are unpacked", dir_okay=False)],
    *,
    file_format: Annotated[ImportFormat, typer.Option("--format", help="what wrote the file")],
    tenant: Annotated[str, typer.Option("--tenant", help="tenant id")],
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="TOML: which column becomes which field (csv, ndjson)")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="of times without a zone, e.g. Europe/Berlin; else UTC")
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option("--shift", help="auto (last day becomes yesterday), none, or a number of days"),
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="where rejected rows go; else beside the file")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Send an existing export through the door. Safe to repeat; resumes what was interrupted."""
    settings = load_settings()
    choices = Choices(shift, mapping, timezone, rejected)
    try:
        report = import_file(settings, file, file_format, tenant, choices, show_progress=not as_json)
    except (UnMoGrowPError, OSError) as error:
        fail(str(error))
    emit(report.document(), as_json, lambda console: _render(console, report))


def import_file(
    settings: Settings,
    file: Path,
    file_format: ImportFormat,
    tenant_id: str,
    choices: Choices = NO_CHOICES,
    *,
    show_progress: bool = False,
) -> ImportReport:
    """Imports one file; resumes where an interrupted import of it stopped, else sends all of it.

    Raises:
        UnMoGrowPError: nothing can be sent, or sending stopped; the message names tenant and way out.
        OSError: the file cannot be read.
    """
    importer = importer_of(file_format, choices)
    survey = importer.survey(file, tenant_id)
    fresh = Progress(
        tenant_id=tenant_id,
        file=file.name,
        sha256=file_sha256(file),
        format=file_format,
        shift_days=0,
        rows=survey.rows,
        options=importer.options,
        rejected=str(_rejected_path(file, importer, choices)),
    )
    progress = _planned(settings, fresh, survey, choices.shift, importer.refused_share_max)
    return _Pass(settings, file, importer, survey, progress).run(show_progress=show_progress)


class _Pass:
    """One pass over a file, from where the last one stopped."""

    def __init__(
        self, settings: Settings, file: Path, importer: Importer, survey: Survey, progress: Progress
    ) -> None:
        self.settings, self.file, self.importer, self.survey = settings, file, importer, survey
        self.progress, self.after_row = progress, progress.rows_acknowledged
        self.record = progress_path(settings.home, progress.tenant_id, progress.sha256)
        self.rejected = RejectedFile(Path(progress.rejected), importer.rejected_layout(file))

    def run(self, *, show_progress: bool) -> ImportReport:
        """Sends, and keeps what was refused."""
        tenant_id = self.progress.tenant_id
        with (
            closing(Registry.from_settings(self.settings)) as registry,
            door_client(self.settings, registry, tenant_id) as client,
            progress_bar(hidden=not show_progress) as bar,
            self.rejected,
        ):
            self._begin()
            task = bar.add_task(
                f"{self.file.name} → {tenant_id}", total=self.survey.rows, completed=self.after_row
            )

            def acknowledged(batch: Batch, answer: BatchAnswer) -> None:
                self._acknowledged(batch, answer)
                bar.update(task, completed=batch.mark)

            sent = client.send(whole_rows(self._records(), self._reject), acknowledged)
            self._save(self.survey.rows)
        return ImportReport(self.progress, self.survey, self.after_row, sent)

    def _begin(self) -> None:
        if self.after_row:
            self.rejected.resume(self.progress.rejected_bytes, self.after_row)
        else:
            save_progress(self.record, self.progress)
            self.rejected.start_over()
        self._save(self.after_row)

    def _records(self) -> Iterator[Record]:
        progress = self.progress
        return self.importer.records(
            self.file,
            progress.tenant_id,
            progress.sha256,
            shift_days=progress.shift_days,
            after_row=self.after_row,
        )

    def _reject(self, record: Record) -> None:
        self.rejected.add(record.row, record.source, record.reason)

    def _acknowledged(self, batch: Batch, answer: BatchAnswer) -> None:
        if isinstance(batch, RowBatch):
            for record, reason in batch.refused(answer):
                self.rejected.add(record.row, record.source, reason)
        self._save(batch.mark)

    def _save(self, rows: int) -> None:
        """The rejected rows first: the record never claims a row whose rejection is not on disk."""
        size_bytes = self.rejected.sync()
        self.progress = replace(
            self.progress,
            rows_acknowledged=rows,
            rejected_bytes=size_bytes,
            rejected_rows=self.rejected.rows,
        )
        save_progress(self.record, self.progress)


def _planned(
    settings: Settings, fresh: Progress, survey: Survey, shift: str | None, refused_share_max: float
) -> Progress:
    """With which shift, and from where on, this import will send."""
    before = load_progress(progress_path(settings.home, fresh.tenant_id, fresh.sha256))
    window = DoorWindow.of(dt.datetime.now(dt.UTC), settings.late_days)
    recorded_days = before.shift_days if before else None
    shift_days = choose_shift_days(shift, recorded_days, survey, window, refused_share_max)
    planned = replace(fresh, shift_days=shift_days)
    is_own_file = before is not None and before.rejected == fresh.rejected
    if before is not None and not before.is_complete and is_own_file:
        if not _can_resume(before, fresh):
            return planned  # from the first row on, over the file of rejected rows that the last pass began
        return replace(
            planned, rows_acknowledged=before.rows_acknowledged, rejected_bytes=before.rejected_bytes
        )
    require_own_file(Path(fresh.rejected), before.rejected_bytes if before and is_own_file else 0)
    return planned


def _can_resume(before: Progress, now: Progress) -> bool:
    """Whether the rest of the file gives what it would have given, and the rejected rows so far are there."""
    rejected = Path(before.rejected)
    has_rejected = not before.rejected_rows or (
        rejected.exists() and rejected.stat().st_size >= before.rejected_bytes
    )
    return before.options == now.options and has_rejected


def _rejected_path(file: Path, importer: Importer, choices: Choices) -> Path:
    if choices.rejected is not None:
        return choices.rejected.absolute()
    stem = Path(name_unpacked(file)).stem
    return file.absolute().with_name(f"{stem}.rejected{importer.rejected_layout(file).suffix}")


def _render(console: Console, report: ImportReport) -> None:
    sent, progress = report.sent, report.progress
    title = f"{progress.file} → {progress.tenant_id}, moved by {progress.shift_days} days"
    seconds = round(sent.seconds, 1)
    columns = ("rows", "rejected rows", "sent", "accepted", "quarantined", "seconds")
    counts = (progress.rows, progress.rejected_rows, sent.sent, sent.accepted, sent.quarantined, seconds)
    console.print(table(title, columns, [counts]))
    if report.resumed_after_row:
        console.print(f"resumed after row {report.resumed_after_row:,} of {report.survey.rows:,}")
    for code, count in sent.reasons.most_common():
        console.print(f"quarantined {count:,} × {code}: {sent.examples[code]}", markup=False)
    if progress.rejected_rows:
        console.print(f"rejected rows, each with its reason: {progress.rejected}", markup=False)
    for name, count in sorted(report.survey.left_out.items()):
        console.print(f"left out, for it is personal: {count:,} × {name}", markup=False)
