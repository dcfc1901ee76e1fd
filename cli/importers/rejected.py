"""The file of rejected rows: rows that gave no event, and rows of which the door quarantined an event.

It has the source's own form with the row's number and the reason added, so that a corrected file can be
imported as it is; it holds what the source holds, personal values too, so only its owner may read it. Each
row stands there once. It may run ahead of the recorded progress: a resumed import takes out what lies behind
its starting row, for those rows come again.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import orjson

from cli.importers.lines import TakenLines
from resources.errors import ContractError

REJECTED_COLUMNS = ("rejected_row", "rejected_reason")
REJECTED_ROW, REJECTED_REASON, REJECTED_LINE = "rejectedRow", "rejectedReason", "rejectedLine"


class RejectedLayout(Protocol):
    """How rejected rows of one source are written down and found again."""

    @property
    def suffix(self) -> str:
        """The file name's ending."""

    @property
    def first_line(self) -> bytes:
        """What the file begins with; empty for nothing."""

    def line(self, row: int, source: bytes, reason: str) -> bytes:
        """The row with number and reason, without a line end."""

    def rows(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Number and line of every row written to the file."""


@dataclass(frozen=True)
class CsvLayout:
    """The source's header and two columns more."""

    header_source: bytes
    delimiter: str
    columns: int
    suffix: str = ".csv"

    @property
    def first_line(self) -> bytes:
        """The header."""
        return self.header_source + self.delimiter.encode() + self._encoded(list(REJECTED_COLUMNS))

    def line(self, row: int, source: bytes, reason: str) -> bytes:
        """The row's own text, then both columns; filled up where it is too short, mended where it is broken."""
        text = source.decode("utf-8", "surrogateescape")
        values = next(csv.reader([text], delimiter=self.delimiter), [])
        missing = max(0, self.columns - len(values))
        more = [str(row), reason]
        line = source + self.delimiter.encode() * (missing + 1) + self._encoded(more)
        written = next(csv.reader([line.decode("utf-8", "surrogateescape")], delimiter=self.delimiter))
        return line if written[-2:] == more else self._encoded([*values, *[""] * missing, *more])

    def rows(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """As the protocol says."""
        with io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="") as text:
            lines = TakenLines(text)
            reader = csv.reader(lines, delimiter=self.delimiter)
            next(reader, None)
            lines.take()
            for values in reader:
                yield int(values[-2]), lines.take()

    def _encoded(self, values: list[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.delimiter, lineterminator="").writerow(values)
        return text.getvalue().encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class NdjsonLayout:
    """The source's objects with two members more; what is no object is kept as text."""

    suffix: str = ".ndjson"
    first_line: bytes = b""

    def line(self, row: int, source: bytes, reason: str) -> bytes:
        """The object as it was, and the two members."""
        more = orjson.dumps({REJECTED_ROW: row, REJECTED_REASON: reason})
        document = json_object(source)
        if document is None:
            text = source.decode("utf-8", "backslashreplace")
            return more[:-1] + b"," + orjson.dumps({REJECTED_LINE: text})[1:]
        return source.rstrip()[:-1] + b"," + more[1:] if document else more

    def rows(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """As the protocol says."""
        for line in file:
            yield orjson.loads(line)[REJECTED_ROW], line.rstrip(b"\n")


def json_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that the line is; None when it is none."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


class RejectedFile:
    """The file while an import writes it; a context manager. No file is there until a row is rejected."""

    def __init__(self, path: Path, layout: RejectedLayout) -> None:
        self.path, self.rows = path, 0
        self._layout = layout
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def start_over(self) -> None:
        """Forgets what an earlier pass over the source wrote."""
        self.path.unlink(missing_ok=True)

    def resume(self, durable_bytes: int, after_row: int) -> None:
        """Keeps the rows up to `after_row`, of which the first `durable_bytes` of the file tell."""
        if not self.path.exists():
            return
        os.truncate(self.path, durable_bytes)
        draft = self.path.with_name(f"{self.path.name}.tmp")
        with self.path.open("rb") as written, _private(draft) as kept:
            if self._layout.first_line:
                kept.write(self._layout.first_line + b"\n")
            for row, line in self._layout.rows(written):
                if row <= after_row:
                    kept.write(line + b"\n")
                    self.rows += 1
            kept.flush()
            os.fsync(kept.fileno())
        draft.replace(self.path)
        if not self.rows:
            self.path.unlink()

    def add(self, row: int, source: bytes, reason: str) -> None:
        """Writes one rejected row; durable after `sync`."""
        if self._file is None:
            is_new = not self.path.exists()
            self._file = _private(self.path)
            if is_new and self._layout.first_line:
                self._file.write(self._layout.first_line + b"\n")
        self._file.write(self._layout.line(row, source, reason) + b"\n")
        self.rows += 1

    def sync(self) -> int:
        """Makes what was added durable; the file's size in bytes."""
        if self._file is None:
            return self.path.stat().st_size if self.path.exists() else 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()


def require_own_file(path: Path, recorded_bytes: int) -> None:
    """Refuses to write over a file that the last pass over this source did not leave behind as it is.

    Raises:
        ContractError: it was changed since, or comes from elsewhere.
    """
    if path.exists() and path.stat().st_size != recorded_bytes:
        raise ContractError(
            f"{path} would be written over, and it is not what the last import of this file left there: "
            "move it away, or give another --rejected"
        )


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
