"""Removal per path: each touch by how much less often the same path without it converts (leave-one-out).

Some tools call this Shapley; it is not, so it has its own name. The definition is Google's and Snowplow's
fractribution's: a path's conversion rate less the rate of the observed path without touch i, floored at 0 and
normalised over the path; a path never observed converts at 0; where no touch makes a difference the last takes all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from resources.credit.paths import FloatArray, GroupedPaths


def removal_per_path_weights(paths: GroupedPaths) -> FloatArray:
    """A weight per touch; `paths` without details, so that each path is there once. 0 where nothing converted."""
    codes, ends = paths.codes.astype(np.int32), paths.ends.tolist()
    journeys = np.maximum(paths.conversions + paths.nulls, 1)
    rates = (paths.conversions / journeys).tolist()
    rate_of_path = {codes[ends[p] : ends[p + 1]].tobytes(): rate for p, rate in enumerate(rates)}
    weights = np.zeros(len(codes))
    for p in np.flatnonzero(paths.conversions).tolist():
        start, end = ends[p], ends[p + 1]
        if end - start == 1:
            weights[start] = 1.0
            continue
        path, width = codes[start:end].tobytes(), codes.itemsize
        losses = [
            max(rates[p] - rate_of_path.get(path[:cut] + path[cut + width :], 0.0), 0.0)
            for cut in range(0, len(path), width)
        ]
        total = sum(losses)
        weights[start:end] = [loss / total for loss in losses] if total else 0.0
        weights[end - 1] += 0.0 if total else 1.0
    return weights
