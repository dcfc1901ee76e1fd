"""A lake that an earlier release made: its tables get the columns that the contracts have gained since."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from resources import lake_catalog
from resources.clickhouse import ClickHouse
from resources.embedded.clickhouse_process import ClickHouseProcess, local_warehouse
from resources.lake import Lake
from resources.settings import Settings
from tests.support.lake_rows import DAY, NEXT, clean_rows

if TYPE_CHECKING:
    from pathlib import Path

    from schemas import TableSchema

NEWEST = "device_model"


def make_older_lake(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake whose clean.events lacks its newest column and holds two rows."""
    now = lake_catalog.table_schemas()
    clean = now["clean.events"]
    assert clean.columns[-1].name == NEWEST

    def before() -> dict[str, TableSchema]:
        return {**now, "clean.events": replace(clean, columns=clean.columns[:-1])}

    with monkeypatch.context() as patch, closing(Lake(settings)) as lake:
        patch.setattr(lake_catalog, "table_schemas", before)
        lake.ensure_tables()
        lake.table("clean.events").append(clean_rows(lake, "t1", DAY, [1, 2]).drop_columns([NEWEST]))


def add_slice(lake: Lake) -> None:
    lake.replace_slice(
        "clean.events", clean_rows(lake, "t1", NEXT, [3]), tenant_id="t1", date=NEXT, run_id="r"
    )


def test_old_rows_stay_and_new_ones_have_the_new_column(
    lake_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older_lake(lake_settings, monkeypatch)
    with closing(Lake(lake_settings)) as lake:
        assert NEWEST not in lake.table("clean.events").schema().column_names
        for _ in range(2):  # a second start finds nothing to do
            lake.ensure_tables()
        columns = [column.name for column in lake_catalog.table_schemas()["clean.events"].columns]
        assert lake.table("clean.events").schema().column_names == columns
        add_slice(lake)
        read = lake.read("clean.events", "tenant_id = 't1'").sort("revenue_micros")
        assert read["revenue_micros"].to_list() == [1, 2, 3]
        assert read[NEWEST].to_list() == [None] * 3


def test_clickhouse_reads_slices_from_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    make_older_lake(settings, monkeypatch)
    server = ClickHouseProcess(tmp_path / "clickhouse", files=local_warehouse(settings))
    with (
        closing(Lake(settings)) as lake,
        server,
        closing(ClickHouse(server.url, database="marts")) as clickhouse,
    ):
        lake.ensure_tables()
        add_slice(lake)
        source = lake.clickhouse_source("clean.events")
        counts = f"SELECT count() AS events, countIf({NEWEST} IS NULL) AS without FROM {source}"
        assert clickhouse.query_rows(counts) == [{"events": 3, "without": 3}]
