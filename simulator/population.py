"""People of one tenant's world: what caused their install, when, and what they are worth. No events here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.draws import Bools, Floats, Ints, Rng, Texts

ORGANIC, VIEW, CLICK = range(len(p.CAUSES))


@dataclass(frozen=True)
class Window:
    """The complete UTC days of a simulation: `[start_ms, end_ms)`."""

    start_ms: int
    days: int

    @property
    def end_ms(self) -> int:
        """The first millisecond after the last day."""
        return self.start_ms + self.days * p.DAY_MS


@dataclass(frozen=True)
class Population:
    """One row per person and device; aligned arrays. `touch_ms` is the causing touch, 0 where organic.

    `index` is the person's place in the whole population, which survives a selection.
    `value` is the latent worth that drives sessions, events and purchases from the first day on.
    """

    index: Ints
    device_id: Texts
    user_id: Texts
    app: Ints
    android: Bools
    country: Ints
    cause: Ints
    network: Ints
    campaign: Ints
    touch_ms: Ints
    install_ms: Ints
    value: Floats

    def __len__(self) -> int:
        return len(self.cause)

    def where(self, mask: Bools | Ints) -> Population:
        """The people that a mask or an index array selects."""
        return replace(self, **{field.name: getattr(self, field.name)[mask] for field in fields(self)})


def draw_population(rng: Rng, window: Window, count: int, cause: Ints | None = None) -> Population:
    """`count` people whose causing touch (organic: install) is in the window; installs may come after.

    `cause`, where given, says what caused each install; else it is drawn.
    """
    cause = draws.choose(rng, count, p.CAUSE_SHARES) if cause is None else cause
    network = draws.choose(rng, count, p.NETWORK_SHARES)
    campaign = draws.choose(rng, count, p.CAMPAIGN_SHARES)
    first_ms = draws.time_in_days_ms(rng, count, window.start_ms, window.days)
    click_delay_ms = draws.click_to_install_ms(rng, count)
    view_delay_ms = draws.view_to_install_ms(rng, count)
    delay_ms = np.select([cause == CLICK, cause == VIEW], [click_delay_ms, view_delay_ms], 0)
    return Population(
        index=np.arange(count),
        device_id=draws.uuids(rng, count),
        user_id=draws.uuids(rng, count),
        app=draws.choose(rng, count, p.APP_SHARES),
        android=draws.happens(rng, count, p.ANDROID_SHARE),
        country=draws.choose(rng, count, p.COUNTRY_SHARES),
        cause=cause,
        network=network,
        campaign=campaign,
        touch_ms=np.where(cause == ORGANIC, 0, first_ms),
        install_ms=first_ms + delay_ms,
        value=rng.standard_normal(count) + _campaign_quality(cause, network, campaign),
    )


def _campaign_quality(cause: Ints, network: Ints, campaign: Ints) -> Floats:
    """How much better the people of a campaign are: campaigns that differ make ROAS worth reading."""
    network_quality = np.asarray([0.15, 0.0, 0.3, -0.2, -0.4])
    campaign_quality = np.asarray([-0.1, 0.25, 0.0])
    paid = network_quality[network] + campaign_quality[campaign]
    return np.where(cause == ORGANIC, 0.2, paid)
