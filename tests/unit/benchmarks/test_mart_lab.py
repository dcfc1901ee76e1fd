"""MartLab: the project's SQL as dbt renders it, over frames, slice by slice, one tenant at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.marts import dbt_vars
from assets.partitions import RunSlices
from benchmarks.mart_lab import CLEAN_EVENTS, LabError, MartLab, as_clean_events, lab_variables
from benchmarks.mart_rendering import render, tables
from resources.errors import PermanentError
from resources.rules import DEFAULT_RULES, HOUR_MS, ChannelRules, RuleSet

DAY, NEXT = dt.date(2026, 11, 10), dt.date(2026, 11, 11)
REAL = RunSlices("t1", (DAY, NEXT))


def event(event_id: str, event_type: str, hour: float, tenant: str = "t1", **fields: Any) -> dict[str, Any]:
    time = dt.datetime(2026, 11, 10, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
    named = {"tenant_id": tenant, "event_id": event_id, "event_type": event_type, "event_time": time}
    return {**named, "app_id": "app", "device_id": "d1", **fields}


WORLD = [
    event("k1", "click", 8, source="net", click_id="c1"),
    event("i1", "install", 9),
    event("k2", "click", 30, source="net", device_id="d2"),
    event("i2", "install", 31, device_id="d2"),
    event("i1", "install", 9, tenant="t2"),
]


def frame(*events: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(events), infer_schema_length=None)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MartLab]:
    with MartLab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture
def built(lab: MartLab) -> MartLab:
    """The small world's installs of both tenants."""
    lab.clear()
    lab.put(frame(*WORLD))
    for tenant in ("t1", "t2"):
        lab.build(tenant, DAY, NEXT, models=["installs"])
    return lab


def test_each_tenant_has_its_own_installs_and_a_colliding_device_wins_nothing(built: MartLab) -> None:
    winners = built.mart("installs").select("tenant_id", "install_id", "touch_id").rows()
    assert sorted(winners) == [("t1", "i1", "k1"), ("t1", "i2", "k2"), ("t2", "i1", "")]


def test_building_a_date_again_replaces_it_and_nothing_else(built: MartLab) -> None:
    before = built.mart("installs")
    built.build("t1", NEXT, NEXT, models=["installs"])
    assert_frame_equal(built.mart("installs"), before)
    built.put(frame(*WORLD[2:]))
    built.build("t1", DAY, DAY, models=["installs"])
    assert built.mart("installs", "t1")["install_id"].to_list() == ["i2"]
    assert built.mart("installs", "t2").height == 1


def test_the_models_that_a_model_reads_are_built_and_timed_with_it(built: MartLab) -> None:
    assert {"install_events", "touch_decisions", "installs"} <= built.seconds.keys()
    assert "kpi_daily" not in built.seconds


def test_rules_decide_and_mark_the_rows(built: MartLab) -> None:
    strict = RuleSet(channels=(ChannelRules(source="net", click_window_ms=HOUR_MS),), min_ctit_ms=0)
    built.build("t1", DAY, NEXT, strict, ["installs"])
    rows = built.mart("installs", "t1").select("touch_id", "ruleset_hash").rows()
    assert rows == [("k1", strict.content_hash), ("k2", strict.content_hash)]
    built.build("t1", DAY, NEXT, RuleSet(min_ctit_ms=60_000, click_window_ms=HOUR_MS), ["installs"])
    late = [{**row, "event_time": row["event_time"] + dt.timedelta(milliseconds=1)} for row in WORLD[1:2]]
    built.put(frame(WORLD[0], *late))
    built.build("t1", DAY, NEXT, strict, ["installs"])
    assert built.mart("installs", "t1")["match_type"].to_list() == ["organic"]


def test_the_lab_runs_the_very_sql_that_dbt_compiles_for_real_dates() -> None:
    rules = RuleSet(
        channels=(
            ChannelRules(source="it's", medium="cpc", view_window_ms=0),
            ChannelRules(source="net", click_window_ms=HOUR_MS),
        ),
        blocked_networks=("203.0.113.0/24",),
        conversion_events=("level_10",),
        reinstall_without_touch="organic",
    )
    in_lab = lab_variables(rules, blocked_ip_pseudonyms=["p1", "p2"])
    real = dbt_vars(
        REAL,
        clean_events=CLEAN_EVENTS,
        rules=rules,
        currency="USD",
        blocked_ip_pseudonyms=["p1", "p2"],
    )
    rendered = {model.name: model.sql_for("t1", DAY, NEXT) for model in render(in_lab)}
    assert rendered == {model.name: model.sql for model in render(real)}
    assert rendered.keys() >= {name for name, table in tables().items() if not table.is_restatement}


def test_parents_come_before_the_models_that_read_them() -> None:
    names = [model.name for model in render(lab_variables(DEFAULT_RULES))]
    in_order = ["install_events", "touch_decisions", "installs", "attributed_purchases", "campaign_daily"]
    assert [name for name in names if name in in_order] == in_order


def test_a_frame_is_completed_and_a_wrong_one_refused() -> None:
    (row,) = as_clean_events(frame(event("s1", "session", 25))).iter_rows(named=True)
    assert (row["event_date"], row["land_seq"], row["user_id"]) == (NEXT, 0, None)
    assert row["received_at"] == row["event_time"]
    with pytest.raises(LabError, match="no column colour"):
        as_clean_events(frame(event("s1", "session", 1, colour="red")))
    with pytest.raises(LabError, match="lacks event_type"):
        as_clean_events(frame(event("s1", "session", 1)).drop("event_type"))


def test_an_unknown_model_a_false_tenant_and_a_second_lab_are_refused(lab: MartLab, tmp_path: Any) -> None:
    with pytest.raises(PermanentError, match="no slice table nothing"):
        lab.build("t1", DAY, DAY, models=["nothing"])
    with pytest.raises(LabError, match="is no tenant id"):
        lab.build("t1' or 1=1 --", DAY, DAY, models=["installs"])
    with pytest.raises(LabError, match="close the other MartLab"):
        MartLab(tmp_path)


def test_a_refused_statement_says_what_clickhouse_said_without_the_whole_query(lab: MartLab) -> None:
    with pytest.raises(LabError, match="Unknown expression") as refused:
        lab.query("select no_such_column from marts.installs")
    assert "In scope" not in str(refused.value)
