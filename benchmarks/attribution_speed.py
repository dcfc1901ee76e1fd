"""What the waterfall with its whole trace costs beside the winners alone (target: twice), and what a new day costs.

8 M touches × 400 k installs. `waterfall_s` is the project's own models (install events, every candidate's decision,
the installs), `installs_s` the last of them alone. The yardsticks find the winners and nothing else: one hand-written
ClickHouse query over the same table, DuckDB and polars over theirs; all winners must be equal. On a busy machine read
the `…_cpu_s`. `day_cost_ratio_300_to_30` is the CPU of all marts of one new day: 300 days of history over 30.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks.attribution_data import FIRST_DAY, TENANT, Amounts, add_activity, fill
from benchmarks.harness import Result, Size, measured
from benchmarks.mart_lab import MartLab
from benchmarks.waterfall_peers import best_query, duckdb_query, export, load_duckdb, polars_winners
from resources.errors import ContractError

TOUCHES, INSTALLS, DAYS = 8_000_000, 400_000, 30
WATERFALL = ("touch_decisions", "installs")  # and what they are made from
ROUNDS = 3
TOUCHES_A_DAY, INSTALLS_A_DAY, ACTIVITY_A_DAY = 20_000, 1_000, 10_000
HISTORIES_DAYS = (30, 300)
DAY_ROUNDS = 5
LEAST_DAY_SHARE = 0.02  # of a day's amounts: below, a query's fixed costs are all there is


def run(workdir: Path, size: Size) -> list[Result]:
    """Seconds of the waterfall and of its yardsticks, and what history costs a new day."""
    amounts = Amounts(size.of(TOUCHES), size.of(INSTALLS), DAYS)
    events = workdir / "events.parquet"
    with MartLab(workdir / "waterfall") as lab:
        fill(lab, amounts)
        results, winners = _waterfall(lab, amounts)
        results += _peer("waterfall_best_query", lambda: best_query(lab), winners)
        export(lab, events)
    results += _duckdb(workdir, events, winners)
    results += _peer("waterfall_polars", lambda: polars_winners(events), winners)
    return [*results, _day_cost_ratio(workdir, size)]


def _waterfall(lab: MartLab, amounts: Amounts) -> tuple[list[Result], pl.DataFrame]:
    """Our models' seconds, and the touch they gave each install to."""
    lab.build(
        TENANT, FIRST_DAY, amounts.last_day, models=WATERFALL
    )  # renders the models, once for all rounds
    rounds = []
    for _ in range(ROUNDS):
        for model in lab.seconds:  # those that they are made from too
            lab.execute(f"truncate table marts.{model}")  # a first build: nothing to delete
        lab.seconds.clear()
        cpu_before_s = time.process_time()
        lab.build(TENANT, FIRST_DAY, amounts.last_day, models=WATERFALL)
        cpu_s = time.process_time() - cpu_before_s
        rounds.append((sum(lab.seconds.values()), cpu_s, lab.seconds["installs"]))
    wall_s, cpus_s, alone_s = zip(*rounds, strict=True)
    won = "select install_id, touch_id from marts.installs where touch_id != ''"
    return [
        measured("waterfall_s", wall_s, "s", yardstick="waterfall_best_query_s"),
        measured("waterfall_cpu_s", cpus_s, "s", yardstick="waterfall_best_query_cpu_s"),
        measured("installs_s", alone_s, "s"),
    ], lab.query(won)


def _duckdb(workdir: Path, events: Path, winners: pl.DataFrame) -> list[Result]:
    import duckdb  # noqa: PLC0415 - 0.1 s, and only this needs it

    with duckdb.connect(workdir / "peer.duckdb") as connection:
        load_duckdb(connection, events)
        return _peer("waterfall_duckdb", lambda: connection.sql(duckdb_query()).pl(), winners)


def _peer(name: str, find: Callable[[], pl.DataFrame], winners: pl.DataFrame) -> list[Result]:
    """Seconds of a peer, whose winners must be ours."""
    seconds, cpus_s = [], []
    for _ in range(ROUNDS):
        started_s, cpu_before_s = time.perf_counter(), time.process_time()
        found = find()
        seconds.append(time.perf_counter() - started_s)
        cpus_s.append(time.process_time() - cpu_before_s)
    _check(name, found, winners)
    return [measured(f"{name}_s", seconds, "s"), measured(f"{name}_cpu_s", cpus_s, "s")]


def _day_cost_ratio(workdir: Path, size: Size) -> Result:
    """CPU of every mart of a day after the longer history over that after the shorter."""
    costs = [
        _day_s(workdir / f"history-{days}", days, max(size.scale, LEAST_DAY_SHARE)) for days in HISTORIES_DAYS
    ]
    return Result("day_cost_ratio_300_to_30", round(costs[1] / costs[0], 3), "ratio")


def _day_s(directory: Path, history_days: int, scale: float) -> float:
    """CPU seconds of every mart of the day after so many days."""
    days = history_days + 1
    amounts = Amounts(round(TOUCHES_A_DAY * scale) * days, round(INSTALLS_A_DAY * scale) * days, days)
    with MartLab(directory) as lab:
        fill(lab, amounts)
        add_activity(lab, amounts, round(ACTIVITY_A_DAY * scale))
        lab.build(TENANT, FIRST_DAY, amounts.last_day)
        costs = []
        for _ in range(DAY_ROUNDS):
            cpu_before_s = time.process_time()
            lab.build(TENANT, amounts.last_day, amounts.last_day)
            costs.append(time.process_time() - cpu_before_s)
    return median(costs)


def _check(who: str, found: pl.DataFrame, winners: pl.DataFrame) -> None:
    differing = winners.join(found, on=["install_id", "touch_id"], how="anti").height
    if differing or found.height != winners.height:
        raise ContractError(
            f"{who} gives {found.height} installs to a touch, the marts {winners.height}, of which {differing} differ: "
            "no figure is given"
        )
