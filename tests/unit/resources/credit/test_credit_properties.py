"""What must hold for every set of journeys, tried on many."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.credit.frames import group_frame
from resources.credit.models import Credit, Model, credit
from resources.credit.money import allot, allot_by_shares
from resources.credit.paths import GroupedPaths, group_paths
from resources.credit.positional import time_decay_weights

if TYPE_CHECKING:
    from tests.unit.resources.credit.naive_credit import Row

TIMELESS = [model for model in Model if model is not Model.TIME_DECAY]
OF_TOUCHES_THAT_CONVERTED = [model for model in TIMELESS if model not in (Model.MARKOV, Model.SHAPLEY_RATE)]

each_timeless_model = pytest.mark.parametrize("model", TIMELESS)


@st.composite
def row(draw: st.DrawFn) -> Row:
    path = tuple(draw(st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=6)))
    converted = draw(st.integers(0, 5))
    value = draw(st.integers(-(10**6), 10**15)) if converted else 0
    return path, converted, value, draw(st.integers(0, 5))


rows_of_journeys = st.lists(row(), max_size=12)
tries = settings(max_examples=40, deadline=None)


def numbers(paths: GroupedPaths, model: Model, order: int = 1) -> tuple[object, ...]:
    one = credit(paths, model, order=order)
    return one.channels, one.conversions.tolist(), one.value_micros


def of(one: Credit, channel: str) -> float:
    return float(one.conversions[one.channels.index(channel)])


@each_timeless_model
@tries
@given(rows=rows_of_journeys, order=st.integers(1, 3))
def test_conversions_and_value_are_conserved(model: Model, rows: list[Row], order: int) -> None:
    one = credit(group_paths(rows), model, order=order)
    assert one.conversions.sum() == pytest.approx(sum(row[1] for row in rows), rel=1e-9, abs=1e-12)
    assert sum(one.value_micros) == sum(row[2] for row in rows)
    if model is not Model.SHAPLEY_RATE:  # there a channel may lower the rate of those it joins
        assert (one.conversions >= 0).all()


@each_timeless_model
@tries
@given(data=st.data(), rows=rows_of_journeys, order=st.integers(1, 3))
def test_the_order_of_rows_changes_nothing_to_the_bit(
    model: Model, data: st.DataObject, rows: list[Row], order: int
) -> None:
    shuffled = data.draw(st.permutations(rows))
    assert numbers(group_paths(shuffled), model, order) == numbers(group_paths(rows), model, order)


@each_timeless_model
@tries
@given(rows=rows_of_journeys)
def test_equal_rows_are_one_row(model: Model, rows: list[Row]) -> None:
    doubled = [(path, 2 * won, 2 * value, 2 * lost) for path, won, value, lost in rows]
    assert numbers(group_paths(rows + rows), model) == numbers(group_paths(doubled), model)


@each_timeless_model
@tries
@given(rows=rows_of_journeys, factor=st.integers(2, 1000))
def test_as_many_times_the_journeys_is_as_many_times_the_credit(
    model: Model, rows: list[Row], factor: int
) -> None:
    once = credit(group_paths(rows), model)
    often = credit(
        group_paths([(path, won * factor, 0, lost * factor) for path, won, _, lost in rows]), model
    )
    assert often.conversions == pytest.approx(once.conversions * factor, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("model", OF_TOUCHES_THAT_CONVERTED)
@tries
@given(rows=rows_of_journeys, lost=st.integers(1, 5))
def test_a_channel_in_no_converting_path_gets_nothing(model: Model, rows: list[Row], lost: int) -> None:
    one = credit(group_paths([*rows, (("A", "null player"), 0, 0, lost)]), model)
    assert of(one, "null player") == 0
    assert one.value_micros[one.channels.index("null player")] == 0


@tries
@given(rows=rows_of_journeys, lost=st.integers(1, 5))
def test_markov_gives_nothing_to_a_channel_that_leads_nowhere(rows: list[Row], lost: int) -> None:
    one = credit(group_paths([*rows, (("dead end", "dead end"), 0, 0, lost)]), Model.MARKOV)
    assert of(one, "dead end") == 0


@pytest.mark.parametrize("model", [Model.MARKOV, Model.SHAPLEY, Model.SHAPLEY_RATE, Model.LINEAR])
@tries
@given(rows=rows_of_journeys)
def test_two_channels_that_trade_places_get_the_same(model: Model, rows: list[Row]) -> None:
    swap = {"A": "B", "B": "A"}
    swapped = [(tuple(swap.get(name, name) for name in path), *rest) for path, *rest in rows]
    both = [*rows, *swapped, (("A",), 1, 0, 0), (("B",), 1, 0, 0)]
    one = credit(group_paths(both), model)
    assert of(one, "A") == pytest.approx(of(one, "B"), rel=1e-9)


@tries
@given(rows=rows_of_journeys)
def test_shapley_ignores_order_and_repeats(rows: list[Row]) -> None:
    sets = [(tuple(sorted(set(path))), *rest) for path, *rest in rows]
    one, other = (credit(group_paths(given_rows), Model.SHAPLEY) for given_rows in (rows, sets))
    assert one.conversions == pytest.approx(other.conversions, rel=1e-12)


@tries
@given(rows=rows_of_journeys)
def test_a_frame_groups_as_rows_do(rows: list[Row]) -> None:
    schema = {
        "channels": pl.List(pl.String),
        "conversions": pl.Int64,
        "value_micros": pl.Int64,
        "nulls": pl.Int64,
    }
    frame = pl.DataFrame([(list(path), *rest) for path, *rest in rows], schema=schema, orient="row")
    ours, theirs = group_frame(frame), group_paths(rows)
    assert ours.channels == theirs.channels
    for column in ("codes", "ends", "conversions", "value_micros", "nulls"):
        assert getattr(ours, column).tolist() == getattr(theirs, column).tolist(), column


@settings(max_examples=100, deadline=None)
@given(
    total=st.integers(-(10**18), 10**18),
    shares=st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(lambda shares: sum(shares) > 0),
)
def test_parts_sum_to_the_amount_and_are_within_a_unit_of_the_claim(total: int, shares: list[float]) -> None:
    parts = allot_by_shares(total, np.array(shares))
    assert sum(parts) == total
    whole = sum(Fraction(share) for share in shares)
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Fraction(share) * total / whole) < 1
        assert share or part == 0


def test_the_largest_remainder_gets_the_unit_and_the_first_of_equals() -> None:
    assert allot(10, [Fraction(14, 3), Fraction(8, 3), Fraction(8, 3)]) == [5, 3, 2]
    assert allot(7, [Fraction(5, 4), Fraction(11, 4), Fraction(3)]) == [1, 3, 3]
    assert allot(1, [Fraction(1, 2), Fraction(1, 2)]) == [1, 0]
    assert allot(0, [Fraction(0), Fraction(0)]) == [0, 0]


@pytest.mark.parametrize("model", [Model.FIRST, Model.LAST])
def test_amounts_beyond_what_a_float_holds_are_exact(model: Model) -> None:
    odd = 2**60 + 1
    one = credit(group_paths([(("A",), 1, odd, 0), (("B",), 1, odd - 2, 0), (("A", "A"), 1, 1, 0)]), model)
    assert one.value_micros == (odd + 1, odd - 2)


def test_ages_shift_by_anything_and_weigh_the_same() -> None:
    frame = pl.DataFrame(
        {"channels": [["A", "B"]] * 2, "conversions": [1, 1], "ages_days": [[7, 0], [10_007, 10_000]]}
    )
    assert time_decay_weights(group_frame(frame)) == pytest.approx([1 / 3, 2 / 3] * 2, rel=1e-12)
