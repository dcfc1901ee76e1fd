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
    PROVISIONING = "provisioning"
    EXPORTS = "exports"


def drill_command(
    name: Annotated[
        Drill,
        typer.Argument(
            help="what to do to the door, the lander, the marts (restate), a tenant (provisioning), its exports"
        ),
    ],
    *,
    times: Annotated[int, typer.Option(min=1, help="kill: how often")] = 200,
    seed: Annotated[
        int,
        typer.Option(
            help="of what is random: kill (the same seed is not the same run), restate, provisioning, exports"
        ),
    ] = 7,
    without_native: Annotated[
        bool, typer.Option("--without-native", help="kill: not the compiled scan")
    ] = False,
    events: Annotated[int, typer.Option(min=100, help="order: how many are sent and traced")] = 4_000,
    batches: Annotated[int, typer.Option(min=2, help="outage: how many pile up")] = 20,
    batch_events: Annotated[int, typer.Option(min=500, help="outage: events in a batch")] = 100_000,
    orders: Annotated[int, typer.Option(min=1, help="restate: how many random orders of arrivals")] = 1_000,
    moments: Annotated[
        int,
        typer.Option(
            min=0, help="provisioning: kills inside each step, exports: kills in all; 0 = at every effect"
        ),
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Break the door and the lander under load, in a home of its own, and compare what was said with what landed.

    `restate` needs no process: marts made slice by slice from random arrivals, against marts made in one go.
    `provisioning` makes and removes a tenant, killing the run in and after every step.
    `exports` kills an export at its effects, and has its receivers down, failing, hanging and refusing.
    Exit code 1 when anything was lost, doubled, or did not recover by itself.
    """
    options: dict[Drill, dict[str, Any]] = {
        Drill.KILL: {"times": times, "seed": seed, "is_native": not without_native},
        Drill.ORDER: {"events": events},
        Drill.OUTAGE: {"batches": batches, "batch_events": batch_events},
        Drill.RESTATE: {"orders": orders, "seed": seed},
        Drill.PROVISIONING: {"seed": seed, "moments_max": moments or None},
        Drill.EXPORTS: {"seed": seed, "moments_max": moments or None},
    }
    home = load_settings().home  # on the disk that the stack would use
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="drill-", dir=home) as workdir:
            chosen = _chosen(name, options.get(name, {}))
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


def _chosen(name: Drill, options: dict[str, Any]) -> Callable[[Path, Callable[[str], None]], dict[str, Any]]:
    # Dagster and PyIceberg: 3 CPU s
    from benchmarks.drills import disk, exports, kill, order, outage, provisioning, restate  # noqa: PLC0415 - see above

    in_a_workdir: dict[Drill, Callable[..., dict[str, Any]]] = {
        Drill.ORDER: order.run,
        Drill.OUTAGE: outage.run,
        Drill.RESTATE: restate.run,
        Drill.PROVISIONING: provisioning.run,
        Drill.EXPORTS: exports.run,
    }
    if name is Drill.KILL:
        return lambda workdir, say: kill.run(workdir / "home", say=say, **options)
    if name in in_a_workdir:
        return lambda workdir, say: in_a_workdir[name](workdir, say=say, **options)
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
