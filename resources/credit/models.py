"""The door to multi-touch credit: a model's name, grouped paths in, credit per channel out.

Conversions given sum to the journeys that converted, value to their value exactly, in micros.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from resources.credit.markov import removal_effects
from resources.credit.money import allot, allot_by_shares, summed_by_channel
from resources.credit.paths import weighted_counts
from resources.credit.positional import (
    first_weights,
    last_weights,
    linear_weights,
    position_weights,
    time_decay_weights,
    w_weights,
)
from resources.credit.removal import removal_per_path_weights
from resources.credit.shapley import shapley_rate_values, shapley_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.credit.paths import FloatArray, GroupedPaths


class Model(StrEnum):
    """The models there are."""

    FIRST = "first"
    LAST = "last"
    LINEAR = "linear"
    POSITION = "position"
    W = "w"
    TIME_DECAY = "time_decay"
    MARKOV = "markov"
    SHAPLEY = "shapley"
    SHAPLEY_RATE = "shapley_rate"
    REMOVAL_PER_PATH = "removal_per_path"


# Models that weigh each touch of a path; the other two weigh channels over all paths.
TOUCH_WEIGHTS: dict[Model, Callable[[GroupedPaths], FloatArray]] = {
    Model.FIRST: first_weights,
    Model.LAST: last_weights,
    Model.LINEAR: linear_weights,
    Model.POSITION: position_weights,
    Model.W: w_weights,
    Model.TIME_DECAY: time_decay_weights,
    Model.SHAPLEY: shapley_weights,
    Model.REMOVAL_PER_PATH: removal_per_path_weights,
}


@dataclass(frozen=True)
class Credit:
    """What one model gives each channel; every array is in the order of `channels`.

    Attributes:
        model: the model.
        channels: names, sorted.
        conversions: credited conversions.
        value_micros: credited value, integer micros.
        removal_effects: Markov only: the share of conversions lost without the channel.
        standard_errors: sampled Shapley only: of `conversions`.
    """

    model: Model
    channels: tuple[str, ...]
    conversions: FloatArray
    value_micros: tuple[int, ...]
    removal_effects: FloatArray | None = None
    standard_errors: FloatArray | None = None


def credit(paths: GroupedPaths, model: Model, *, order: int = 1) -> Credit:
    """Credit per channel under one model; `order` is the Markov chain's.

    Raises:
        NotEnoughDataError: the model needs what these paths do not have; the sentence says what.
        SettingsError: there is no such order.
    """
    if model is Model.MARKOV:
        effects = removal_effects(paths, order)
        return _by_shares(paths, model, effects, removal_effects=effects)
    if model is Model.SHAPLEY_RATE:
        return _by_rate(paths)
    if model is Model.REMOVAL_PER_PATH:
        paths = paths.without_details()
    return _by_touch(paths, model, TOUCH_WEIGHTS[model](paths))


def _by_touch(paths: GroupedPaths, model: Model, weights: FloatArray) -> Credit:
    count = len(paths.channels)
    converted = paths.conversions[paths.touch_paths]
    conversions = weighted_counts(paths.codes, weights * converted, count)
    values = paths.value_micros[paths.touch_paths]
    quotas = summed_by_channel(paths.codes, weights, values, count)
    parts = allot(paths.total_value_micros, quotas)
    return Credit(model, paths.channels, conversions, tuple(parts))


def _by_rate(paths: GroupedPaths) -> Credit:
    """The rate game's values sum to the rate of all journeys: times the journeys, to the conversions."""
    game = shapley_rate_values(paths)
    journeys = float((paths.conversions + paths.nulls).sum())
    errors = None if game.standard_errors is None else game.standard_errors * journeys
    return _by_shares(paths, Model.SHAPLEY_RATE, game.values, standard_errors=errors)


def _by_shares(
    paths: GroupedPaths,
    model: Model,
    shares: FloatArray,
    *,
    removal_effects: FloatArray | None = None,
    standard_errors: FloatArray | None = None,
) -> Credit:
    """Conversions and value in proportion to the shares."""
    total = shares.sum()
    conversions = shares / total * paths.total_conversions if total else np.zeros(len(shares))
    parts = allot_by_shares(paths.total_value_micros, shares) if total else [0] * len(shares)
    return Credit(
        model,
        paths.channels,
        conversions,
        tuple(parts),
        removal_effects=removal_effects,
        standard_errors=standard_errors,
    )
