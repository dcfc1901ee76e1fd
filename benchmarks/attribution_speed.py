"""What the waterfall costs beside one query that makes the same installs (target: twice), and what a new day costs.

8 M touches × 400 k installs. `waterfall_s` is the project's own models (install events, every candidate's decision,
the installs), `installs_s` the last of them alone. The yardsticks make the rows of `installs` without the trace that
ours come from: one hand-written ClickHouse query over the same table, DuckDB and polars over theirs. All rows must be
equal, column by column. `waterfall_winners_query_s` finds each install's winning touch and nothing else: the floor.
On a busy machine read the `…_cpu_s`. `day_cost_ratio_300_to_30` is the CPU of all marts' queries for one new day, the
same rows both times: 300 days of history over the last 30 of them. The swap is left out: in production it touches the
day's month alone.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import polars as pl

from benchmarks.attribution_data import FIRST_DAY, TENANT, Amounts, add_activity, fill, keep_from
from benchmarks.harness import Result, Size, measured
from benchmarks.mart_lab import MartLab
from benchmarks.waterfall_peers import export, load_duckdb, make_best_rows, make_duckdb_rows, winners
from benchmarks.waterfall_polars import polars_rows
from resources.errors import ContractError

T = TypeVar("T")
TOUCHES, INSTALLS, DAYS = 8_000_000, 400_000, 30
WATERFALL = ("touch_decisions", "installs")  # and what they are made from
ROUNDS = 3
TOUCHES_A_DAY, INSTALLS_A_DAY, ACTIVITY_A_DAY = 20_000, 1_000, 10_000
HISTORIES_DAYS = (30, 300)
DAY_ROUNDS = 5
COMPARED = (
    *(
        "install_id",
        "event_date",
        "app_id",
        "device_id",
        "install_ms",
        "platform",
        "country",
        "match_type",
        "tier",
    ),
    *("touch_id", "touch_type", "touch_ms", "ctit_ms", "source", "medium", "campaign", "adgroup", "creative"),
    *("assists", "user_id", "os_version", "device_model", "ip_pseudonym", "install_begin_ms"),
    *("rejected_touches", "rejected_reason", "rejected_source"),
)
LEAST_DAY_SHARE = 0.02  # of a day's amounts: below, a query's fixed costs are all there is


def run(workdir: Path, size: Size) -> list[Result]:
    """Seconds of the waterfall and of its yardsticks, and what history costs a new day."""
    amounts = Amounts(size.of(TOUCHES), size.of(INSTALLS), DAYS)
    events = workdir / "events.parquet"
    with MartLab(workdir / "waterfall") as lab:
        fill(lab, amounts)
        results = _waterfall(lab, amounts)
        ours = comparable(lab.mart("installs", TENANT))
        won = lab.query("select install_id, touch_id from marts.installs where touch_id != ''")
        best = _timed("waterfall_best_query", lambda: make_best_rows(lab))[0]
        _check("the best query", comparable(lab.query("select * from lab.best_rows")), ours)
        floor, found = _timed("waterfall_winners_query", lambda: winners(lab))
        _check("the winners' query", found.sort("install_id"), won.sort("install_id"))
        export(lab, events)
    duckdb = _duckdb(workdir, events, ours)
    polars, rows = _timed("waterfall_polars", lambda: polars_rows(events))
    _check("polars", comparable(rows), ours)
    return [*results, *best, *floor, *duckdb, *polars, _day_cost_ratio(workdir, size)]


def _waterfall(lab: MartLab, amounts: Amounts) -> list[Result]:
    """Our models' seconds."""
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
    return [
        measured("waterfall_s", wall_s, "s", yardstick="waterfall_best_query_s"),
        measured("waterfall_cpu_s", cpus_s, "s", yardstick="waterfall_best_query_cpu_s"),
        measured("installs_s", alone_s, "s"),
    ]


def _duckdb(workdir: Path, events: Path, ours: pl.DataFrame) -> list[Result]:
    import duckdb  # noqa: PLC0415 - 0.1 s, and only this needs it

    with duckdb.connect(workdir / "peer.duckdb") as connection:
        load_duckdb(connection, events)
        results, _ = _timed("waterfall_duckdb", lambda: make_duckdb_rows(connection))
        _check("DuckDB", comparable(connection.sql("select * from best_rows").pl()), ours)
    return results


def _timed(name: str, make: Callable[[], T]) -> tuple[list[Result], T]:
    """Wall and CPU seconds of what a peer does, and what it made last."""
    seconds, cpus_s = [], []
    for _ in range(ROUNDS):
        started_s, cpu_before_s = time.perf_counter(), time.process_time()
        made = make()
        seconds.append(time.perf_counter() - started_s)
        cpus_s.append(time.process_time() - cpu_before_s)
    return [measured(f"{name}_s", seconds, "s"), measured(f"{name}_cpu_s", cpus_s, "s")], made


def comparable(rows: pl.DataFrame) -> pl.DataFrame:
    """A row per install in the same form whoever made it: times in ms since 1970, whole numbers 64 bits wide."""
    times = [name for name in rows.columns if name.endswith("_time")]
    numbers = ("tier", "ctit_ms", "rejected_touches")
    in_ms = (pl.col(name).dt.epoch("ms").alias(f"{name.removesuffix('_time')}_ms") for name in times)
    return (
        rows.with_columns(*in_ms, pl.col(*numbers).cast(pl.Int64), pl.col("assists").list.join(" "))
        .select(COMPARED)
        .sort("install_id")
    )


def _day_cost_ratio(workdir: Path, size: Size) -> Result:
    """CPU of every mart of a day after the longer history over that after the shorter."""
    costs = [
        _day_cpu_s(workdir / f"history-{days}", days, max(size.scale, LEAST_DAY_SHARE))
        for days in HISTORIES_DAYS
    ]
    return Result("day_cost_ratio_300_to_30", round(costs[1] / costs[0], 3), "ratio")


def _day_cpu_s(directory: Path, history_days: int, scale: float) -> float:
    """CPU seconds of every mart's query for the last day of one world, of which so many days before it are kept."""
    days = max(HISTORIES_DAYS) + 1
    amounts = Amounts(round(TOUCHES_A_DAY * scale) * days, round(INSTALLS_A_DAY * scale) * days, days)
    first_day = amounts.last_day - dt.timedelta(days=history_days)
    with MartLab(directory) as lab:
        fill(lab, amounts)
        add_activity(lab, amounts, round(ACTIVITY_A_DAY * scale))
        keep_from(lab, first_day)
        lab.build(TENANT, first_day, amounts.last_day)
        costs = []
        for _ in range(DAY_ROUNDS):
            lab.cpu_seconds.clear()
            lab.build(TENANT, amounts.last_day, amounts.last_day)
            costs.append(sum(lab.cpu_seconds.values()))
    return median(costs)


def _check(who: str, found: pl.DataFrame, ours: pl.DataFrame) -> None:
    """Rows by install id, in the same form.

    Raises:
        ContractError: they are not the marts' rows.
    """
    differing = ours.join(found, on=ours.columns, how="anti", nulls_equal=True).height
    if differing or found.height != ours.height:
        raise ContractError(
            f"{who} makes {found.height} rows, the marts {ours.height}, of which {differing} differ: no figure is given"
        )
