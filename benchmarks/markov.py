"""Claim: Markov credit for a million journeys takes under a second, and is exact.

From a frame of (path as text, conversions, nulls) to removal effects, order 1; the two Python peers get the same rows
in the frame they want, made beforehand. ChannelAttribution walks the chain at random (up to 7 % off),
marketing-attribution-models inverts it as we do. A peer that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Result, Size, measured
from resources.credit.frames import group_frame
from resources.credit.markov import removal_effects
from resources.errors import ContractError

JOURNEYS = 1_000_000
CHANNELS = 12
MOST_TOUCHES = 20
ROUNDS = 3
SEPARATOR = " > "

Row = tuple[str, int, int]


def run(_workdir: Path, size: Size) -> list[Result]:
    """Seconds of ours and of each peer that is installed."""
    rows = journeys(size.of(JOURNEYS))
    frame = pl.DataFrame(rows, schema=["path", "conversions", "nulls"], orient="row")
    ours = [_timed(lambda: _effects(frame)) for _ in range(ROUNDS)]
    results = [measured("markov_s", [seconds for seconds, _ in ours], "s")]
    if importlib.util.find_spec("ChannelAttribution"):
        peer = _channel_attribution()
        pandas_frame = frame.to_pandas()
        seconds, _ = _timed(lambda: _walked(peer, pandas_frame))
        results.append(measured("markov_channelattribution_s", [seconds], "s", yardstick="markov_s"))
    if importlib.util.find_spec("mam"):
        outcomes = [(path, True, converted) for path, converted, _ in rows if converted]
        outcomes += [(path, False, nulls) for path, _, nulls in rows if nulls]
        grouped = pl.DataFrame(outcomes, schema=["path", "converted", "occurrences"], orient="row")
        mam = import_module("mam")
        seconds, effects = _timed(lambda: _inverted(mam, grouped))
        if not np.allclose(effects, ours[0][1], rtol=0, atol=1e-9):
            raise ContractError(
                "ours and marketing-attribution-models' removal effects differ: no figure is given"
            )
        results.append(measured("markov_mam_s", [seconds], "s", yardstick="markov_s"))
    return results


def journeys(count: int) -> list[Row]:
    """Journeys of 1 to 20 touches (3.3 on average), 4 in 10 converting, as rows of distinct paths."""
    random = np.random.default_rng(1)
    lengths = np.minimum(random.geometric(0.3, count), MOST_TOUCHES)
    touches = random.integers(0, CHANNELS, int(lengths.sum())).tolist()
    names = [f"channel_{number:02d}" for number in range(CHANNELS)]
    converted, missed = Counter[str](), Counter[str]()
    start = 0
    for length, has_converted in zip(lengths.tolist(), (random.random(count) < 0.4).tolist(), strict=True):
        path = SEPARATOR.join([names[touch] for touch in touches[start : start + length]])
        (converted if has_converted else missed)[path] += 1
        start += length
    return [(path, converted[path], missed[path]) for path in sorted(converted.keys() | missed.keys())]


def _effects(frame: pl.DataFrame) -> Any:
    return removal_effects(group_frame(frame.with_columns(channels=pl.col("path").str.split(SEPARATOR))))


def _channel_attribution() -> Any:
    with contextlib.redirect_stdout(sys.stderr):  # it advertises
        return import_module("ChannelAttribution")


def _walked(peer: Any, frame: Any) -> Any:
    return peer.markov_model(
        frame, "path", "conversions", var_null="nulls", out_more=True, flg_pro=False, verbose=False
    )


def _inverted(peer: Any, grouped: pl.DataFrame) -> Any:
    """Removal effects by channel name."""
    model = peer.MAM(grouped, "grouped_journey", "path", "converted", occurrences_colname="occurrences")
    return model.run_markov().metadata["removal_effect"].sort_index()["removal_effect"].to_numpy()


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started_s = time.perf_counter()
    answer = call()
    return time.perf_counter() - started_s, answer
