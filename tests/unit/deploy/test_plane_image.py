"""The tenant plane's image: its packages are pinned as everybody else's, and are all that the plane imports."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

from resources.settings import APPLICATION_ROOT

LOCK = APPLICATION_ROOT / "deploy" / "tenant-plane.lock"
OURS = {"resources", "tenant_plane", "unmogrowp"}


def _pinned(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", path.read_text(), re.MULTILINE))


def test_the_image_pins_the_versions_that_are_tested_here() -> None:
    image, tested = _pinned(LOCK), _pinned(APPLICATION_ROOT / "requirements.lock")
    assert len(image) > 30
    assert image.items() <= tested.items()
    assert "://" not in LOCK.read_text()


def test_whatever_the_plane_imports_is_in_its_image() -> None:
    roots = [APPLICATION_ROOT / "tenant_plane", APPLICATION_ROOT / "unmogrowp"]
    files = [path for root in roots for path in root.glob("*.py") if path.name != "build_web.py"]
    imported = {name for path in files for name in _top_names(path)}
    distributions = metadata.packages_distributions()
    wanted = {
        each.lower().replace("_", "-")
        for name in imported - OURS - set(sys.stdlib_module_names)
        for each in distributions[name]
    }
    optional = {"polars", "pandas", "pandas-stubs"}  # the SDK takes frames where they are there
    assert wanted - optional <= set(_pinned(LOCK))


def _top_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
