"""`unmogrowp drill NAME`: break a part of the platform here, and count. What is done is in `benchmarks.drills`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import console, emit, fail, stderr, table
from cli.stack import JsonOption
from resources.settings import load_settings


class Drill(StrEnum):
    """The drills there are."""

    KILL = "kill"
    FULL_LOG = "full-log"
    FULL_HOME = "full-home"
    FULL_LAKE = "full-lake"
    READ_ONLY = "read-only"
    ORDER = "order"
    OUTAGE = "outage"
    RESTATE = "restate"


def drill_command(
    name: Annotated[Drill, typer.Argument(help="what to do to the door, the lander, or the marts (restate)")],
    *,
    times: Annotated[int, typer.Option(min=1, help="kill: how often")] = 200,
    seed: Annotated[
        int,
        typer.Option(help="kill, restate: of what is random; of a kill the same seed is not the same run"),
    ] = 7,
    without_native: Annotated[
        bool, typer.Option("--without-native", help="kill: not the compiled scan")
    ] = False,
    events: Annotated[int, typer.Option(min=100, help="order: how many are sent and traced")] = 4_000,
    batches: Annotated[int, typer.Option(min=2, help="outage: how many pile up")] = 20,
    batch_events: Annotated[int, typer.Option(min=500, help="outage: events in a batch")] = 100_000,
    orders: Annotated[int, typer.Option(min=1, help="restate: how many random orders of arrivals")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Break the door and the lander under load, in a home of its own, and compare what was said with what landed.

    `restate` needs no process: marts made slice by slice from random arrivals, against marts made in one go.
    Exit code 1 when anything was lost, doubled, or did not recover by itself.
    """
    kill_options: dict[str, Any] = {"times": times, "seed": seed, "is_native": not without_native}
    outage_options = {"batches": batches, "batch_events": batch_events}
    restate_options = {"orders": orders, "seed": seed}
    home = load_settings().home  # on the disk that the stack would use
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="drill-", dir=home) as workdir:
            chosen = _chosen(name, kill_options, events, outage_options, restate_options)
            document = chosen(Path(workdir), _say)
    except OSError as error:
        fail(f"the drill could not run: {error}")
    document["ok"] = not any(document["faults"].values())
    emit(
        document,
        as_json,
        lambda _: console.print(table(f"drill {name.value}", ("figure", ""), _rows(document))),
    )
    if not document["ok"]:
        faults = ", ".join(f"{fault} ({count})" for fault, count in document["faults"].items() if count)
        fail(f"the drill found faults: {faults}. {'; '.join(document['details'][:3])}")


def _chosen(
    name: Drill,
    kill_options: dict[str, Any],
    events: int,
    outage_options: dict[str, int],
    restate_options: dict[str, Any],
) -> Callable[[Path, Callable[[str], None]], dict[str, Any]]:
    from benchmarks.drills import disk, kill, order, outage, restate  # noqa: PLC0415 - Dagster and PyIceberg: 3 CPU s

    if name is Drill.KILL:
        return lambda workdir, say: kill.run(workdir / "home", say=say, **kill_options)
    if name is Drill.ORDER:
        return lambda workdir, say: order.run(workdir, events=events, say=say)
    if name is Drill.OUTAGE:
        return lambda workdir, say: outage.run(workdir, say=say, **outage_options)
    if name is Drill.RESTATE:
        return lambda workdir, say: restate.run(workdir, say=say, **restate_options)
    return lambda workdir, say: disk.run(name.value, workdir / "home", say)


def _say(text: str) -> None:
    stderr.print(text, style="dim", highlight=False)


def _rows(document: dict[str, Any]) -> list[tuple[object, object]]:
    """A row per figure, groups opened, faults last."""
    rows: list[tuple[object, object]] = []
    for figure, value in document.items():
        if isinstance(value, dict):
            rows += [(f"{figure}: {member}", count) for member, count in value.items()]
        elif figure != "details":
            rows.append((figure, value))
    return sorted(rows, key=lambda row: str(row[0]).startswith("faults"))
