"""By the kernel's account no 202 leaves before the sync of its bytes; as `unmogrowp drill order`."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchmarks.drills import order

if TYPE_CHECKING:
    from pathlib import Path


def can_trace() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None
        and subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0
    )


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may trace nothing here")
def test_every_acknowledgement_follows_its_sync(tmp_path: Path) -> None:
    found = order.run(tmp_path, events=1_000, say=lambda _: None)
    assert found["events"] == 1_000
    assert found["answers"] > 250
    assert 0 < found["fdatasyncs"] < found["answers"]  # requests shared syncs
    assert not any(found["faults"].values()), found
