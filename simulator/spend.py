"""What the campaigns cost per day, as the networks report it: from the touches they delivered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import parameters as p
from simulator.draws import Ints, Rng
from simulator.population import Window
from simulator.touches import Touches


@dataclass(frozen=True)
class Spend:
    """One row per day, app, network and campaign; aligned arrays."""

    day_ms: Ints
    app: Ints
    network: Ints
    campaign: Ints
    spend_micros: Ints
    impressions: Ints
    clicks: Ints


def spend_rows_per_day() -> int:
    """How many spend rows each day has."""
    return len(p.APPS) * len(p.NETWORKS) * len(p.CAMPAIGNS)


def draw_spend(rng: Rng, touches: Touches, window: Window) -> Spend:
    """Daily cost of every campaign: its clicks and impressions at the network's price, give or take 10 %."""
    shape = (window.days, len(p.APPS), len(p.NETWORKS), len(p.CAMPAIGNS))
    day = (touches.time_ms - window.start_ms) // p.DAY_MS
    cell = np.ravel_multi_index((day, touches.app, touches.network, touches.campaign), shape)
    size = int(np.prod(shape))
    clicks = np.bincount(cell[touches.is_click], minlength=size)
    impressions = np.bincount(cell[~touches.is_click], minlength=size)
    day, app, network, campaign = np.unravel_index(np.arange(size), shape)
    cost = clicks * np.asarray(p.CLICK_COST_MICROS)[network] + impressions * p.IMPRESSION_COST_MICROS
    noise = 1 + 0.1 * (2 * rng.random(size) - 1)
    return Spend(
        day_ms=window.start_ms + day * p.DAY_MS,
        app=app,
        network=network,
        campaign=campaign,
        spend_micros=(cost * noise).astype(np.int64),
        impressions=impressions,
        clicks=clicks,
    )
