"""Reading a file of paths: `path;conversions;value;nulls`, a row per path. What credit it gives is not here."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from resources.credit.paths import GroupedPaths, PathBuilder
from resources.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SEPARATOR = " > "
REQUIRED = ("path", "conversions")
OPTIONAL = ("value", "nulls", "ages_days", "registration", "first_purchase")
EXAMPLE = "path;conversions;value;nulls"

_AMOUNT = re.compile(r"(-?)([0-9]{1,13})(?:\.([0-9]{1,6}))?")  # 13 digits and 6 decimals fit 64 bits
_AGE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,12})?")
_COUNT = re.compile(r"[0-9]{1,18}")


class PathFile(NamedTuple):
    """What a file holds: its paths, its rows, and the rows whose path was cut to the most recent touches."""

    paths: GroupedPaths
    rows: int
    shortened_rows: int


def read_paths(lines: Iterable[str], name: str) -> PathFile:
    """Group a file's rows, line by line: memory grows with touches (4 bytes each), never with the text.

    Columns go by the header's names, in any order. Amounts are decimals with at most six places. Optional columns:
    `ages_days` (per touch, joined like the path), `registration` and `first_purchase` (the touch, from 1, that led
    to each).

    Raises:
        ContractError: with the line, the column and what to write instead.
    """
    reader = csv.reader(lines, delimiter=";", strict=True)
    builder, rows = PathBuilder(), 0
    try:
        columns = _columns(next(reader, None), name)
        for fields in reader:
            if fields:
                rows += 1
                _add(builder, columns, fields, f"{name}, line {reader.line_num}")
        return PathFile(builder.build(), rows, builder.shortened_rows)
    except csv.Error as error:
        raise ContractError(f"{name}, line {reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise ContractError(
            f"{name}, after line {reader.line_num}: it is not UTF-8 text: save it as UTF-8"
        ) from error


def _columns(header: Sequence[str] | None, name: str) -> list[str]:
    if not header:
        raise ContractError(f"{name} is empty: its first line is to be {EXAMPLE}")
    columns = [column.strip().lower() for column in header]
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise ContractError(
            f"{name}, line 1: column {missing[0]} is missing: the first line is to be {EXAMPLE}, fields apart by ';'"
        )
    for place, column in enumerate(columns, 1):
        if column not in REQUIRED + OPTIONAL or columns.index(column) != place - 1:
            raise ContractError(
                f"{name}, line 1, column {place}: {column!r} is there twice or unknown: "
                f"the columns are {', '.join(REQUIRED + OPTIONAL)}"
            )
    return columns


def _add(builder: PathBuilder, columns: list[str], fields: list[str], where: str) -> None:
    if len(fields) != len(columns):
        raise ContractError(f"{where}: {len(fields)} fields where the header has {len(columns)}")
    row: dict[str, Any] = {}
    for place, (column, text) in enumerate(zip(columns, fields, strict=True), 1):
        if text or column in REQUIRED:  # an empty optional field is unknown, or nothing
            try:
                row[column] = _PARSERS[column](text)
            except ValueError as error:
                raise ContractError(f"{where}, column {place} ({column}): {error}") from error
    try:
        builder.add(
            row["path"],
            conversions=row["conversions"],
            value_micros=row.get("value", 0),
            nulls=row.get("nulls", 0),
            ages_days=row.get("ages_days", ()),
            milestones=(row.get("registration", 0), row.get("first_purchase", 0)),
        )
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from error


def _channels(text: str) -> list[str]:
    channels = [channel.strip() for channel in text.split(SEPARATOR)]
    for place, channel in enumerate(channels, 1):
        if not channel:
            raise ValueError(f"touch {place} has no name: a path is channels joined by '{SEPARATOR}'")
    return channels


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no count: write a whole number from 0")
    return int(text)


def _micros(text: str) -> int:
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no amount: write a decimal like 12.50, with at most six places")
    sign, whole, places = match.groups()
    micros = int(whole) * 1_000_000 + int((places or "").ljust(6, "0"))
    return -micros if sign else micros


def _ages(text: str) -> list[float]:
    ages = text.split(SEPARATOR)
    if not all(_AGE.fullmatch(age.strip()) for age in ages):
        raise ValueError(
            f"{text!r} holds an age that is none: write days before the conversion, like 3.5 > 0"
        )
    return [float(age) for age in ages]


_PARSERS: dict[str, Callable[[str], Any]] = {
    "path": _channels,
    "conversions": _count,
    "value": _micros,
    "nulls": _count,
    "ages_days": _ages,
    "registration": _count,
    "first_purchase": _count,
}


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines of a UTF-8 file read as bytes, without a byte order mark."""
    for number, line in enumerate(chunks):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8")
