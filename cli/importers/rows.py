"""What the row-by-row formats share: counting a file, and going through it again to send it.

A format gives rows and, for each, events or a `RowError`. What columns mean is the formats' own. One row is in
memory at a time, and the batches on their way: 1,000,000 rows of AppsFlyer's 75 columns (350 MB) took 82 MB
at most, 20,000 rows 80, and 48 MB were there before the first row; counting them cost 79 µs of CPU a row, making
their 1,333,334 events 82 µs, on two busy cores.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from cli.importers import Record, RowError, Survey
from cli.importers.rejected import RejectedLayout
from resources.errors import ContractError

Content = TypeVar("Content")
Event = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One reading of a file: for whom, moved by how much, and what of it was left out."""

    tenant_id: str
    sha256: str = ""
    shift_days: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class SourceRow(Generic[Content]):
    """One row as it was read; a `problem` says why it cannot be."""

    number: int
    source: bytes
    content: Content
    problem: str = ""


class RowImporter(ABC, Generic[Content]):
    """An importer whose events come from one row each."""

    # Real exports hold touches older than the door takes (a lookback window of up to 30 days before the
    # install): single old rows are the door's to judge.
    refused_share_max = 0.5
    options = ""

    @abstractmethod
    def rows(self, path: Path) -> Iterator[SourceRow[Content]]:
        """The file's rows in order."""

    @abstractmethod
    def row_events(self, row: SourceRow[Content], job: Job) -> list[Event]:
        """The events of one row.

        Raises:
            RowError: it gives none.
        """

    @abstractmethod
    def rejected_layout(self, path: Path) -> RejectedLayout:
        """What a file of rejected rows of this file looks like."""

    def survey(self, path: Path, tenant_id: str) -> Survey:
        """Counts rows, events per type and day, and rows that give none."""
        job = Job(tenant_id)
        rows = rejected = 0
        kinds, days = Counter[str](), Counter[str]()
        first_problem = ""
        for row in self.rows(path):
            rows = row.number
            events, problem = self._judged(row, job)
            if problem:
                rejected += 1
                first_problem = first_problem or f"row {rows}: {problem}"
            for event in events:
                kinds[event["eventType"]] += 1
                days[event["timestamp"][:10]] += 1
        if not rows:
            raise ContractError(f"{path.name} holds no rows: give an export with at least one")
        if not days:
            raise ContractError(
                f"none of the {rows} rows of {path.name} can be turned into an event ({first_problem}): "
                "see that --format and the columns fit"
            )
        per_day = {dt.date.fromisoformat(day): count for day, count in days.items()}
        return Survey(rows, dict(kinds), per_day, rejected, dict(job.left_out))

    def records(
        self, path: Path, tenant_id: str, sha256: str, *, shift_days: int, after_row: int
    ) -> Iterator[Record]:
        """The rows after `after_row` as events or reasons."""
        job = Job(tenant_id, sha256, shift_days)
        for row in self.rows(path):
            if row.number > after_row:
                events, problem = self._judged(row, job)
                yield Record(row.number, row.source, tuple(map(orjson.dumps, events)), problem)

    def _judged(self, row: SourceRow[Content], job: Job) -> tuple[list[Event], str]:
        if row.problem:
            return [], row.problem
        try:
            return self.row_events(row, job), ""
        except RowError as error:
            return [], str(error)
