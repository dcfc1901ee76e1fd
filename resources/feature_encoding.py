"""How user features become numbers for a model: one function, used by training, scoring and inference alike.

The encoding is learned once in training and stored beside the model, so a model always meets the numbers it
was trained on. Models, labels and where features come from are not here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from resources.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

NUMERIC_FEATURES = (
    "hours_observed",
    "sessions",
    "session_ms",
    "events",
    "purchases",
    "revenue_micros",
    "ctit_ms",
    "is_organic",
)
CATEGORICAL_FEATURES = ("source", "platform", "country")
UNKNOWN_CODE = 0  # values never met in training, and those beyond the vocabulary
VOCABULARY_MAX = 64  # a tree splits ordinal codes at most depth times: rarer values carry no signal anyway


@dataclass(frozen=True)
class FeatureEncoding:
    """Names and order of a matrix's columns, and each category's known values (code = place + 1)."""

    numeric: tuple[str, ...]
    vocabularies: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of the matrix, in order."""
        return (*self.numeric, *self.vocabularies)

    def to_json(self) -> str:
        """The encoding as canonical JSON: the same encoding gives the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> FeatureEncoding:
        """The inverse of `to_json`.

        Raises:
            ContractError: the document is not a feature encoding.
        """
        try:
            document = json.loads(text)
            # canonical JSON sorts the keys; the matrix keeps CATEGORICAL_FEATURES' order
            vocabularies = {name: tuple(document["vocabularies"][name]) for name in CATEGORICAL_FEATURES}
            return cls(numeric=tuple(document["numeric"]), vocabularies=vocabularies)
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError("encoding.json is not a feature encoding: train the model again") from error


def learn_encoding(frame: pl.DataFrame) -> FeatureEncoding:
    """The encoding of these training rows: categories by falling frequency, then by name."""
    return FeatureEncoding(
        numeric=NUMERIC_FEATURES,
        vocabularies={name: _vocabulary(frame[name]) for name in CATEGORICAL_FEATURES},
    )


def feature_matrix(frame: pl.DataFrame, encoding: FeatureEncoding) -> npt.NDArray[np.float32]:
    """Rows × columns of the encoding as float32; null is NaN, an unknown category is 0.

    Raises:
        ContractError: the frame lacks a column the model was trained on.
    """
    import polars as pl  # noqa: PLC0415 - 0.4 CPU s of import, wanted only where rows are scored

    missing = [name for name in encoding.columns if name not in frame.columns]
    if missing:
        raise ContractError(f"the features {', '.join(missing)} are missing: send every feature of the model")
    numeric = [pl.col(name).cast(pl.Float32) for name in encoding.numeric]
    coded = [
        pl.col(name)
        .cast(pl.String)
        .replace_strict(
            {value: code for code, value in enumerate(values, start=1)},
            default=UNKNOWN_CODE,
            return_dtype=pl.Float32,
        )
        .fill_null(UNKNOWN_CODE)
        for name, values in encoding.vocabularies.items()
    ]
    filled = frame.select(*numeric, *coded).fill_null(float("nan"))
    matrix: npt.NDArray[np.float32] = filled.to_numpy(order="c")
    return matrix


def _vocabulary(values: pl.Series) -> tuple[str, ...]:
    counts = values.drop_nulls().value_counts(name="rows").rows()
    ranked = sorted(counts, key=lambda row: (-row[1], row[0]))
    return tuple(value for value, _ in ranked[:VOCABULARY_MAX])
