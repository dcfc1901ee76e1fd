"""Every mart's query gives the columns and types that its contract says: dbt asks a real server, this asks chDB."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from benchmarks.mart_lab import MartLab, lab_variables
from benchmarks.mart_rendering import render, tables
from resources.rules import ChannelRules, RuleSet

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.date(2026, 3, 10)
EVERYTHING = RuleSet(
    channels=(ChannelRules(source="a"), ChannelRules(source="a", medium="b")),
    conversion_events=("level's end",),
    reinstall_without_touch="organic",
)


@pytest.mark.parametrize("rules", [RuleSet(), EVERYTHING], ids=["default", "everything"])
def test_every_query_has_the_columns_and_types_of_its_contract(rules: RuleSet, tmp_path: Path) -> None:
    with MartLab(tmp_path / "lab") as lab:
        lab.build("t_nobody", DAY, DAY, rules)  # makes every table and view
        for model in render(lab_variables(rules)):
            if not model.is_view:
                described = lab.query(f"describe table ({model.sql_for('t_nobody', DAY, DAY)})")
                found = dict(described.select("name", "type").iter_rows())
                assert found == dict(tables()[model.name].columns), model.name
