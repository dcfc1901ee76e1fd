"""The attribution bench: every figure is there, targets hold where a small world can say so, wrong winners stop it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

from benchmarks import attribution_accuracy, attribution_speed
from benchmarks.attribution_data import FIRST_DAY, TENANT, Amounts, fill
from benchmarks.harness import Size
from benchmarks.mart_lab import MartLab
from cli.bench import CLAIMS, Name
from resources.errors import ContractError

CONTRACT = {
    "deterministic_precision",
    "deterministic_recall",
    "probabilistic_precision",
    "probabilistic_recall",
    "organic_recall",
    "injection_recall",
    "flooding_recall",
    "fraud_false_positive_rate",
}


def test_accuracy_gives_every_figure_and_the_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution_accuracy, "SEEDS", (1,))
    monkeypatch.setattr(attribution_accuracy, "WINDOWS_H", (1,))
    results = {result.name: result.value for result in attribution_accuracy.run(tmp_path, Size(0.02))}
    assert results.keys() >= CONTRACT | {f"{name}_worst" for name in CONTRACT}
    assert all(0 <= value <= 1 for value in results.values())
    assert results["probabilistic_recall_1h"] < results["probabilistic_recall"]
    # a thousand installs cannot show 0.999, but a matching that is broken falls below this
    assert results["gross_deterministic_recall"] > 0.95
    assert results["return_recall"] > 0.95
    assert results["injection_recall"] > 0.85
    assert results["reinstall_recall"] == 1.0


def test_a_figure_is_the_median_of_the_worlds_and_its_worst_is_on_the_bad_side() -> None:
    worlds = [
        {"organic_recall": recall, "fraud_false_positive_rate": rate}
        for recall, rate in ((0.99, 0.0), (0.97, 0.02), (0.98, 0.01))
    ]
    values = {result.name: result.value for result in attribution_accuracy.summary(worlds)}
    assert (values["organic_recall"], values["organic_recall_worst"]) == (0.98, 0.97)
    rates = (values["fraud_false_positive_rate"], values["fraud_false_positive_rate_worst"])
    assert rates == (0.01, 0.02)


def test_speed_gives_every_figure_and_equal_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution_speed, "ROUNDS", 1)
    monkeypatch.setattr(attribution_speed, "DAY_ROUNDS", 1)
    monkeypatch.setattr(attribution_speed, "HISTORIES_DAYS", (2, 4))
    results = {result.name: result.value for result in attribution_speed.run(tmp_path, Size(0.002))}
    engines = ("", "_best_query", "_winners_query", "_duckdb", "_polars")
    timed = {f"waterfall{engine}_{unit}" for engine in engines for unit in ("s", "cpu_s")}
    assert results.keys() == timed | {"installs_s", "day_cost_ratio_300_to_30"}
    assert all(value > 0 for value in results.values())


def test_rows_that_differ_give_no_figure() -> None:
    ours = pl.DataFrame({"install_id": ["i1", "i2"], "touch_id": ["t1", "t2"]})
    attribution_speed._check("a peer", ours.reverse(), ours)
    for theirs in (ours.with_columns(touch_id=pl.lit("t1")), ours.head(1), pl.concat([ours, ours.head(1)])):
        with pytest.raises(ContractError, match="no figure is given"):
            attribution_speed._check("a peer", theirs, ours)


def test_made_touches_and_installs_are_as_many_as_asked_and_most_installs_have_a_cause(
    tmp_path: Path,
) -> None:
    amounts = Amounts(touches=4_000, installs=200, days=10)
    with MartLab(tmp_path) as lab:
        fill(lab, amounts)
        kinds = dict(lab.query("select event_type, count() from lab.clean_events group by 1").iter_rows())
        crowd = lab.query(
            "select max(n) from (select count() as n from lab.clean_events group by device_id, event_date)"
        ).item()
        lab.build(TENANT, FIRST_DAY, amounts.last_day, models=attribution_speed.WATERFALL)
        matches = dict(lab.query("select match_type, count() from marts.installs group by 1").iter_rows())
    assert kinds["install"] == 200
    assert kinds["click"] + kinds["impression"] == 4_000
    assert crowd < 50
    assert matches.keys() == {"referrer", "device_id", "probabilistic", "organic"}
    assert matches["organic"] < 100


def test_the_command_measures_accuracy_speed_and_markov() -> None:
    modules = CLAIMS[Name.ATTRIBUTION]
    assert modules == ("benchmarks.attribution_accuracy", "benchmarks.attribution_speed", "benchmarks.markov")
    assert all(callable(import_module(module).run) for module in modules)
