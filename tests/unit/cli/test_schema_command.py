"""`unmogrowp schema check|diff|release`: what a person and a pipeline read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from cli.schema import schema_app
from schemas import event_versions
from schemas.released import digest, write_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(schema_app, arguments)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder with the contracts released as they are."""
    for version in event_versions():
        write_release(version, tmp_path)
    return tmp_path


def edit_released_click(released: Path, edit: Callable[[Any], object]) -> None:
    """Pretend that v1's click was released otherwise: what is in the tree is then the change."""
    path = released / "v1.json"
    lock = json.loads(path.read_text())
    edit(lock["click"]["schema"])
    lock["click"]["sha256"] = digest(lock["click"]["schema"])
    path.write_text(json.dumps(lock))


def test_the_tree_passes_its_check() -> None:
    result = run("check")
    assert result.exit_code == 0, result.output
    assert "contracts are sound: v1 (9 types), v2 (9 types)" in result.stdout
    document = json.loads(run("check", "--json").stdout)
    assert document["ok"]
    assert [row["version"] for row in document["versions"]] == list(event_versions())


def test_a_breaking_change_is_one_line_with_its_pointer_and_exit_code_1(released: Path) -> None:
    edit_released_click(released, lambda schema: schema["required"].remove("source"))
    result = run("check", "--released", str(released))
    assert result.exit_code == 1
    assert "v1 click /source: was optional and is required (breaks senders)" in result.stdout.splitlines()
    assert "put a breaking change into the next version" in result.stderr
    document = json.loads(run("check", "--released", str(released), "--json").stdout)
    [row] = document["versions"][0]["breaking"]
    assert (document["ok"], row["event_type"], row["pointer"], row["breaks"]) == (
        False,
        "click",
        "/source",
        "senders",
    )


def test_a_compatible_change_is_shown_and_passes(released: Path) -> None:
    edit_released_click(released, lambda schema: schema["properties"].pop("medium"))
    result = run("check", "--released", str(released))
    assert result.exit_code == 0
    line = "v1 click /medium: a new optional field (compatible, not released yet)"
    assert line in result.stdout.splitlines()
    since = json.loads(run("diff", "v1", "--released", str(released), "--json").stdout)["comparisons"][0]
    assert [(change["kind"], change["breaking"]) for change in since["changes"]] == [("added", False)]
    assert run("release", "v1", "--released", str(released)).exit_code == 0
    assert "no change" in run("diff", "v1", "--released", str(released)).stdout


def test_diff_says_what_v2_changes_and_whom_it_breaks() -> None:
    [comparison] = json.loads(run("diff", "v1", "v2", "--json").stdout)["comparisons"]
    found = {(change["event_type"], change["pointer"], change["kind"]) for change in comparison["changes"]}
    assert found == {
        ("purchase", "/revenue", "added"),
        ("purchase", "/revenueMicros", "removed"),
        ("purchase", "/currency", "removed"),
    }
    assert "senders" in run("diff", "v1", "v2").stdout
    assert "v1 released → v1 here: no change" in run("diff").stdout


def test_an_unreleased_version_fails_the_check_and_a_release_mends_it(tmp_path: Path) -> None:
    folder = ("--released", str(tmp_path))
    line = "v2: it was never released: record it with `unmogrowp schema release v2`"
    assert line in run("check", *folder).stdout
    for version in event_versions():
        assert run("release", version, *folder).exit_code == 0
    assert run("check", *folder).exit_code == 0


def test_a_breaking_change_is_not_released(released: Path) -> None:
    edit_released_click(released, lambda schema: schema["required"].remove("source"))
    before = (released / "v1.json").read_text()
    result = run("release", "v1", "--released", str(released))
    assert result.exit_code == 1
    assert "v1 click /source: was optional and is required" in result.stderr
    assert (released / "v1.json").read_text() == before
