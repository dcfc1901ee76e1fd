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


def below(column: str, value: Value) -> str:
    """`column < value`."""
    return f"{column} < {_literal(value)}"


def above(column: str, value: Value) -> str:
    """`column > value`."""
    return f"{column} > {_literal(value)}"


def all_of(*conditions: str) -> str:
    """Every condition."""
    return " and ".join(f"({condition})" for condition in conditions)


def _literal(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    text = value.isoformat() if isinstance(value, dt.date) else value
    if "'" in text or "\\" in text:
        raise ContractError(f"a filter value may hold no quote or backslash: {text!r}")
    return f"'{text}'"
