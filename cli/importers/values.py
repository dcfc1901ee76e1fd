"""Texts of exports as values of the contract: moments, money, and whether a field takes a value. Pure.

Says nothing about which column means what. Reasons name the column and never the value, which may be personal
and stands beside the reason in the file of rejected rows.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cli.importers import RowError
from resources.errors import ContractError
from schemas import event_schemas

CONTRACT_VERSION = "v1"
# How exports write "nothing here".
NOTHING = frozenset({"", "null", "NULL", "None", "N/A", "n/a", "(null)"})
MICROS = Decimal(1_000_000)
_EXACT = Context(prec=100)  # a text has at most 59 digits; the default context would round at 28
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_UNIX = re.compile(r"(\d{9,10})(\.\d{1,9})?|(\d{12,13})", re.ASCII)  # seconds or milliseconds since 2001
# At most 19 digits before the point and no large exponent: 1e999999999 would be a number of a gigabyte.
_DECIMAL = re.compile(r"[+-]?(\d{1,19}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)


def zone_of(name: str) -> dt.tzinfo:
    """The time zone of that IANA name.

    Raises:
        ContractError: there is none.
    """
    try:
        return dt.UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ContractError(f"{name} is no time zone: give a name like UTC or Europe/Berlin") from error


def moment_of(text: str, zone: dt.tzinfo, what: str) -> dt.datetime:
    """`2026-11-02 08:30:00`, with T, fraction or zone as well, or Unix seconds or milliseconds, in UTC.

    Without a zone of its own the time is one of `zone`; where clocks go back and it occurs twice, the first.

    Raises:
        RowError: it is no such time.
    """
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        return unix_moment(text, 1_000 if unix[3] else 1, what)
    written = _ISO.fullmatch(text)
    if written is None:
        raise RowError(f"{what} is no time like 2026-11-02 08:30:00")
    suffix = (written[2] or "").upper()
    try:
        moment = dt.datetime.fromisoformat(written[1] + ("+00:00" if suffix in {"UTC", "GMT"} else suffix))
        return in_utc(moment, zone)
    except (ValueError, OverflowError) as error:
        raise RowError(f"{what} is no time that there is") from error


def in_utc(moment: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """The moment in UTC; one without a zone is of `zone`."""
    return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(dt.UTC)


def unix_moment(text: str, units_per_s: int, what: str) -> dt.datetime:
    """A number of seconds or milliseconds since 1970, exact to the microsecond.

    Raises:
        RowError: it is no such number.
    """
    try:
        microseconds = int(_EXACT.multiply(decimal_of(text, what), Decimal(1_000_000 // units_per_s)))
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise RowError(f"{what} is no time that there is") from error


def rfc3339(moment: dt.datetime, shift_days: int = 0) -> str:
    """The moment as events carry it, moved by whole days.

    Raises:
        RowError: the shift leads out of the calendar.
    """
    try:
        moved = moment + dt.timedelta(days=shift_days) if shift_days else moment
    except OverflowError as error:
        raise RowError(f"{moment.date()} cannot be moved by {shift_days} days") from error
    return moved.isoformat().replace("+00:00", "Z")


def decimal_of(text: str, what: str) -> Decimal:
    """A decimal number, exactly.

    Raises:
        RowError: it has signs, separators or words in it.
    """
    if _DECIMAL.fullmatch(text) is None:
        raise RowError(f"{what} is no number like 1234.56")
    return Decimal(text)


def micros_of(text: str, what: str) -> tuple[int, bool]:
    """An amount in millionths, and whether that is exact; else rounded half to even. Never by way of a float.

    Raises:
        RowError: it is no decimal number.
    """
    micros = _EXACT.multiply(decimal_of(text, what), MICROS)
    whole = micros.to_integral_value(ROUND_HALF_EVEN)
    return int(whole), whole == micros


def fits(event_type: str, field: str, value: str) -> bool:
    """Whether the contract takes this text in this field."""
    check = _field_checks(event_type).get(field)
    return check is not None and check(value)


@cache
def _field_checks(event_type: str) -> dict[str, Callable[[str], bool]]:
    properties = event_schemas(CONTRACT_VERSION)[event_type]["properties"]
    return {name: _check(schema) for name, schema in properties.items() if _is_text(schema)}


def _is_text(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" or "enum" in schema or "const" in schema


def _check(schema: dict[str, Any]) -> Callable[[str], bool]:
    if "enum" in schema or "const" in schema:
        allowed = frozenset(schema.get("enum", [schema.get("const")]))
        return lambda value: value in allowed
    if schema.get("anyOf"):
        return _is_address
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 64 * 1024)
    pattern = re.compile(schema.get("pattern", ""))
    return lambda value: shortest <= len(value) <= longest and pattern.search(value) is not None


def _is_address(value: str) -> bool:
    try:
        return "%" not in value and ipaddress.ip_address(value) is not None
    except ValueError:
        return False
