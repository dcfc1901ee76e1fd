"""`unmogrowp attribution paths`: multi-touch credit for a file of paths, no stack running.

The numbers come from `resources.credit`, which the assets call too; here is only what a person and a pipeline read.
`attribution credits`, which reads the marts, is in `cli.credits`.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.credits import credits_command
from cli.output import emit, fail, table
from cli.stack import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

    from resources.credit.models import Credit, Model
    from resources.credit.path_file import PathFile

ALL = "all"
MODELS_ABREAST = 5  # columns that fit a terminal of 80 characters

attribution_app = typer.Typer(help="Multi-touch credit.", no_args_is_help=True)


@attribution_app.callback()
def attribution() -> None:
    """Multi-touch credit."""


attribution_app.command("credits")(credits_command)


@attribution_app.command("paths")
def paths_command(
    file: Annotated[
        str, typer.Argument(help="path;conversions;value;nulls, channels joined by ' > '; - is stdin")
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="a model's name, again for several, or all [default: all]")
    ] = None,
    order: Annotated[int, typer.Option(min=1, max=3, help="touches that a Markov state remembers")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Credit channels for the conversions of a file of paths, under one model or beside each other."""
    from resources.credit.models import credit  # noqa: PLC0415 - numpy and SciPy: 0.5 CPU s of import

    models = _models(model or [ALL])
    read = _read(file)
    notes = _notes(read, models)
    if read.paths.ages_days is None and _is_all(model):
        models = [name for name in models if name != "time_decay"]
    results = [credit(read.paths, name, order=order) for name in models]
    payload = {
        "rows": read.rows,
        "paths": len(read.paths.conversions),
        "conversions": read.paths.total_conversions,
        "nulls": int(read.paths.nulls.sum()),
        "value_micros": read.paths.total_value_micros,
        "order": order,
        "models": [_document(one) for one in results],
        "notes": notes,
    }
    emit(payload, as_json, lambda console: _render(console, results, payload))


def _is_all(names: list[str] | None) -> bool:
    return not names or ALL in [name.lower() for name in names]


def _models(names: list[str]) -> list[Model]:
    from resources.credit.models import Model  # noqa: PLC0415 - as above

    if _is_all(names):
        return list(Model)
    known = {one.value: one for one in Model}
    for name in names:
        if name.lower() not in known:
            fail(f"no model is called {name}: there are {', '.join(known)}, and {ALL}")
    return list(dict.fromkeys(known[name.lower()] for name in names))


def _read(file: str) -> PathFile:
    from resources.credit.path_file import lines_of, read_paths  # noqa: PLC0415 - as above

    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
            return read_paths(lines_of(stream), "stdin" if file == "-" else file)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")


def _notes(read: PathFile, models: list[Model]) -> list[str]:
    """What a reader has to know beside the numbers."""
    notes = []
    if not read.rows:
        notes.append("The file has no paths: nothing to credit.")
    if read.shortened_rows:
        notes.append(
            f"{read.shortened_rows:,} paths were longer than 500 touches: the most recent 500 count."
        )
    if "time_decay" in models and read.paths.ages_days is None:
        notes.append("time_decay is not available: the file has no times (column ages_days).")
    if "w" in models and read.paths.milestones is None:
        notes.append("w equals position: the file has no milestones (columns registration, first_purchase).")
    return notes


def _document(one: Credit) -> dict[str, Any]:
    rows = []
    for place, channel in enumerate(one.channels):
        row = {
            "channel": channel,
            "conversions": float(one.conversions[place]),
            "value_micros": one.value_micros[place],
        }
        if one.removal_effects is not None:
            row["removal_effect"] = float(one.removal_effects[place])
        if one.standard_errors is not None:
            row["standard_error"] = float(one.standard_errors[place])
        rows.append(row)
    return {"model": one.model.value, "channels": rows}


def _render(console: Console, results: list[Credit], payload: dict[str, Any]) -> None:
    if len(results) == 1 and payload["rows"]:
        console.print(_one_table(payload["models"][0]))
    if len(results) > 1 and payload["rows"]:
        order = sorted(range(len(results[0].channels)), key=lambda place: -results[0].conversions[place])
        for title, amounts in (("Credited conversions", _conversions), ("Credited value", _value)):
            for first in range(0, len(results), MODELS_ABREAST):
                console.print(_comparison(title, results[first : first + MODELS_ABREAST], amounts, order))
        for one in payload["models"]:
            if one["model"] == "markov":
                console.print(_one_table(one))
    console.print(
        f"{payload['paths']:,} paths · {payload['conversions']:,} conversions · {payload['nulls']:,} without · "
        f"value {payload['value_micros'] / 1e6:,.2f}"
    )
    for note in payload["notes"]:
        console.print(note)


def _one_table(one: dict[str, Any]) -> Table:
    """Channels by credit, most first."""
    extra = [
        name for name in ("removal_effect", "standard_error") if any(name in row for row in one["channels"])
    ]
    rows = [
        (
            row["channel"],
            round(row["conversions"], 4),
            round(row["value_micros"] / 1e6, 2),
            *(round(row[name], 6) for name in extra),
        )
        for row in sorted(one["channels"], key=lambda row: -row["conversions"])
    ]
    return table(
        one["model"], ("channel", "conversions", "value", *(n.replace("_", " ") for n in extra)), rows
    )


def _comparison(
    title: str, results: list[Credit], amounts: Callable[[Credit], list[float]], order: list[int]
) -> Table:
    """A row per channel in the given order, a column per model."""
    columns = [amounts(one) for one in results]
    rows = [(results[0].channels[place], *(column[place] for column in columns)) for place in order]
    return table(title, ("channel", *(one.model.value.replace("_", " ") for one in results)), rows)


def _conversions(one: Credit) -> list[float]:
    return [round(float(conversions), 2) for conversions in one.conversions]


def _value(one: Credit) -> list[float]:
    return [round(micros / 1e6, 2) for micros in one.value_micros]
