"""Credit arranged for people: order, the others, and no amount that is lost or counted twice."""

from __future__ import annotations

import polars as pl
import pytest

from resources.attribution_summaries import CTIT_BINS, CTIT_EDGES_MS, OTHERS, credit_by_model, ranked_channels


def rows(*amounts: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(list(amounts), schema=["model", "channel", "conversions"], orient="row")


def test_channels_stand_by_their_credit_and_equal_ones_by_name() -> None:
    assert ranked_channels(rows(("last", "b", 1.0), ("last", "a", 1.0), ("last", "c", 5.0))) == [
        "c",
        "a",
        "b",
    ]


def test_channels_beyond_those_shown_are_one_with_the_sum_of_their_credit() -> None:
    credits_ = rows(*((model, f"c{n}", 10.0 - n) for model in ("first", "last") for n in range(5)))
    shown, amounts = credit_by_model(credits_, ["last", "first", "w"], shown_channels=2)
    assert shown == ["c0", "c1", OTHERS]
    assert list(amounts) == ["last", "first"]  # in the order asked for, without the model that has no row
    assert amounts["last"] == {"c0": 10.0, "c1": 9.0, OTHERS: 8.0 + 7.0 + 6.0}


@pytest.mark.parametrize("shown_channels", [1, 2, 3])
def test_a_channel_that_is_called_others_is_shown_once(shown_channels: int) -> None:
    credits_ = rows(("last", OTHERS, 5.0), ("last", "a", 3.0), ("last", "b", 1.0))
    shown, amounts = credit_by_model(credits_, ["last"], shown_channels=shown_channels)
    assert shown.count(OTHERS) == 1
    assert sum(amounts["last"][channel] for channel in shown) == 9.0


def test_an_order_that_is_given_holds_for_channels_without_any_credit_here() -> None:
    shown, amounts = credit_by_model(rows(("last", "b", 1.0)), ["last"], ranked=["a", "b"])
    assert (shown, amounts) == (["a", "b"], {"last": {"b": 1.0}})


def test_without_rows_there_is_nothing_to_show() -> None:
    assert credit_by_model(rows().cast({"conversions": pl.Float64}), ["last"]) == ([], {})


def test_there_is_a_bin_between_every_two_edges_and_one_at_each_end() -> None:
    assert len(CTIT_BINS) == len(CTIT_EDGES_MS) + 1
    assert list(CTIT_EDGES_MS) == sorted(CTIT_EDGES_MS)
