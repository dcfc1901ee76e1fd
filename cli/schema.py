"""`unmogrowp schema …`: check the event contracts, see what changed between versions, record a release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.output import emit, fail, table
from cli.stack import JsonOption
from schemas import event_schemas, event_versions
from schemas.compatibility import Change, version_changes
from schemas.lint import Problem, version_problems
from schemas.released import RELEASED_ROOT, is_released, released_schemas, write_release

schema_app = typer.Typer(
    help="Check the event contracts, compare versions, record a release.", no_args_is_help=True
)
Old = Annotated[str | None, typer.Argument(help="a version, e.g. v1; without it: what was released")]
New = Annotated[str | None, typer.Argument(help="a version, e.g. v2; without it: the files as they are")]

ReleasedOption = Annotated[
    Path, typer.Option("--released", help="folder of the released contracts, e.g. of an older checkout")
]


@schema_app.command("check")
def check_command(released: ReleasedOption = RELEASED_ROOT, as_json: JsonOption = False) -> None:
    """Every version against its release and the rules of the house; exit code 1 when something breaks."""
    versions = [_checked(version, released) for version in event_versions()]
    breaks = sum(len(row["problems"]) + len(row["breaking"]) for row in versions)

    def render(console: Console) -> None:
        for row in versions:
            for line in _lines(row):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
        types = {row["version"]: row["types"] for row in versions}
        if not breaks:
            console.print(
                f"contracts are sound: {', '.join(f'{name} ({n} types)' for name, n in types.items())}"
            )

    emit({"ok": breaks == 0, "versions": versions}, as_json, render)
    if breaks:
        fail(f"{breaks} findings: repair them, or put a breaking change into the next version's folder")


@schema_app.command("diff")
def diff_command(
    old: Old = None, new: New = None, released: ReleasedOption = RELEASED_ROOT, as_json: JsonOption = False
) -> None:
    """What changed, and whom it breaks: between two versions, or since each version's release."""
    if old is not None and new is not None:
        pairs = [(old, new, version_changes(event_schemas(old), event_schemas(new)))]
    else:
        versions = event_versions() if old is None else (old,)
        pairs = [(f"{name} released", f"{name} here", _since_release(name, released)) for name in versions]
    documents = [
        {"old": left, "new": right, "changes": [_change_row(change) for change in changes]}
        for left, right, changes in pairs
    ]

    def render(console: Console) -> None:
        for left, right, changes in pairs:
            _render_changes(console, f"{left} → {right}", changes)

    emit({"comparisons": documents}, as_json, render)


@schema_app.command("release")
def release_command(
    version: Annotated[
        str, typer.Argument(help="the version whose schemas are released as they are, e.g. v2")
    ],
    released: ReleasedOption = RELEASED_ROOT,
    as_json: JsonOption = False,
) -> None:
    """Record a version's schemas as released: from then on they may only gain optional fields."""
    problems = version_problems(version)
    if problems:
        fail(
            f"{version} is not released: {_problem_line(version, problems[0])}; `unmogrowp schema check` lists all"
        )
    changes = _since_release(version, released) if is_released(version, released) else []
    breaking = [change for change in changes if change.is_breaking]
    if breaking:
        fail(
            f"{version} is not released: {_change_line(version, breaking[0])}; put a breaking change into the "
            "next version's folder"
        )
    path = write_release(version, released)
    payload = {"version": version, "file": path.name, "changes": [_change_row(change) for change in changes]}
    emit(payload, as_json, lambda console: console.print(f"released {version}: {len(changes)} changes"))


def _since_release(version: str, released: Path) -> list[Change]:
    return version_changes(released_schemas(version, released), event_schemas(version))


def _checked(version: str, released: Path) -> dict[str, Any]:
    """A version's findings as a JSON row."""
    problems = version_problems(version)
    if is_released(version, released):
        changes = _since_release(version, released)
    else:
        changes = []
        reason = f"it was never released: record it with `unmogrowp schema release {version}`"
        problems.append(Problem("", "", reason))
    return {
        "version": version,
        "types": len(event_schemas(version)),
        "problems": [problem._asdict() for problem in problems],
        "breaking": [_change_row(change) for change in changes if change.is_breaking],
        "compatible": [_change_row(change) for change in changes if not change.is_breaking],
    }


def _lines(row: dict[str, Any]) -> list[str]:
    """One line per finding of a version."""
    version = row["version"]
    problems = [_problem_line(version, Problem(**problem)) for problem in row["problems"]]
    changes = [*row["breaking"], *row["compatible"]]
    return problems + [
        _change_line(version, Change(**{name: value for name, value in change.items() if name != "breaking"}))
        for change in changes
    ]


def _problem_line(version: str, problem: Problem) -> str:
    return " ".join(filter(None, (version, problem.event_type, problem.pointer))) + f": {problem.reason}"


def _change_line(version: str, change: Change) -> str:
    effect = f"breaks {change.breaks}" if change.breaks else "compatible, not released yet"
    return (
        " ".join(filter(None, (version, change.event_type, change.pointer))) + f": {change.reason} ({effect})"
    )


def _change_row(change: Change) -> dict[str, Any]:
    return {**change._asdict(), "breaking": change.is_breaking}


def _render_changes(console: Console, title: str, changes: Sequence[Change]) -> None:
    if not changes:
        console.print(f"{title}: no change")
        return
    rows = [
        (change.event_type, change.pointer, change.kind, change.breaks or "nobody", change.reason)
        for change in changes
    ]
    console.print(table(title, ("type", "field", "change", "breaks", "why"), rows))
