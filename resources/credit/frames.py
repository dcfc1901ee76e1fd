"""Journeys in a polars frame, as ClickHouse and the lake hand them over, as grouped paths. Files: `path_file`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from resources.credit.paths import MAX_INT64, MAX_TOUCHES, GroupedPaths, canonical
from resources.errors import ContractError

if TYPE_CHECKING:
    from resources.credit.paths import IntArray


def group_frame(frame: pl.DataFrame) -> GroupedPaths:
    """Rows of `channels` (list of names), `conversions`, and maybe `value_micros`, `nulls`, `ages_days` (list).

    A million rows take half a second; row by row in Python they take six.

    Raises:
        ContractError: a row is without touches, counts below 0, holds value without a conversion, or has not one age
            per touch.
    """
    counts = {name: _integers(frame, name) for name in ("conversions", "value_micros", "nulls")}
    lengths = frame["channels"].list.len()
    _check(frame, counts, lengths)
    recent = frame["channels"].list.tail(MAX_TOUCHES)
    touches = recent.explode(empty_as_null=False).cast(pl.String)
    names = touches.unique().sort()
    codes = touches.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)
    ages = None
    if "ages_days" in frame.columns:
        ages = (
            frame["ages_days"].list.tail(MAX_TOUCHES).explode(empty_as_null=False).cast(pl.Float64).to_numpy()
        )
    ends = np.concatenate([[0], np.cumsum(recent.list.len().to_numpy(), dtype=np.int64)])
    return canonical(GroupedPaths(tuple(names), codes, ends, **counts, ages_days=ages))


def _integers(frame: pl.DataFrame, name: str) -> IntArray:
    if name not in frame.columns:
        return np.zeros(frame.height, np.int64)
    return frame[name].cast(pl.Int64).fill_null(0).to_numpy().astype(np.int64)


def _check(frame: pl.DataFrame, counts: dict[str, IntArray], lengths: pl.Series) -> None:
    touches = lengths.fill_null(0).to_numpy()
    faults = {
        "has no touch: give a journey without one a channel of its own, e.g. organic": touches == 0,
        "has a touch without a channel": frame["channels"]
        .list.eval(pl.element().is_null())
        .list.any()
        .to_numpy(),
        "counts fewer than 0 journeys": np.minimum(counts["conversions"], counts["nulls"]) < 0,
        "has value and no conversion": (counts["value_micros"] != 0) & (counts["conversions"] == 0),
    }
    if "ages_days" in frame.columns:
        ages = frame["ages_days"].list.len().fill_null(0).to_numpy()
        faults["has not one age per touch"] = ages != touches
    for fault, is_faulty in faults.items():
        if is_faulty.any():
            raise ContractError(f"row {int(is_faulty.argmax())} of the paths {fault}")
    if any(float(np.abs(column).sum(dtype=np.float64)) > MAX_INT64 for column in counts.values()):
        raise ContractError("the paths sum to more than 2^63 journeys or micros: split them")
