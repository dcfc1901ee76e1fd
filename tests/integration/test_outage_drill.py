"""A lander that was away catches up, once, in the memory it always takes; as `unmogrowp drill outage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drills import outage

if TYPE_CHECKING:
    from pathlib import Path


def test_catching_up_takes_no_more_memory_than_keeping_up(tmp_path: Path) -> None:
    found = outage.run(tmp_path, batches=20, batch_events=5_000, say=lambda _: None)
    assert found["backlog_bytes"] > 1_000_000
    assert not any(found["faults"].values()), found
