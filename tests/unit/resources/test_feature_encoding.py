"""The one way from features to numbers."""

import numpy as np
import polars as pl
import pytest

from resources.errors import ContractError
from resources.feature_encoding import NUMERIC_FEATURES, FeatureEncoding, feature_matrix, learn_encoding


def frame(sources: list[str | None], ctit: list[int | None] | None = None) -> pl.DataFrame:
    rows = len(sources)
    numbers = {name: [1] * rows for name in NUMERIC_FEATURES if name not in {"ctit_ms", "is_organic"}}
    return pl.DataFrame(
        {
            **numbers,
            "ctit_ms": pl.Series(ctit or [5] * rows, dtype=pl.Int64),
            "is_organic": [False] * rows,
            "source": sources,
            "platform": ["ios"] * rows,
            "country": ["DE"] * rows,
        }
    )


def test_categories_are_numbered_by_frequency_then_name_and_unknown_is_zero() -> None:
    encoding = learn_encoding(frame(["b", "a", "a", "c"]))
    assert encoding.vocabularies["source"] == ("a", "b", "c")
    matrix = feature_matrix(frame(["a", "c", "never seen", None]), encoding)
    assert matrix[:, encoding.columns.index("source")].tolist() == [1.0, 3.0, 0.0, 0.0]


def test_a_missing_number_is_nan_and_the_matrix_is_float32() -> None:
    training = frame(["a", "a"], [None, 7])
    encoding = learn_encoding(training)
    matrix = feature_matrix(training, encoding)
    assert matrix.dtype == np.float32
    column = matrix[:, encoding.columns.index("ctit_ms")]
    assert np.isnan(column[0])
    assert column[1] == 7.0


def test_the_stored_encoding_is_the_learned_one_and_its_bytes_are_stable() -> None:
    encoding = learn_encoding(frame(["b", "a", "ü"]))
    assert FeatureEncoding.from_json(encoding.to_json()) == encoding
    assert learn_encoding(frame(["ü", "a", "b"])).to_json() == encoding.to_json()


def test_one_row_alone_gets_the_numbers_it_gets_among_many() -> None:
    many = frame(["a", "b", "a", "zzz"], [1, None, 3, 4])
    encoding = learn_encoding(many.head(3))
    together = feature_matrix(many, encoding)
    alone = np.vstack([feature_matrix(many[row], encoding) for row in range(4)])
    np.testing.assert_array_equal(together, alone)


def test_a_frame_without_a_feature_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="platform"):
        feature_matrix(frame(["a"]).drop("platform"), learn_encoding(frame(["a"])))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"numeric": 3, "vocabularies": {}}'])
def test_a_damaged_encoding_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        FeatureEncoding.from_json(text)
