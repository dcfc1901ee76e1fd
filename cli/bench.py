"""`unmogrowp bench NAME`: the README's claims, measured on this machine. What is measured is in `benchmarks`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, emit, fail, stderr, table
from cli.stack import JsonOption
from resources.errors import UnMoGrowPError
from resources.settings import load_settings

if TYPE_CHECKING:
    from benchmarks.harness import Result


class Name(StrEnum):
    """The benches there are."""

    INGEST = "ingest"
    LAKE = "lake"
    ATTRIBUTION = "attribution"


# Modules of a bench, one per claim; imported when run, because they bring DuckDB and PyIceberg (2 CPU s).
CLAIMS = {
    Name.INGEST: ("benchmarks.door", "benchmarks.lander", "benchmarks.sustained"),
    Name.LAKE: ("benchmarks.lake_append", "benchmarks.lake_slice"),
    Name.ATTRIBUTION: (
        "benchmarks.attribution_accuracy",
        "benchmarks.attribution_speed",
        "benchmarks.markov",
    ),
}


def bench_command(
    name: Annotated[Name, typer.Argument(help="what to measure")],
    full: Annotated[bool, typer.Option("--full", help="also the parts that take up to an hour")] = False,
    scale: Annotated[
        float, typer.Option(min=0.001, max=10, help="share of the usual amounts; below 1 it is noisy")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Measure the platform's claims here, each beside a yardstick; medians. Uses a home of its own."""
    from benchmarks.harness import Size, document  # noqa: PLC0415 - only this command needs it

    size = Size(scale, full)
    results: list[Result] = []
    home = load_settings().home  # on the disk that the stack would use: what a sync costs depends on it
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=home) as workdir:
            for claim in CLAIMS[name]:
                stderr.print(f"measuring {claim.removeprefix('benchmarks.')} …", style="dim")
                results += import_module(claim).run(Path(workdir), size)
    except (OSError, UnMoGrowPError) as error:
        fail(f"the benchmark could not run: {error}")
    payload = document(name.value, results)
    emit(
        payload, as_json, lambda _: console.print(table(f"bench {name.value}", COLUMNS, figure_rows(results)))
    )


COLUMNS = ("measure", "median", "unit", "beside")


def figure_rows(results: Sequence[Result]) -> list[tuple[object, ...]]:
    """A table row per figure, the last column its ratio to its yardstick."""
    values = {result.name: result.value for result in results}
    return [
        (result.name, result.value, result.unit, _ratio(result, values.get(result.yardstick or "")))
        for result in results
    ]


def _ratio(result: Result, yardstick_value: float | None) -> str:
    """E.g. `1.3 × noop`, the yardstick by its first word."""
    if result.yardstick is None or not yardstick_value:
        return ""
    return f"{result.value / yardstick_value:.1f} × {result.yardstick.partition('_')[0]}"
