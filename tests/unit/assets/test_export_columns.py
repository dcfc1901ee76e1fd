"""The exports' columns against the marts' own contracts: what dbt and the Python tables say of the same names."""

from __future__ import annotations

import pyarrow as pa
import pytest

from assets.channel_credits import CHANNEL_CREDITS
from assets.export_contract import MARTS
from benchmarks.mart_rendering import tables
from resources.usage import USAGE_DAILY

TYPES = {
    "String": pa.string(),
    "Date": pa.date32(),
    "DateTime64(3, 'UTC')": pa.timestamp("ms", tz="UTC"),
    "Int64": pa.int64(),
    "UInt16": pa.int64(),  # wider in the file; no value is lost
    "UInt8": pa.uint8(),
    "Float64": pa.float64(),
    "Array(String)": pa.list_(pa.string()),
}


def columns_of(mart: str) -> dict[str, str]:
    of_python = {table.name: table.columns for table in (CHANNEL_CREDITS, USAGE_DAILY)}
    return dict(of_python[mart] if mart in of_python else tables()[mart].columns)


@pytest.mark.parametrize("mart", list(MARTS))
def test_an_export_has_the_columns_of_its_mart_in_their_types(mart: str) -> None:
    kinds = columns_of(mart)
    for field in MARTS[mart].schema:
        kind = kinds[field.name]
        nullable = kind.startswith("Nullable(")
        bare = kind.removeprefix("Nullable(").removesuffix(")") if nullable else kind
        assert (TYPES[bare], nullable) == (field.type, field.nullable), field.name


@pytest.mark.parametrize("mart", list(MARTS))
def test_rows_have_one_order(mart: str) -> None:
    assert set(MARTS[mart].order) <= set(MARTS[mart].schema.names)
