"""Weights by place, milestone and age, written out; and what the paths themselves refuse."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from resources.credit.frames import group_frame
from resources.credit.models import Model, credit
from resources.credit.paths import MAX_TOUCHES, GroupedPaths, PathBuilder, group_paths
from resources.credit.positional import (
    first_weights,
    last_weights,
    linear_weights,
    position_weights,
    time_decay_weights,
    w_weights,
)
from resources.errors import ContractError, NotEnoughDataError


def one_path(touches: int, **details: Any) -> GroupedPaths:
    builder = PathBuilder()
    builder.add([f"c{number}" for number in range(touches)], conversions=1, **details)
    return builder.build()


@pytest.mark.parametrize(
    ("touches", "weights"),
    [(1, [1]), (2, [0.5, 0.5]), (3, [0.4, 0.2, 0.4]), (6, [0.4, 0.05, 0.05, 0.05, 0.05, 0.4])],
)
def test_position_weighs_the_ends(touches: int, weights: list[float]) -> None:
    assert position_weights(one_path(touches)) == pytest.approx(weights, rel=1e-12)
    assert w_weights(one_path(touches)) == pytest.approx(weights, rel=1e-12)  # no milestones: U


def test_first_last_and_linear() -> None:
    paths = one_path(4)
    assert first_weights(paths).tolist() == [1, 0, 0, 0]
    assert last_weights(paths).tolist() == [0, 0, 0, 1]
    assert linear_weights(paths).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("touches", "milestones", "weights"),
    [
        (5, (2, 4), [0.3, 0.3, 0.05, 0.3, 0.05]),
        (5, (2, 5), [0.3, 0.3, 0.05, 0.05, 0.3]),
        (5, (2, 0), [0.3, 0.3, 0.05, 0.05, 0.3]),  # no first purchase yet: the last touch stands in
        (5, (1, 5), [0.6, 1 / 30, 1 / 30, 1 / 30, 0.3]),  # the first touch brought the registration too
        (3, (2, 3), [1 / 3, 1 / 3, 1 / 3]),  # no other touch: the three share the whole
        (1, (1, 1), [1]),
    ],
)
def test_w_weighs_the_first_touch_and_the_milestones(
    touches: int, milestones: tuple[int, int], weights: list[float]
) -> None:
    assert w_weights(one_path(touches, milestones=milestones)) == pytest.approx(weights, rel=1e-12)


def test_w_weighs_paths_with_and_without_milestones_side_by_side() -> None:
    builder = PathBuilder()
    builder.add("ABC", conversions=1)
    builder.add("ABCD", conversions=1, milestones=(2, 4))
    assert w_weights(builder.build()) == pytest.approx([0.4, 0.2, 0.4, 0.3, 0.3, 0.1, 0.3], rel=1e-12)


def test_time_decay_halves_every_seven_days_and_needs_ages() -> None:
    paths = one_path(3, ages_days=[14.0, 7.0, 0.0])
    assert time_decay_weights(paths) == pytest.approx([1 / 7, 2 / 7, 4 / 7], rel=1e-12)
    with pytest.raises(NotEnoughDataError, match="add a column ages_days"):
        time_decay_weights(one_path(3))


def test_long_paths_are_the_same_only_if_every_touch_is() -> None:
    tail = tuple("ABCD" * 20)  # 160 bits: no integer of numpy's holds it
    paths = group_paths([(("A", *tail), 1, 0, 0), (("B", *tail), 2, 0, 0), (("A", *tail), 4, 0, 0)])
    assert paths.conversions.tolist() == [5, 2]
    assert [paths.channels[code] for code in paths.codes] == ["A", *tail, "B", *tail]


def test_removal_per_path_sees_paths_that_differ_in_their_ages_alone_as_one() -> None:
    builder = PathBuilder()
    builder.add("AB", conversions=1, nulls=0, ages_days=[3.0, 0.0])
    builder.add("AB", conversions=1, nulls=2, ages_days=[2.0, 1.0])
    builder.add("B", conversions=1, nulls=4, ages_days=[0.0])
    aged = credit(builder.build(), Model.REMOVAL_PER_PATH)
    timeless = credit(group_paths([("AB", 2, 0, 2), ("B", 1, 0, 4)]), Model.REMOVAL_PER_PATH)
    assert aged.conversions.tolist() == timeless.conversions.tolist()


def test_the_500_most_recent_touches_count_and_milestones_move_along() -> None:
    builder = PathBuilder()
    builder.add(["dropped"] * 2 + ["kept"] * MAX_TOUCHES, conversions=1, milestones=(2, 5))
    paths = builder.build()
    assert (paths.channels, paths.lengths.tolist(), builder.shortened_rows) == (("kept",), [MAX_TOUCHES], 1)
    assert paths.milestones is not None
    assert paths.milestones.tolist() == [[0, 3]]
    frame = group_frame(
        pl.DataFrame({"channels": [["dropped"] * 2 + ["kept"] * MAX_TOUCHES], "conversions": [1]})
    )
    assert (frame.channels, frame.lengths.tolist()) == (("kept",), [MAX_TOUCHES])


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({"channels": [], "conversions": 1}, "has no touch"),
        ({"channels": "A", "conversions": -1}, "cannot be negative"),
        ({"channels": "A", "conversions": 0, "value_micros": 5}, "value and no conversion"),
        ({"channels": "AB", "conversions": 1, "ages_days": [1.0]}, "1 ages for 2 touches"),
        ({"channels": "AB", "conversions": 1, "milestones": (3, 0)}, "none of the path's touches 1 to 2"),
        ({"channels": "A", "conversions": 2**63}, "more than 2\\^63"),
    ],
)
def test_a_row_that_is_none_is_refused_in_a_sentence(details: dict[str, Any], sentence: str) -> None:
    channels = details.pop("channels")
    with pytest.raises(ContractError, match=sentence):
        PathBuilder().add(list(channels), **details)


def test_ages_for_some_paths_only_are_refused() -> None:
    builder = PathBuilder()
    builder.add("A", conversions=1, ages_days=[1.0])
    builder.add("A", conversions=1)
    with pytest.raises(ContractError, match="give all or none"):
        builder.build()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"channels": [["A"], []], "conversions": [1, 1]}, "row 1 of the paths has no touch"),
        ({"channels": [["A", None]], "conversions": [1]}, "row 0 of the paths has a touch without a channel"),
        ({"channels": [["A"]], "conversions": [-1]}, "counts fewer than 0"),
        ({"channels": [["A"]], "conversions": [0], "value_micros": [1]}, "value and no conversion"),
        ({"channels": [["A"]], "conversions": [1], "ages_days": [[1.0, 2.0]]}, "has not one age per touch"),
        ({"channels": [["A"]] * 2, "conversions": [2**62] * 2}, "more than 2\\^63"),
    ],
)
def test_a_frame_with_a_row_that_is_none_is_refused(columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        group_frame(pl.DataFrame(columns))
