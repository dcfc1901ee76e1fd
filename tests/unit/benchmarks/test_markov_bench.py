"""The Markov benchmark at a small size: its figures, its journeys, and that a wrong answer is no figure."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks import markov
from benchmarks.harness import Size

if TYPE_CHECKING:
    from pathlib import Path


def test_ours_is_measured_and_each_peer_that_is_there(tmp_path: Path) -> None:
    peers = {"ChannelAttribution": "markov_channelattribution_s", "mam": "markov_mam_s"}
    results = markov.run(tmp_path, Size(0.002))
    expected = ["markov_s", *(name for module, name in peers.items() if find_spec(module))]
    assert [result.name for result in results] == expected
    assert all(result.value > 0 for result in results)


def test_every_journey_is_in_the_rows_once() -> None:
    rows = markov.journeys(2_000)
    assert sum(converted + missed for _, converted, missed in rows) == 2_000
    assert len({path for path, *_ in rows}) == len(rows)
    assert 700 < sum(converted for _, converted, _ in rows) < 900
