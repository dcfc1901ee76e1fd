"""Row filters of the lake as PyIceberg reads them: small functions that quote their values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from resources.errors import ContractError

Value = str | dt.date | int


def equals(column: str, value: Value) -> str:
    """`column = value`."""
    return f"{column} = {_literal(value)}"


def is_in(column: str, values: Iterable[Value]) -> str:
    """`column in (…)`; of no values at all: no row."""
    literals = sorted({_literal(value) for value in values})
    return f"{column} in ({', '.join(literals)})" if literals else "false"


def at_least(column: str, value: Value) -> str:
    """`column >= value`."""
    return f"{column} >= {_literal(value)}"


def at_most(column: str, value: Value) -> str:
    """`column <= value`."""
    return f"{column} <= {_literal(value)}"


def below(column: str, value: Value) -> str:
    """`column < value`."""
    return f"{column} < {_literal(value)}"


def above(column: str, value: Value) -> str:
    """`column > value`."""
    return f"{column} > {_literal(value)}"


def received_between(tenant_id: str, first: dt.date, end: dt.date, column: str = "received_at") -> str:
    """One tenant's rows received from day `first` to before day `end`: prunes the day partitions of raw tables."""
    return all_of(
        equals("tenant_id", tenant_id),
        at_least(column, f"{first}T00:00:00+00:00"),
        below(column, f"{end}T00:00:00+00:00"),
    )


def all_of(*conditions: str) -> str:
    """Every condition."""
    return " and ".join(f"({condition})" for condition in conditions)


def day_shifted(day: dt.date, days: int) -> dt.date:
    """The date so many days later, or the calendar's end where there is none."""
    try:
        return day + dt.timedelta(days=days)
    except OverflowError:
        return dt.date.max if days > 0 else dt.date.min


def any_of(*conditions: str) -> str:
    """At least one condition."""
    return " or ".join(f"({condition})" for condition in conditions)


def _literal(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    text = value.isoformat() if isinstance(value, dt.date) else value
    if "'" in text or "\\" in text:
        raise ContractError(f"a filter value may hold no quote or backslash: {text!r}")
    return f"'{text}'"
