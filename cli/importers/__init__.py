"""Readers of other systems' exports: one module per format, each giving v1 events with stable ids.

A format module holds pure functions from a file to events; it sends nothing and keeps no state. What they
share is here: the `Importer` protocol, what a `Survey` says, and opening packed files.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zstandard


@dataclass(frozen=True)
class Survey:
    """What a file holds, from one reading of it: rows, events per type, and events per UTC day."""

    rows: int
    events: dict[str, int]
    per_day: dict[dt.date, int]

    @property
    def first_date(self) -> dt.date:
        """The first day with events."""
        return min(self.per_day)

    @property
    def last_date(self) -> dt.date:
        """The last day with events."""
        return max(self.per_day)


class Importer(Protocol):
    """One format.

    `refused_share_max` is how much of a file may lie outside the door's window before an import is refused
    up front: nothing of a data set; half of a replay, whose single bad events are the door's to judge.
    """

    refused_share_max: float

    def survey(self, path: Path, tenant_id: str) -> Survey:
        """Reads the whole file without sending anything.

        Raises:
            ContractError: it is not of this format; the message names the row.
        """

    def events(
        self, path: Path, tenant_id: str, sha256: str, *, shift_days: int, after_row: int
    ) -> Iterator[tuple[int, bytes]]:
        """Row number (from 1) and event as a JSON line, for the rows after `after_row`, in order."""


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal: what ids and progress are tied to."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def id_namespace(sha256: str) -> uuid.UUID:
    """The namespace of the event ids made for this file: the same file always gives the same ids."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{sha256}")


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The file's content as bytes, unpacked where the name ends in `.zst` or `.gz`."""
    with path.open("rb") as file:
        if path.suffix == ".zst":
            unpacker = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            yield io.BufferedReader(unpacker)
        elif path.suffix == ".gz":
            yield io.BufferedReader(gzip.GzipFile(fileobj=file))
        else:
            yield file
