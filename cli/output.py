"""How every command speaks: one JSON document on stdout with `--json`, Rich for people, one sentence on failure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.console import Console, JustifyMethod
from rich.table import Table

console = Console()
stderr = Console(stderr=True)


def emit(payload: Mapping[str, Any], as_json: bool, render: Callable[[Console], None]) -> None:
    """Print the payload as JSON and nothing else, or let `render` show it to a person."""
    if as_json:
        sys.stdout.write(json.dumps(payload, indent=2, default=str) + "\n")
    else:
        render(console)


def fail(message: str) -> NoReturn:
    """End with exit code 1 and one clear sentence on stderr."""
    stderr.print(f"[bold red]error:[/] {message}", highlight=False)
    raise typer.Exit(code=1)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A Rich table with numbers to the right; where the terminal is narrow cells fold, and nothing is cut off."""
    result = Table(title=title, title_justify="left", header_style="bold")
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        justify: JustifyMethod = "right" if numeric else "left"
        result.add_column(column, justify=justify, overflow="fold", no_wrap=position == 0)
    for row in rows:
        result.add_row(*(f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in row))
    return result
