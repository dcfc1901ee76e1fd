"""Claim: what the platform credits is what happened, on five worlds of 50,000 installs whose truth is known.

The project's real SQL (MartLab) over the simulator's full world: fingerprints behind NAT, people without
advertising ids, reinstalls, wrong clocks, five kinds of fraud. A figure is the median of the seeds, `…_worst` the
worst of them; `gross_…` leaves the fraud flags out. `probabilistic_precision_3h` and its like are the first seed under
a probabilistic click window of three hours: what a shorter window gains in precision and loses in recall.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import polars as pl

from benchmarks.harness import Result, Size
from benchmarks.mart_lab import MartLab
from resources.rules import DEFAULT_RULES, HOUR_MS, RuleSet
from simulator.accuracy import WRONGLY_FLAGGED, Decided, confusion, full_accuracy, install_cases
from simulator.frames import FrameWorld, simulate_frame

TENANT = "bench"
SEEDS = (1, 2, 3, 4, 5)
INSTALLS = 50_000
PEOPLE_PER_INSTALL = 1.02  # the installs of 1.5 % fall after the last day
DAYS = 14  # two click windows: the second week's installs have every touch that could have caused them
LAST_DAY = dt.date(2026, 6, 28)
WINDOWS_H = (1, 3, 6, 12, 24)
MODELS = (
    "touch_decisions",
    "installs",
    "reengagements",
    "fraud_daily",
    "install_flags",
)  # what decides, and doubts
CURVE = ("probabilistic_precision", "probabilistic_recall", "organic_recall")
DIGITS = 5  # 0.999 and 0.9995 are different claims
FALLING = ("fraud_false_positive_rate", "honest_installs_accused", *WRONGLY_FLAGGED)


class Judged(NamedTuple):
    """One world's figures, and installs by what was true and what was decided."""

    figures: dict[str, float]
    confusion: pl.DataFrame


def run(workdir: Path, size: Size) -> list[Result]:
    """Every figure's median and worst over the seeds, and the curve."""
    installs = size.of(INSTALLS)
    with MartLab(workdir / "accuracy") as lab:
        judged = []
        curve: list[Result] = []
        for seed in SEEDS:
            world = world_of(seed, installs)
            lab.clear()
            lab.put(world.events)
            judged.append(judge(lab, world, DEFAULT_RULES).figures)
            if seed == SEEDS[0]:
                curve = trade_off(lab, world)
    return summary(judged) + curve


def world_of(seed: int, installs: int) -> FrameWorld:
    """A full world of at least so many installs."""
    users = round(installs * PEOPLE_PER_INSTALL) + 1
    return simulate_frame(TENANT, end_date=LAST_DAY, days=DAYS, seed=seed, users=users)


def judge(lab: MartLab, world: FrameWorld, rules: RuleSet) -> Judged:
    """Builds the marts of the world that the lab holds, and compares them with its truth."""
    lab.build(TENANT, LAST_DAY - dt.timedelta(days=DAYS - 1), LAST_DAY, rules, MODELS)
    decided = Decided(**{name: lab.mart(name) for name in MODELS})
    return Judged(full_accuracy(world.truth, decided), confusion(install_cases(world.truth, decided)))


def trade_off(lab: MartLab, world: FrameWorld) -> list[Result]:
    """Probabilistic precision and recall by window, of the world that the lab holds."""
    results = []
    for hours in WINDOWS_H:
        rules = DEFAULT_RULES.model_copy(update={"probabilistic_click_window_ms": hours * HOUR_MS})
        figures = judge(lab, world, rules).figures
        results += [Result(f"{name}_{hours}h", round(figures[name], DIGITS), "share") for name in CURVE]
    return results


def summary(judged: Sequence[dict[str, float]]) -> list[Result]:
    """The median of every figure, and its worst."""
    results = []
    for name in judged[0]:
        values = [figures[name] for figures in judged]
        worst = max(values) if name in FALLING else min(values)
        results.append(Result(name, round(median(values), DIGITS), "share"))
        results.append(Result(f"{name}_worst", round(worst, DIGITS), "share"))
    return results
