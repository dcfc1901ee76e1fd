"""`unmogrowp drill`: one document, exit code 1 and one sentence when a fault was found, nothing left behind."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.drills import outage
from cli.drill import drill_command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("UNMOGROWP_HOME", str(tmp_path / "home"))
    command_line = typer.Typer()
    command_line.command()(drill_command)
    return lambda *arguments: CliRunner().invoke(command_line, arguments)


def test_a_drill_that_passes_prints_one_document_and_leaves_the_home_as_it_was(
    run: Any, tmp_path: Path
) -> None:
    result = run("outage", "--batches", "2", "--batch-events", "500", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"], document["drill"]) == (0, True, "outage")
    assert not any(document["faults"].values())
    assert "keeping up: batch 1" in result.stderr
    assert list((tmp_path / "home").iterdir()) == []


def test_a_fault_is_told_in_one_sentence_and_by_the_exit_code(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"drill": "outage", "faults": {"events_missing": 3, "events_landed_twice": 0}, "details": ["why"]}
    monkeypatch.setattr(outage, "run", lambda *_, **__: dict(found))
    result = run("outage", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "the drill found faults: events_missing (3). why" in " ".join(result.stderr.split())
    shown = run("outage")
    assert "faults: events_missing" in shown.stdout


def test_without_strace_the_order_drill_says_what_to_install(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = run("order")
    assert result.exit_code == 1
    assert "install the package `strace`" in str(result.exception or result.stderr)
