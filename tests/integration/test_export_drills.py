"""Exports through kill -9 and bad receivers: nothing lost, nothing twice; as `unmogrowp drill exports`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drills import exports

if TYPE_CHECKING:
    from pathlib import Path


def test_killed_refused_and_hung_up_on_an_export_arrives_once_and_its_neighbour_s_as_ever(
    tmp_path: Path,
) -> None:
    found = exports.run(tmp_path, seed=7, moments_max=12, say=lambda _: None)
    assert not any(found["faults"].values()), found
    assert found["kills"] == 12
    assert found["announced_restatements"] >= (found["rounds"] - 1) * exports.SLICES
    assert set(found["calm_ms"]) == {"undisturbed", *exports.OUTAGES}
