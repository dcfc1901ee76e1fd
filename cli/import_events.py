"""`unmogrowp import`: an existing export through the same HTTP door as live events, resumable and repeatable.

Formats are `cli.importers`' modules; this one decides what is sent and remembers how far it came.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.importers import Importer, Survey, file_sha256
from cli.importers.ndjson import Ndjson
from cli.importers.progress import Progress, load_progress, progress_path, save_progress
from cli.importers.shift import DoorWindow, choose_shift_days
from cli.importers.talkingdata import TalkingData
from cli.output import emit, fail, table
from cli.sending import door_client, progress_bar
from resources.errors import UnMoGrowPError
from resources.ingest_client import BATCH_BYTES, BATCH_EVENTS, Batch, BatchAnswer, SendReport
from resources.registry import Registry
from resources.settings import Settings, load_settings


class ImportFormat(StrEnum):
    """The formats that can be imported."""

    TALKINGDATA = "talkingdata"
    NDJSON = "ndjson"


IMPORTERS: Mapping[ImportFormat, Importer] = {
    ImportFormat.TALKINGDATA: TalkingData(),
    ImportFormat.NDJSON: Ndjson(),
}


@dataclass(frozen=True)
class ImportReport:
    """What one run of the command did."""

    progress: Progress
    survey: Survey
    resumed_after_row: int
    sent: SendReport

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "tenant_id": self.progress.tenant_id,
            "file": self.progress.file,
            "sha256": self.progress.sha256,
            "format": self.progress.format,
            "shift_days": self.progress.shift_days,
            "rows": self.survey.rows,
            "events": self.survey.events,
            "resumed_after_row": self.resumed_after_row,
            **self.sent.document(),
        }


def import_command(
    file: Annotated[Path, typer.Argument(help="the export; .gz and .zst are unpacked", dir_okay=False)],
    *,
    file_format: Annotated[ImportFormat, typer.Option("--format", help="what wrote the file")],
    tenant: Annotated[str, typer.Option("--tenant", help="tenant id")],
    shift: Annotated[
        str | None,
        typer.Option("--shift", help="auto (last day becomes yesterday), none, or a number of days"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Send an existing export through the door. Safe to repeat; resumes what was interrupted."""
    settings = load_settings()
    try:
        report = import_file(settings, file, file_format, tenant, shift=shift, show_progress=not as_json)
    except (UnMoGrowPError, OSError) as error:
        fail(str(error))
    emit(report.document(), as_json, lambda console: _render(console, report))


def import_file(
    settings: Settings,
    file: Path,
    file_format: ImportFormat,
    tenant_id: str,
    *,
    shift: str | None = None,
    show_progress: bool = False,
) -> ImportReport:
    """Imports one file; resumes where an interrupted import of it stopped, else sends all of it.

    Raises:
        UnMoGrowPError: nothing can be sent, or sending stopped; the message names tenant and way out.
        OSError: the file cannot be read.
    """
    importer = IMPORTERS[file_format]
    survey = importer.survey(file, tenant_id)
    progress = _planned(settings, file, file_format, tenant_id, survey, shift=shift)
    record = progress_path(settings.home, tenant_id, progress.sha256)
    after_row = progress.rows_acknowledged
    registry = Registry(settings.registry_url)
    try:
        with (
            door_client(settings, registry, tenant_id) as client,
            progress_bar(hidden=not show_progress) as bar,
        ):
            save_progress(record, progress)
            task = bar.add_task(f"{file.name} → {tenant_id}", total=survey.rows, completed=after_row)

            def acknowledged(batch: Batch, _answer: BatchAnswer) -> None:
                save_progress(record, progress.at_row(batch.mark))
                bar.update(task, completed=batch.mark)

            events = importer.events(
                file, tenant_id, progress.sha256, shift_days=progress.shift_days, after_row=after_row
            )
            sent = client.send(whole_rows(events), acknowledged)
    finally:
        registry.close()
    save_progress(record, progress.at_row(survey.rows))
    return ImportReport(progress.at_row(survey.rows), survey, after_row, sent)


def _planned(
    settings: Settings,
    file: Path,
    file_format: ImportFormat,
    tenant_id: str,
    survey: Survey,
    *,
    shift: str | None,
) -> Progress:
    """With which shift, and from where on, this import will send."""
    sha256 = file_sha256(file)
    before = load_progress(progress_path(settings.home, tenant_id, sha256))
    window = DoorWindow.of(dt.datetime.now(dt.UTC), settings.late_days)
    refused_share_max = IMPORTERS[file_format].refused_share_max
    recorded_days = before.shift_days if before else None
    shift_days = choose_shift_days(shift, recorded_days, survey, window, refused_share_max)
    after_row = before.rows_acknowledged if before and not before.is_complete else 0
    return Progress(tenant_id, file.name, sha256, file_format, shift_days, survey.rows, after_row)


def whole_rows(
    events: Iterator[tuple[int, bytes]], max_events: int = BATCH_EVENTS, max_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """Batches that end at the end of a row; `mark` is that row, so that progress counts rows."""
    lines: list[bytes] = []
    size_bytes = last_row = 0
    for row, line in events:
        if row != last_row and lines and (len(lines) >= max_events or size_bytes + len(line) > max_bytes):
            yield Batch(lines, last_row)
            lines, size_bytes = [], 0
        lines.append(line)
        size_bytes += len(line) + 1
        last_row = row
    if lines:
        yield Batch(lines, last_row)


def _render(console: Console, report: ImportReport) -> None:
    sent, progress = report.sent, report.progress
    title = f"{progress.file} → {progress.tenant_id}, moved by {progress.shift_days} days"
    seconds = round(sent.seconds, 1)
    columns = ("sent", "accepted", "quarantined", "seconds")
    console.print(table(title, columns, [(sent.sent, sent.accepted, sent.quarantined, seconds)]))
    if report.resumed_after_row:
        console.print(f"resumed after row {report.resumed_after_row:,} of {report.survey.rows:,}")
    for code, count in sent.reasons.most_common():
        console.print(f"quarantined {count:,} × {code}: {sent.examples[code]}", markup=False)
