"""The journeys that peers are compared on: drawn at random, and the simulator's through the real SQL."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.mart_lab import MartLab
from resources.rules import DEFAULT_RULES
from simulator.frames import simulate_frame
from tests.support.credit_world import MODELS

Row = tuple[tuple[str, ...], int, int, int]  # path, conversions, value in micros, nulls

TENANT = "t_simulated"
END, DAYS = dt.date(2026, 3, 28), 21


def journeys(seed: int, channels: int, count: int, mean_touches: float = 3.0) -> list[Row]:
    """Random rows, some equal, some with repeated channels."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(count):
        length = min(int(random.geometric(1 / mean_touches)), 12)
        path = tuple(f"ch{code:02d}" for code in random.integers(0, channels, length))
        won = int(random.integers(0, 4))
        rows.append((path, won, won * int(random.integers(0, 10**8)), int(random.integers(0, 9))))
    return rows


DRAWN = journeys(11, channels=9, count=2_000)


def drawn_journeys() -> pl.DataFrame:
    """`DRAWN` as peers read it: channels joined by ` > `, value in units."""
    return pl.DataFrame(
        [(" > ".join(path), won, value / 1e6, lost) for path, won, value, lost in DRAWN],
        schema=["path", "conversions", "value", "nulls"],
        orient="row",
    )


def fill_simulated(lab: MartLab) -> None:
    """Put the simulated world into a lab and build what credit is made from."""
    world = simulate_frame(TENANT, end_date=END, days=DAYS, seed=7, users=900)
    first = world.events["event_date"].min()
    assert isinstance(first, dt.date)
    lab.put(world.events)
    lab.build(TENANT, first, END, DEFAULT_RULES, MODELS)


def install_paths(lab: MartLab) -> pl.DataFrame:
    """The installs' journeys of the whole period: one row per path."""
    rows = lab.mart("journey_paths").filter(pl.col("conversion_type") == "install")
    grouped = rows.group_by("path").agg(pl.col("conversions", "nulls", "value_micros").sum())
    return grouped.with_columns(text=pl.col("path").list.join(" > ")).sort("text")


def as_peer_reads(paths: pl.DataFrame) -> pl.DataFrame:
    """`install_paths` in the peers' columns."""
    return paths.select(
        pl.col("text").alias("path"), "conversions", (pl.col("value_micros") / 1e6).alias("value"), "nulls"
    )


def simulated_journeys() -> pl.DataFrame:
    """The simulated installs' journeys as peers read them."""
    with tempfile.TemporaryDirectory() as directory, MartLab(Path(directory) / "lab") as lab:
        fill_simulated(lab)
        return as_peer_reads(install_paths(lab))
