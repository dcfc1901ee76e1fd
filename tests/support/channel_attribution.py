"""What the peer ChannelAttribution answers for two sets of journeys, recorded: it builds from source only.

`python -m tests.support.channel_attribution` asks the installed peer (`pip install ChannelAttribution`, a C++ compiler)
and writes the record anew. A record belongs to journeys of one digest: others make `recorded` fail, not pass.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import polars as pl

RECORD = Path(__file__).with_name("channel_attribution.json")
PEER = "ChannelAttribution"

Answers = dict[str, dict[str, float]]  # figure → channel → number


def recorded(name: str, journeys: pl.DataFrame) -> Answers:
    """The peer's figures by channel for these journeys (columns path, conversions, value, nulls).

    Raises:
        AssertionError: the journeys are not those that the peer was asked about.
    """
    record = json.loads(RECORD.read_text())[name]
    assert record["journeys"] == digest(journeys), "the journeys changed: ask the peer anew (see this module)"
    answers: Answers = record["answers"]
    return answers


def digest(journeys: pl.DataFrame) -> str:
    """Names the journeys by what the peer reads of them."""
    return hashlib.sha256(journeys.write_csv().encode()).hexdigest()


def ask(journeys: pl.DataFrame) -> Answers:
    """The installed peer's figures for these journeys; its Markov chain by random walks from a fixed seed."""
    peer: Any = import_module(PEER)
    frame = journeys.to_pandas()
    heuristics = peer.heuristic_models(frame, "path", "conversions", var_value="value", flg_pro=False)
    markov = peer.markov_model(
        frame, "path", "conversions", var_null="nulls", out_more=True, flg_pro=False, verbose=False, seed=1
    )
    effects = markov["removal_effects"].set_index("channel_name").iloc[:, 0].to_dict()
    return {**heuristics.set_index("channel_name").to_dict(), "removal_effects": effects}


def write(journeys_by_name: Mapping[str, pl.DataFrame]) -> None:
    """Record what the installed peer answers."""
    document = {
        name: {
            "peer": f"{PEER} {metadata.version(PEER)}",
            "journeys": digest(journeys),
            "answers": ask(journeys),
        }
        for name, journeys in journeys_by_name.items()
    }
    RECORD.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Record anew."""
    from tests.support.peer_journeys import drawn_journeys, simulated_journeys  # noqa: PLC0415 - builds marts

    try:
        write({"drawn": drawn_journeys(), "simulated": simulated_journeys()})
    except ImportError:
        sys.exit(f"{PEER} is not installed here: pip install {PEER}")


if __name__ == "__main__":
    main()
