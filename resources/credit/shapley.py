"""Shapley values of channels, over sets of channels. Leave-one-out is in `removal`, under its own name.

Two games. A coalition S is worth the conversions of journeys that met no channel outside S (`shapley`: exact for any
number of channels), or the conversion rate of those journeys (`shapley_rate`: journeys without a conversion count;
exact up to 15 channels, 2^15 coalitions, sampled with its standard error above).
"""

from __future__ import annotations

from math import factorial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resources.credit.paths import weighted_counts

if TYPE_CHECKING:
    from resources.credit.paths import FloatArray, GroupedPaths, IntArray

EXACT_CHANNELS = 15
SAMPLED_ORDERS = (
    2_000  # in 1,000 pairs of an order and its reverse; the standard error says what that was worth
)
_SEED = 20_141_107  # fixed: the same journeys give the same sample


class RateGame(NamedTuple):
    """Shapley values of the conversion-rate game; standard errors only where the orders were sampled."""

    values: FloatArray
    standard_errors: FloatArray | None


class ChannelSets(NamedTuple):
    """Distinct touches only: path by path its channels, each once, and the journeys of that path."""

    codes: IntArray
    ends: IntArray
    conversions: FloatArray
    journeys: FloatArray


def shapley_weights(paths: GroupedPaths) -> FloatArray:
    """Per touch its share of its path's conversions: 1/k for each of k distinct channels, split over its touches.

    That is the Shapley value itself and no shortcut: the game is the sum over paths of "all k channels or nothing",
    and such a game's value is 1/k for each (Shapley 1953, unanimity games; Zhao et al. 2018).
    """
    touch_keys = paths.touch_paths * len(paths.channels) + paths.codes
    keys, key_of_touch, repeats = np.unique(touch_keys, return_inverse=True, return_counts=True)
    distinct = np.bincount(keys // max(len(paths.channels), 1), minlength=len(paths.conversions))
    shares: FloatArray = 1.0 / (repeats[key_of_touch] * distinct[paths.touch_paths])
    return shares


def shapley_rate_values(paths: GroupedPaths, sampled_orders: int = SAMPLED_ORDERS) -> RateGame:
    """Per channel its value in the game of conversion rates; they sum to the rate of all journeys.

    A channel that journeys without a conversion met often can be negative: it lowers the rate.
    """
    sets = channel_sets(paths)
    count = len(paths.channels)
    if count <= EXACT_CHANNELS:
        return RateGame(_values_of_all_coalitions(sets, count), None)
    return _values_of_sampled_orders(sets, count, sampled_orders)


def channel_sets(paths: GroupedPaths) -> ChannelSets:
    """Each path as the set of its channels."""
    keys = np.unique(paths.touch_paths * max(len(paths.channels), 1) + paths.codes)
    path_of_key, codes = np.divmod(keys, max(len(paths.channels), 1))
    sizes = np.bincount(path_of_key, minlength=len(paths.conversions))
    journeys = (paths.conversions + paths.nulls).astype(np.float64)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return ChannelSets(codes, ends, paths.conversions.astype(np.float64), journeys)


def shapley_of_worths(worths: FloatArray, count: int) -> FloatArray:
    """Shapley values of any game given by the worth of all 2^count coalitions (bit c of an index is player c)."""
    sizes = np.array([index.bit_count() for index in range(2**count)])
    orders = np.array([factorial(size) * factorial(count - size - 1) for size in range(count)], np.float64)
    weights = orders / factorial(count)
    coalitions = np.arange(2**count)
    values = np.zeros(count)
    for player in range(count):
        without = coalitions[(coalitions >> player & 1) == 0]
        values[player] = weights[sizes[without]] @ (worths[without | 1 << player] - worths[without])
    return values


def _values_of_all_coalitions(sets: ChannelSets, count: int) -> FloatArray:
    masks = np.add.reduceat(1 << sets.codes, sets.ends[:-1]) if len(sets.codes) else sets.codes
    inside = [_sums_over_subsets(weighted_counts(masks, amounts, 2**count), count) for amounts in sets[2:]]
    return shapley_of_worths(_rate(*inside), count)


def _sums_over_subsets(amounts: FloatArray, count: int) -> FloatArray:
    """Per coalition the sum over its subsets (the zeta transform: `count` passes, not 3^count)."""
    for player in range(count):
        halves = amounts.reshape(-1, 2, 2**player)
        halves[:, 1] += halves[:, 0]
    return amounts


def _values_of_sampled_orders(sets: ChannelSets, count: int, orders: int) -> RateGame:
    """Mean marginal worth over random orders of the channels, each with its reverse: both errors partly cancel."""
    random = np.random.default_rng(_SEED)
    pairs = max(orders // 2, 2)
    mean, spread = np.zeros(count), np.zeros(count)
    for number in range(1, pairs + 1):
        order = random.permutation(count)
        sample = (_marginal_rates(sets, order) + _marginal_rates(sets, order[::-1])) / 2
        step = sample - mean  # Welford's running mean and spread
        mean += step / number
        spread += step * (sample - mean)
    return RateGame(mean, np.sqrt(spread / (pairs - 1) / pairs))


def _marginal_rates(sets: ChannelSets, order: IntArray) -> FloatArray:
    """Per channel what it adds to the rate when it joins those before it: a path counts once its last is in."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    complete_at = np.maximum.reduceat(place[sets.codes], sets.ends[:-1])
    inside = [np.cumsum(weighted_counts(complete_at, amounts, len(order))) for amounts in sets[2:]]
    return np.diff(_rate(*inside), prepend=0.0)[place]


def _rate(conversions: FloatArray, journeys: FloatArray) -> FloatArray:
    """Conversions per journey; 0 where there was no journey."""
    return conversions / np.maximum(journeys, 1.0)
