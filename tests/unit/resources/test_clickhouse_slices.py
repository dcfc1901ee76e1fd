"""Replacing slices of a table that Python fills, in a real ClickHouse."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pytest

from resources.clickhouse import ClickHouse
from resources.clickhouse_slices import SliceTable, ensure_table, replace_slice
from resources.embedded.clickhouse_process import ClickHouseProcess
from resources.errors import ContractError, MixedTenantsError

DAY = dt.date(2026, 10, 31)
NEXT = dt.date(2026, 11, 1)  # another month: another partition
AFTER = dt.date(2026, 11, 2)
NAMES = iter(f"numbers_{number}" for number in range(100))


def table_of(name: str, **more: str) -> SliceTable:
    columns = {"tenant_id": "String", "event_date": "Date", "n": "Int64", "maybe": "Nullable(UInt8)", **more}
    return SliceTable(name, columns, ("tenant_id", "event_date", "n"), "numbers of a day")


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouseProcess(tmp_path_factory.mktemp("clickhouse")) as process:
        opened = ClickHouse(f"http://127.0.0.1:{process.port}", database="marts")
        yield opened
        opened.close()


@pytest.fixture
def table() -> SliceTable:
    return table_of(next(NAMES))


def rows(table: SliceTable, tenant: str, numbers: Mapping[dt.date, list[int]]) -> pa.Table:
    found = [
        {"tenant_id": tenant, "event_date": day, "n": n, "maybe": None if n % 2 else 1}
        for day, values in numbers.items()
        for n in values
    ]
    return pa.Table.from_pylist(found, schema=table.arrow_schema)


def kept(clickhouse: ClickHouse, table: SliceTable, tenant: str) -> list[tuple[dt.date, int]]:
    sql = f"SELECT event_date, n FROM {table.name} WHERE tenant_id = {{tenant:String}} ORDER BY ALL"
    return [(row["event_date"], row["n"]) for row in clickhouse.query_rows(sql, {"tenant": tenant})]


def test_a_slice_is_replaced_whole_and_its_neighbours_stay(clickhouse: ClickHouse, table: SliceTable) -> None:
    everything = {DAY: [1, 2], NEXT: [3], AFTER: [4, 5]}
    assert replace_slice(clickhouse, table, "t1", list(everything), rows(table, "t1", everything)) == 5
    assert replace_slice(clickhouse, table, "t2", [NEXT], rows(table, "t2", {NEXT: [9]})) == 1
    for _ in range(2):  # twice is once
        replace_slice(clickhouse, table, "t1", [NEXT], rows(table, "t1", {NEXT: [7, 8]}))
        assert kept(clickhouse, table, "t1") == [
            (DAY, 1),
            (DAY, 2),
            (NEXT, 7),
            (NEXT, 8),
            (AFTER, 4),
            (AFTER, 5),
        ]
    assert kept(clickhouse, table, "t2") == [(NEXT, 9)]


def test_an_emptied_slice_and_an_emptied_month_are_empty(clickhouse: ClickHouse, table: SliceTable) -> None:
    replace_slice(
        clickhouse, table, "t1", [DAY, NEXT, AFTER], rows(table, "t1", {DAY: [1], NEXT: [2], AFTER: [3]})
    )
    replace_slice(clickhouse, table, "t1", [DAY, NEXT], rows(table, "t1", {}))
    assert kept(clickhouse, table, "t1") == [(AFTER, 3)]
    replace_slice(clickhouse, table, "t1", [AFTER], rows(table, "t1", {}))
    assert kept(clickhouse, table, "t1") == []


def test_nulls_and_column_order_come_through(clickhouse: ClickHouse, table: SliceTable) -> None:
    shuffled = rows(table, "t1", {DAY: [1, 2]}).select(["maybe", "n", "event_date", "tenant_id"])
    replace_slice(clickhouse, table, "t1", [DAY], shuffled)
    found = clickhouse.query_rows(f"SELECT n, maybe FROM {table.name} ORDER BY n")
    assert found == [{"n": 1, "maybe": None}, {"n": 2, "maybe": 1}]


def test_rows_of_another_tenant_or_date_are_refused_and_nothing_changes(
    clickhouse: ClickHouse, table: SliceTable
) -> None:
    replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t1", {DAY: [1]}))
    with pytest.raises(MixedTenantsError, match=r"t1: rows of \['t2'\]"):
        replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t2", {DAY: [2]}))
    with pytest.raises(ContractError, match="2026-11-01, which was not asked for"):
        replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t1", {DAY: [2], NEXT: [2]}))
    with pytest.raises(ContractError, match="lack maybe"):
        replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t1", {DAY: [2]}).drop_columns(["maybe"]))
    with pytest.raises(ContractError, match="no tenant id"):
        replace_slice(clickhouse, table, "t1'; --", [DAY], rows(table, "t1'; --", {DAY: [2]}))
    assert kept(clickhouse, table, "t1") == [(DAY, 1)]


def test_readers_see_the_old_rows_or_the_new_ones(clickhouse: ClickHouse, table: SliceTable) -> None:
    old, new = list(range(1000)), list(range(1000, 2000))
    replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t1", {DAY: old}))
    is_over, seen = threading.Event(), set()

    def read() -> None:
        while not is_over.is_set():
            found = clickhouse.query_rows(
                f"SELECT count() AS many, min(n) AS low, max(n) AS high FROM {table.name}"
            )
            seen.add(tuple(found[0].values()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for values in [new, old] * 5:
            replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t1", {DAY: values}))
    finally:
        is_over.set()
        reader.join()
    assert seen <= {(1000, 0, 999), (1000, 1000, 1999)}
    assert seen


def test_what_a_crash_left_behind_does_not_get_in(clickhouse: ClickHouse, table: SliceTable) -> None:
    side = f"{table.name}__slice_t1"
    clickhouse.command(table.create_sql(side))
    clickhouse.insert_arrow(side, rows(table, "t1", {DAY: [66]}))
    replace_slice(clickhouse, table, "t1", [DAY], rows(table, "t1", {DAY: [1]}))
    assert kept(clickhouse, table, "t1") == [(DAY, 1)]
    assert clickhouse.query_rows(f"EXISTS TABLE {side}") == [{"result": 0}]


def test_a_later_version_adds_its_column_to_the_table_that_is_there(
    clickhouse: ClickHouse, table: SliceTable
) -> None:
    replace_slice(clickhouse, table, "t1", [DAY, AFTER], rows(table, "t1", {DAY: [1], AFTER: [2]}))
    later = table_of(table.name, more="Array(String)")
    ensure_table(clickhouse, later)
    row = {"tenant_id": "t1", "event_date": DAY, "n": 5, "maybe": None, "more": ["a", "b"]}
    replace_slice(clickhouse, later, "t1", [DAY], pa.Table.from_pylist([row], schema=later.arrow_schema))
    found = clickhouse.query_rows(f"SELECT n, more FROM {table.name} ORDER BY n")
    assert found == [{"n": 2, "more": []}, {"n": 5, "more": ["a", "b"]}]
