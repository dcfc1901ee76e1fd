"""Exports of the two tenants whose every value bears a mark. No assertions here."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pyarrow as pa

from assets.export_contract import Dataset
from assets.export_files import ExportSlice, Published, publish
from resources.object_store import ObjectStore

if TYPE_CHECKING:
    pass


DATE = dt.date(2026, 11, 2)


def marked_table(tenant_id: str, text: str, number: int, dataset: Dataset) -> pa.Table:
    """One row of a dataset whose every value bears a mark."""

    def value(name: str, kind: pa.DataType) -> object:
        types = pa.types
        fixed = {"tenant_id": tenant_id, "model": "last_touch"}
        if name in fixed or types.is_date(kind):
            return fixed.get(name, DATE)
        if types.is_string(kind) or types.is_list(kind):
            mark = f"{text}_{name}"
            return [mark] if types.is_list(kind) else mark
        if types.is_uint8(kind):
            return 1  # too small for a mark
        if types.is_timestamp(kind):
            return dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC)
        return True if types.is_boolean(kind) else number

    row = {column.name: value(column.name, column.type) for column in dataset.schema}
    return pa.Table.from_pylist([row], schema=dataset.schema)


def published(store: ObjectStore, tenant_id: str, text: str, number: int, dataset: Dataset) -> Published:
    """The dataset's marked row, published by the real code."""
    table = marked_table(tenant_id, text, number, dataset)
    slice_ = ExportSlice(tenant_id, dataset, DATE)
    return publish(store, slice_, table, source_snapshots={"clean.events": number}, run_id=text)
