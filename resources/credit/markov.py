"""Removal effects of channels from the absorbing Markov chain of the journeys, orders 1 to 3.

A state is the last `order` touches (fewer at a journey's start); every journey ends in conversion or null. Removing
a channel sends every transition into it to null. All of it is exact arithmetic on the chain: no simulated walks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from resources.credit.paths import weighted_counts
from resources.errors import NotEnoughDataError, SettingsError

if TYPE_CHECKING:
    from resources.credit.paths import FloatArray, GroupedPaths, IntArray

MAX_ORDER = 3

# Up to here one dense inverse answers for all channels (0.2 s for 1,500 states). Above, a sparse factorisation fills
# in (8,421 states, order 3: 24 M entries, 12.6 s) where the series below takes 17 ms.
DENSE_STATES = 1_500

# The series stops when less than this share of walks is still under way: it is the bound of its error.
UNABSORBED = 1e-14
TABLE_STATES = 2**22  # 36 MB of table; five times faster than sorting a million touches
CHANNELS_AT_ONCE = 16  # columns per pass of the series: 128 MB for a million states


@dataclass(frozen=True)
class Chain:
    """The transient part of an absorbing chain; state 0 is the start.

    Attributes:
        step: probabilities from state to state.
        to_conversion: per state, the probability that the journey ends here, converted.
        newest: per state, its newest touch's channel code + 1; 0 for the start. A walk that meets a channel enters
            the states that hold it through one whose newest touch it is, so removing those removes them all.
    """

    step: sparse.csr_array
    to_conversion: FloatArray
    newest: IntArray


def removal_effects(paths: GroupedPaths, order: int = 1) -> FloatArray:
    """Per channel the share of conversions lost without it, from 0 to 1; all 0 where nothing converted.

    Source: Anderl et al. 2014, "Mapping the Customer Journey". Closed form: with N = (I - Q)^-1, b = N r and S the
    states whose newest touch is the channel, the lost share is N[0, S] N[S, S]^-1 b[S] / b[0].

    Raises:
        SettingsError: the order is not 1, 2 or 3.
        NotEnoughDataError: the channels are too many for the order.
    """
    if not 1 <= order <= MAX_ORDER:
        raise SettingsError(f"there is no Markov chain of order {order} here: choose 1 to {MAX_ORDER}")
    if not paths.total_conversions:
        return np.zeros(len(paths.channels))
    chain = build_chain(paths, order)
    if len(chain.to_conversion) <= DENSE_STATES:
        return effects_by_inverse(chain, len(paths.channels))
    return effects_by_series(chain, len(paths.channels))


def build_chain(paths: GroupedPaths, order: int) -> Chain:
    """The chain that the journeys took, each transition weighed by its journeys."""
    base = len(paths.channels) + 1
    if base**order > 2**62:
        raise NotEnoughDataError(
            f"{base - 1:,} channels are too many for order {order}: choose a lower order or group the channels"
        )
    state_codes = np.zeros(len(paths.codes), np.int64)
    for back in range(order):
        state_codes += _touch_before(paths, back) * base**back
    distinct, state_of_touch = _distinct(state_codes, base**order)
    state_of_touch += 1
    journeys = (paths.conversions + paths.nulls).astype(np.float64)
    weights = journeys[paths.touch_paths]
    before = np.where(paths.touch_positions == 0, 0, np.roll(state_of_touch, 1))
    ends_in = state_of_touch[paths.ends[1:] - 1]
    count = len(distinct) + 1
    left = weighted_counts(before, weights, count) + weighted_counts(ends_in, journeys, count)
    share = 1.0 / np.maximum(left, 1.0)  # a state that no journey was in has no way out and no way in
    moves = sparse.coo_array((weights * share[before], (before, state_of_touch)), shape=(count, count))
    return Chain(
        step=moves.tocsr(),
        to_conversion=weighted_counts(ends_in, paths.conversions, count) * share,
        newest=np.concatenate([[0], distinct % base]),
    )


def _distinct(codes: IntArray, bound: int) -> tuple[IntArray, IntArray]:
    """The distinct codes in order and each code's place among them; by a table where one fits, else by sorting."""
    if bound > TABLE_STATES:
        distinct, places = np.unique(codes, return_inverse=True)
        return distinct, places
    is_there = np.zeros(bound, np.bool_)
    is_there[codes] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[codes]


def effects_by_inverse(chain: Chain, channel_count: int) -> FloatArray:
    """The closed form, on the dense fundamental matrix."""
    states = len(chain.to_conversion)
    visits = np.linalg.inv(np.eye(states) - chain.step.toarray())
    converts = visits @ chain.to_conversion
    effects = np.zeros(channel_count)
    for channel in range(channel_count):
        entered = np.flatnonzero(chain.newest == channel + 1)
        first_entries = np.linalg.solve(visits[np.ix_(entered, entered)].T, visits[0, entered])
        effects[channel] = first_entries @ converts[entered] / converts[0]
    return np.clip(effects, 0.0, 1.0)


def effects_by_series(chain: Chain, channel_count: int) -> FloatArray:
    """The same by following all walks step by step until fewer than 1e-14 are under way."""
    nothing_removed = np.ones((len(chain.to_conversion), 1))
    base = _conversion_shares(chain, nothing_removed)[0]
    without = np.empty(channel_count)
    for first in range(0, channel_count, CHANNELS_AT_ONCE):
        removed = np.arange(first, min(first + CHANNELS_AT_ONCE, channel_count)) + 1
        is_kept = (chain.newest[:, None] != removed).astype(np.float64)
        without[removed - 1] = _conversion_shares(chain, is_kept)
    effects: FloatArray = 1.0 - without / base
    return effects.clip(0.0, 1.0)


def _conversion_shares(chain: Chain, is_kept: FloatArray) -> FloatArray:
    """Per column, the share of walks that convert when those into states with 0 are lost."""
    forward = chain.step.T.tocsr()
    walks = np.zeros_like(is_kept)
    walks[0] = 1.0
    shares = np.zeros(is_kept.shape[1])
    while walks.sum(axis=0).max() > UNABSORBED:
        shares += chain.to_conversion @ walks
        walks = (forward @ walks) * is_kept
    return shares


def _touch_before(paths: GroupedPaths, back: int) -> IntArray:
    """Per touch the code + 1 of the touch `back` places earlier in its path, 0 before its start."""
    earlier = np.roll(paths.codes, back) + 1
    return np.where(paths.touch_positions >= back, earlier, 0)
