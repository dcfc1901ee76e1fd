"""Finding Node, and when the page counts as current; the build itself is run by the browser tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from resources.errors import PermanentError
from tenant_plane import build_web


def test_without_a_node_on_the_path_the_pip_packages_is_found(tmp_path: Path) -> None:
    node = build_web.find_node(search_path=str(tmp_path))
    said = subprocess.run([node.node, "--version"], check=True, capture_output=True, text=True).stdout
    assert int(said.lstrip("v").split(".")[0]) >= 20
    npm = subprocess.run(
        [node.node, node.npm_script, "--version"], check=True, capture_output=True, text=True
    )
    assert npm.stdout.strip()


def test_too_old_a_node_is_passed_over(tmp_path: Path) -> None:
    for name in ("node", "npm"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho v18.20.0\n")
        script.chmod(0o755)
    assert build_web.find_node(search_path=str(tmp_path)).node.parent != tmp_path


def test_any_changed_source_asks_for_a_build(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("node_modules", "dist")
    web = Path(shutil.copytree(build_web.WEB, tmp_path / "web", ignore=ignore))
    before = build_web.sources_digest(web)
    assert before == build_web.sources_digest(build_web.WEB)
    with (web / "src" / "app.css").open("a") as file:
        file.write("\n")
    assert build_web.sources_digest(web) != before


def test_a_current_page_is_not_built_again(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("node_modules", "dist")
    web = Path(shutil.copytree(build_web.WEB, tmp_path / "web", ignore=ignore))
    (web / "dist").mkdir()
    (web / "dist" / ".sources").write_text(build_web.sources_digest(web))
    assert build_web.build(web) is False
    assert not (web / "node_modules").exists()


def test_a_failing_npm_is_one_clear_error(tmp_path: Path) -> None:
    node = build_web.find_node()
    with pytest.raises(PermanentError, match="npm run build failed"):
        node.run_npm("run", "build", directory=tmp_path)


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((build_web.WEB / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for path, package in lock["packages"].items() if path)
