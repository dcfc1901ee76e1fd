"""Models that weigh a touch by its place or its age: first, last, linear, position, W, time decay.

Each function gives a weight per touch, summing to 1 over a path. `dbt_project` holds the same rules in SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resources.credit.paths import weighted_counts
from resources.errors import NotEnoughDataError

if TYPE_CHECKING:
    from resources.credit.paths import FloatArray, GroupedPaths, IntArray

HALF_LIFE_DAYS = 7.0  # ATTRIBUTION's default
U_END = 0.4  # weight of the first and of the last touch; the middle shares the rest
W_KEY = 0.3  # weight of each of three key touches; the others share the rest


def first_weights(paths: GroupedPaths) -> FloatArray:
    """1 on a path's first touch."""
    return np.equal(paths.touch_positions, 0).astype(np.float64)


def last_weights(paths: GroupedPaths) -> FloatArray:
    """1 on a path's last touch."""
    return np.equal(_from_end(paths), 0).astype(np.float64)


def linear_weights(paths: GroupedPaths) -> FloatArray:
    """1/n on each of n touches."""
    return 1.0 / np.repeat(paths.lengths, paths.lengths)


def position_weights(paths: GroupedPaths) -> FloatArray:
    """0.4 on the first and the last touch, 0.2 shared between; halves for two touches, 1 for one.

    By index, never by time: two touches at the same moment are still two touches.
    """
    lengths = np.repeat(paths.lengths, paths.lengths)
    is_end = (paths.touch_positions == 0) | (_from_end(paths) == 0)
    middle = (1 - 2 * U_END) / np.maximum(lengths - 2, 1)
    is_short = lengths <= 2  # noqa: PLR2004 - one touch or two: nothing lies between the ends
    return np.select([is_short, is_end], [1.0 / lengths, np.full(len(lengths), U_END)], middle)


def w_weights(paths: GroupedPaths) -> FloatArray:
    """0.3 on the first touch and on the touches that led to registration and to the first purchase, 0.1 shared.

    A touch that is several of the three has their sum. Where one milestone is unknown, the last touch stands in; a
    path with neither is weighed as `position`. With no other touch, the three share the whole.
    """
    weights = position_weights(paths)
    if paths.milestones is None:
        return weights
    rows = np.flatnonzero(paths.milestones.any(axis=1))
    keys = np.where(paths.milestones == 0, paths.lengths[:, None], paths.milestones)[rows] - 1
    key_touches = paths.ends[:-1][rows, None] + np.column_stack([np.zeros(len(rows), np.int64), keys])
    key_weights = np.zeros(len(paths.codes))
    np.add.at(key_weights, key_touches.ravel(), W_KEY)
    has_milestone = np.isin(paths.touch_paths, rows)
    is_other = has_milestone & (key_weights == 0)
    others = _per_path_sum(paths, is_other.astype(np.float64))[paths.touch_paths]
    mixed = np.where(is_other, (1 - 3 * W_KEY) / np.maximum(others, 1), key_weights)
    whole = np.where(others > 0, mixed, key_weights / (3 * W_KEY))
    return np.where(has_milestone, whole, weights)


def time_decay_weights(paths: GroupedPaths) -> FloatArray:
    """2^(-age / 7 days), normalised over the path.

    Raises:
        NotEnoughDataError: the paths came without ages.
    """
    if paths.ages_days is None:
        raise NotEnoughDataError(
            "time_decay needs each touch's age and these paths have no times: add a column ages_days "
            "(days before the conversion, joined by ' > ' like the path), or choose another model"
        )
    # counted from the path's youngest touch: the weights are the same, and none underflows to 0/0
    youngest = np.minimum.reduceat(paths.ages_days, paths.ends[:-1]) if len(paths.codes) else paths.ages_days
    raw = np.exp2((youngest[paths.touch_paths] - paths.ages_days) / HALF_LIFE_DAYS)
    return raw / _per_path_sum(paths, raw)[paths.touch_paths]


def _from_end(paths: GroupedPaths) -> IntArray:
    return np.repeat(paths.lengths, paths.lengths) - 1 - paths.touch_positions


def _per_path_sum(paths: GroupedPaths, per_touch: FloatArray) -> FloatArray:
    return weighted_counts(paths.touch_paths, per_touch, len(paths.conversions))
