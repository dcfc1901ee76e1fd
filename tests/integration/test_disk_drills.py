"""A full or read-only disk: the door says 503, nobody dies, nothing is lost, both recover by themselves.

As `unmogrowp drill full-log|full-home|full-lake|read-only`, on file systems of their own (Linux).
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.drills import disk
from resources.settings import APPLICATION_ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _mounts_of_its_own() -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "benchmarks.drills.private_mounts", sys.executable, "-c", "pass"],
        cwd=APPLICATION_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        pytest.skip(tried.stderr.strip())


@pytest.mark.parametrize("name", disk.SCENES)
def test_a_disk_in_trouble_loses_nothing_and_is_recovered_from(tmp_path: Path, name: str) -> None:
    told: list[str] = []
    found = disk.run(name, tmp_path / "home", told.append)
    assert not any(found["faults"].values()), found
    assert found["details"] == []
    assert found["acknowledged_events"] > 500
    assert found["landed_though_refused"] == 0
    assert (int(found["answers"].get("503", 0)) > 0) == (name != "full-lake")
    assert len(told) >= 4
    assert not os.path.ismount(tmp_path / "home")  # what was mounted was seen by nobody else
