"""Readers of other systems' exports: one module per format, each giving v1 events with stable ids.

A format module holds pure functions from a file to events; it sends nothing and keeps no state. What they
share is here: the `Importer` protocol, what a `Survey` says, what a `Record` is. Where rows that cannot be
taken go is `rejected`'s; batches and progress are the command's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cli.importers.rejected import RejectedLayout
from resources.errors import ContractError


class RowError(ContractError):
    """A row that cannot be turned into events; the message is the reason, without the row's number."""


@dataclass(frozen=True)
class Survey:
    """What a file holds, from one reading of it: rows, events per type, and events per UTC day.

    `rejected` counts the rows that give no event; `left_out` the values, by column, that no event carries
    because they are personal and no personal field of the contract takes them.
    """

    rows: int
    events: dict[str, int]
    per_day: dict[dt.date, int]
    rejected: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def first_date(self) -> dt.date:
        """The first day with events."""
        return min(self.per_day)

    @property
    def last_date(self) -> dt.date:
        """The last day with events."""
        return max(self.per_day)


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the source: its events as JSON lines, or the reason why it gives none.

    `source` is the row as the file has it, without its line end.
    """

    row: int
    source: bytes
    lines: tuple[bytes, ...] = ()
    reason: str = ""


class Importer(Protocol):
    """One format.

    `refused_share_max` is how much of a file may lie outside the door's window before an import is refused
    up front: nothing of a data set; half of a replay, whose single bad events are the door's to judge.
    `options` says in short what besides the file decides its events: with other options an interrupted
    import starts over instead of resuming.
    """

    refused_share_max: float
    options: str

    def survey(self, path: Path, tenant_id: str) -> Survey:
        """Reads the whole file without sending anything.

        Raises:
            ContractError: it is not of this format, or no row of it gives an event.
        """

    def records(
        self, path: Path, tenant_id: str, sha256: str, *, shift_days: int, after_row: int
    ) -> Iterator[Record]:
        """The rows after `after_row`, in order; rows are numbered from 1."""

    def rejected_layout(self, path: Path) -> RejectedLayout:
        """What a file of rejected rows of this file looks like."""


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal: what ids and progress are tied to."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def id_namespace(sha256: str) -> uuid.UUID:
    """The namespace of the event ids made for this file: the same file always gives the same ids."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{sha256}")
