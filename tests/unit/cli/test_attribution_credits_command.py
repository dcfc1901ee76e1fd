"""`unmogrowp attribution credits` over a real ClickHouse: sums of the days, journeys of the whole period."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.support.credit_marts import DAY, NEXT, TOY_EFFECTS, put_toy, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.clickhouse import ClickHouse

PERIOD = ("--from", str(DAY), "--to", str(NEXT))


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with served(tmp_path_factory.mktemp("clickhouse")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def settings_of_the_server(clickhouse: ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNMOGROWP_HOME", str(tmp_path))
    monkeypatch.setenv("UNMOGROWP_CLICKHOUSE_URL", f"http://127.0.0.1:{clickhouse.port}")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["attribution", "credits", *arguments])


def test_before_the_first_slice_it_says_what_to_do() -> None:
    answer = run("--tenant", "t_new", *PERIOD)
    assert answer.exit_code == 1
    assert "unmogrowp backfill --tenant t_new" in " ".join(answer.stderr.split())


def test_days_are_summed_and_paths_are_credited_over_the_whole_period(clickhouse: ClickHouse) -> None:
    put_toy(clickhouse, "t_toy", DAY)
    put_toy(clickhouse, "t_toy", NEXT, micros=11)
    put_toy(clickhouse, "t_toy", NEXT.replace(day=2), micros=1)  # after the period
    document = json.loads(run("--tenant", "t_toy", *PERIOD, "--json").stdout)
    effects = {
        row["channel"]: row["removal_effect"] for row in document["credits"] if row["model"] == "markov_1"
    }
    assert effects == pytest.approx(TOY_EFFECTS, rel=0, abs=1e-12)
    last = {row["channel"]: row["conversions"] for row in document["credits"] if row["model"] == "last"}
    assert last == {"A": 10.0, "C": 38.0}
    for model in ("linear", "markov_3", "shapley_rate", "removal_per_path"):
        rows = [row for row in document["credits"] if row["model"] == model]
        assert sum(row["revenue_micros"] for row in rows) == 24 * (7 + 11)


def test_it_can_be_narrowed_to_a_model_an_app_and_a_conversion(clickhouse: ClickHouse) -> None:
    put_toy(clickhouse, "t_apps", DAY, app="one")
    narrowed = ("--tenant", "t_apps", *PERIOD, "--model", "shapley", "--json")
    rows = json.loads(run(*narrowed, "--app", "one").stdout)["credits"]
    assert {row["model"] for row in rows} == {"shapley"}
    assert json.loads(run(*narrowed, "--app", "two").stdout)["credits"] == []
    assert json.loads(run(*narrowed, "--conversion", "install").stdout)["credits"] == []


def test_people_see_a_table_per_measure_or_that_there_is_nothing(clickhouse: ClickHouse) -> None:
    put_toy(clickhouse, "t_people", DAY)
    text = run("--tenant", "t_people", *PERIOD, "--model", "last").stdout
    assert "purchase · app app" in text
    assert "conversions" in text
    assert "revenue" in text
    nothing = run("--tenant", "t_nobody", *PERIOD)
    assert nothing.exit_code == 0
    assert "nothing to credit" in " ".join(nothing.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "magic"), "no model is called magic"),
        (("--conversion", "click"), "no conversion is called click"),
        (("--to", "2020-01-01"), "give the earlier day first"),
    ],
)
def test_a_wrong_argument_is_told_in_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    answer = run("--tenant", "t_toy", *PERIOD, *arguments)
    assert answer.exit_code == 1
    assert sentence in " ".join(answer.stderr.split())
