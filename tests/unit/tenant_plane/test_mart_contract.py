"""The verdict on one pushed file, without a server: ClickHouse's types are taken, what loses value is not."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from resources.errors import AuthorizationError, ContractError
from tenant_plane.mart_contract import MART_SCHEMAS, Slice, checked_table
from tests.unit.tenant_plane.plane_process import mart_table, parquet

DATE = dt.date(2026, 3, 1)
DAYS_SINCE_1970 = 20513


def check(table: pa.Table, mart: str = "installs") -> pa.Table:
    return checked_table(parquet(table), Slice("t123", mart, DATE), max_unpacked_bytes=2**20)


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize("mart", list(MART_SCHEMAS))
def test_a_mart_comes_out_as_it_went_in(mart: str) -> None:
    table = mart_table(mart, [{}, {}], date=DATE)
    assert check(table, mart).equals(table)


def test_the_types_clickhouse_writes_are_taken() -> None:
    table = mart_table("installs", [{"source": "n", "ctit_ms": 7}], date=DATE)
    as_written = replaced(table, "event_date", pa.array([DAYS_SINCE_1970], pa.uint16()))
    as_written = replaced(as_written, "source", pa.array([b"n"], pa.binary()))
    as_written = replaced(as_written, "medium", pa.array([""]).dictionary_encode())
    as_written = replaced(as_written, "tier", pa.array([0], pa.int32()))
    assert check(as_written).equals(table)


def test_columns_of_a_later_version_are_left_out() -> None:
    table = mart_table("kpi_daily", [{"events": 3}], date=DATE)
    assert check(table.append_column("later", pa.array([1])), "kpi_daily").equals(table)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("spend_micros", pa.array([1.0])),
        ("spend_micros", pa.array([None], pa.int64())),
        ("spend_micros", pa.array([2**63], pa.uint64())),
        ("source", pa.array([b"\xff"], pa.binary())),
        ("source", pa.array([1])),
        ("tenant_id", pa.array([None], pa.string())),
        ("event_date", pa.array([DAYS_SINCE_1970 + 1], pa.uint16())),
    ],
)
def test_a_value_that_does_not_fit_is_refused(name: str, values: pa.Array) -> None:
    table = mart_table("campaign_daily", [{}], date=DATE)
    with pytest.raises(ContractError):
        check(replaced(table, name, values), "campaign_daily")


def test_a_time_finer_than_the_column_is_refused() -> None:
    table = mart_table("installs", [{}], date=DATE)
    fine = pa.array([1], pa.timestamp("us", tz="UTC"))
    with pytest.raises(ContractError, match="install_time"):
        check(replaced(table, "install_time", fine))


def test_another_tenants_row_is_refused_wherever_it_stands() -> None:
    rows: list[dict[str, object]] = [{} for _ in range(50)]
    rows[37]["tenant_id"] = "t1234"
    with pytest.raises(AuthorizationError):
        check(mart_table("kpi_daily", rows, date=DATE), "kpi_daily")
