"""Delimited text: header, delimiter, byte order mark, and every row with its text as it stands in the file.

Knows no vendor: which columns there must be is the format modules' business.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from cli.importers.lines import TakenLines
from cli.importers.packed import open_bytes
from cli.importers.rejected import REJECTED_COLUMNS, CsvLayout
from resources.errors import ContractError

DELIMITERS = ",;\t|"
HEADER_MAX_CHARACTERS = 128 * 1024  # the csv module's own limit for a field; 2,000 columns of long names
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its number from 1 (the header is none, blank lines are none), its values, its text."""

    number: int
    values: list[str]
    source: bytes
    problem: str = ""


class Table:
    """An open table. `header` and values are without the columns of a file of rejected rows."""

    def __init__(self, path: Path, text: io.TextIOBase, delimiter: str | None) -> None:
        self.path = path
        first = text.readline(HEADER_MAX_CHARACTERS)
        if len(first) == HEADER_MAX_CHARACTERS:
            raise ContractError(f"{path.name} is no table: its first line does not end; see that it is CSV")
        self._lines = TakenLines(chain([first] if first else [], text))
        self.delimiter = delimiter or likely_delimiter(first)
        self._reader = csv.reader(self._lines, delimiter=self.delimiter)
        columns = next(self._reader, [])
        self._width = len(columns)
        self._is_rejected_file = tuple(columns[-2:]) == REJECTED_COLUMNS
        self.header = columns[:-2] if self._is_rejected_file else columns
        taken = self._lines.take()
        self.header_source = self._encoded(self.header) if self._is_rejected_file else taken

    def rows(self) -> Iterator[TableRow]:
        """The rows; one with too few or too many fields, or that is no UTF-8, says so in `problem`.

        Raises:
            ContractError: a quoted field does not end.
        """
        number = 0
        while True:
            try:
                values = next(self._reader, None)
            except csv.Error as error:
                raise ContractError(
                    f"{self.path.name}, row {number + 1} cannot be read ({error}): see that its quotes are closed"
                ) from error
            if values is None:
                return
            source = self._lines.take()
            if values:
                number += 1
                yield self._row(number, values, source)

    def _row(self, number: int, values: list[str], source: bytes) -> TableRow:
        problem = ""
        if len(values) != self._width:
            problem = f"{len(values)} fields, not {self._width}"
        elif not _is_utf8(source):
            problem = "the row is no UTF-8 text"
        elif self._is_rejected_file:
            values = values[:-2]
            source = self._encoded(values)
        return TableRow(number, values, source, problem)

    def _encoded(self, values: Sequence[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.delimiter, lineterminator="").writerow(values)
        return text.getvalue().encode("utf-8", "surrogateescape")


@contextmanager
def open_table(path: Path, delimiter: str | None = None) -> Iterator[Table]:
    """The table in a file; the delimiter is found in the header unless it is given.

    Raises:
        ContractError: the file is empty, no UTF-8 text, or a damaged archive.
    """
    with open_bytes(path) as file:
        if file.peek(2)[:2] in _UTF16_MARKS:
            raise ContractError(f"{path.name} is UTF-16 text: save it as UTF-8")
        with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            table = Table(path, text, delimiter)
            if not table.header:
                raise ContractError(f"{path.name} is empty: give a file with a header and at least one row")
            yield table


def csv_layout(path: Path, delimiter: str | None = None) -> CsvLayout:
    """What a file of rejected rows of this table looks like."""
    with open_table(path, delimiter) as table:
        return CsvLayout(table.header_source, table.delimiter, len(table.header))


def likely_delimiter(header: str) -> str:
    """The delimiter that gives the header the most columns; a comma when all give one."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def require_columns(path: Path, what: str, missing: Sequence[str], way_out: str) -> None:
    """Refuses a table that lacks columns.

    Raises:
        ContractError: something is missing; names it.
    """
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise ContractError(f"{path.name} is no {what}: it lacks the {noun} {', '.join(missing)}; {way_out}")


def _is_utf8(source: bytes) -> bool:
    if source.isascii():
        return True
    try:
        source.decode()
    except UnicodeDecodeError:
        return False
    return True
