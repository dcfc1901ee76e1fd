"""Ad touches: the ones that caused installs, and all the ones that did not.

The truth is held by construction: a causing click is the device's last click before its install, a causing
view comes without any click, and an organic user's touches lie outside the default rule set's windows or
belong to another app. Rendering is not done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.draws import Bools, Ints, Rng, Texts
from simulator.population import CLICK, ORGANIC, Population, Window

CLICK_WINDOW_MS = 7 * p.DAY_MS
VIEW_WINDOW_MS = p.DAY_MS
STRANGER = -1  # `Touches.person` of somebody who never installs


@dataclass(frozen=True)
class Touches:
    """One row per impression or click; aligned arrays. `person` is whom it was shown to, -1 a stranger."""

    event_id: Texts
    person: Ints
    is_click: Bools
    time_ms: Ints
    device_id: Texts
    app: Ints
    android: Bools
    country: Ints
    network: Ints
    campaign: Ints

    def __len__(self) -> int:
        return len(self.time_ms)

    def where(self, mask: Bools | Ints) -> Touches:
        """The touches that a mask or an index array selects."""
        return Touches(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})


def concatenate(parts: Sequence[Touches]) -> Touches:
    """All parts, one after the other."""
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Touches)
    }
    return Touches(**columns)


def click_ids(event_ids: Texts) -> list[str]:
    """The click id a network gives to the click with this event id."""
    return [f"clk-{event_id}" for event_id in event_ids.tolist()]


def causing_touches(rng: Rng, people: Population) -> Touches:
    """The touch behind each paid install, in the order of the paid people."""
    paid = people.where(people.cause != ORGANIC)
    is_click = paid.cause == CLICK
    in_browser = is_click & paid.android & draws.happens(rng, len(paid), p.BROWSER_CLICK_SHARE)
    device_id = np.where(in_browser, draws.uuids(rng, len(paid)), paid.device_id)
    return touches_of(rng, paid, is_click, paid.touch_ms, network=paid.network, device_id=device_id)


def innocent_touches(rng: Rng, people: Population, window: Window) -> Touches:
    """Touches of people who install that caused nothing: assists, later views, stale ones, other apps."""
    parts = [
        *_assists(rng, people),
        _views_after_the_click(rng, people),
        _touches_after_install(rng, people),
        *_stale_touches(rng, people),
        _other_app_clicks(rng, people),
    ]
    touches = concatenate(parts)
    return touches.where((touches.time_ms >= window.start_ms) & (touches.time_ms < window.end_ms))


def background_touches(rng: Rng, window: Window, count: int) -> Touches:
    """Touches of people who never install."""
    devices = draws.uuids(rng, count // p.TOUCHES_PER_BACKGROUND_DEVICE + 1)
    return Touches(
        event_id=draws.uuids(rng, count),
        person=np.full(count, STRANGER, dtype=np.int64),
        is_click=draws.happens(rng, count, p.BACKGROUND_CLICK_SHARE),
        time_ms=draws.time_in_days_ms(rng, count, window.start_ms, window.days),
        device_id=devices[rng.integers(0, len(devices), size=count)],
        app=draws.choose(rng, count, p.APP_SHARES),
        android=draws.happens(rng, count, p.ANDROID_SHARE),
        country=draws.choose(rng, count, p.COUNTRY_SHARES),
        network=draws.choose(rng, count, p.NETWORK_SHARES),
        campaign=draws.choose(rng, count, p.CAMPAIGN_SHARES),
    )


def _assists(rng: Rng, people: Population) -> list[Touches]:
    """Up to three earlier touches of other networks; before a causing view only other views."""
    paid = people.where(people.cause != ORGANIC)
    assisted = paid.where(draws.happens(rng, len(paid), p.ASSISTED_SHARE))
    parts = []
    for round_share in (1.0, 0.5, 0.25):
        assisted = assisted.where(draws.happens(rng, len(assisted), round_share))
        lead_ms = p.ASSIST_LEAD_MIN_MS + rng.exponential(p.ASSIST_LEAD_MEAN_MS, size=len(assisted))
        is_click = draws.happens(rng, len(assisted), p.ASSIST_CLICK_SHARE) & (assisted.cause == CLICK)
        times_ms = assisted.touch_ms - lead_ms.astype(np.int64)
        parts.append(touches_of(rng, assisted, is_click, times_ms, network=_another_network(rng, assisted)))
    return parts


def _views_after_the_click(rng: Rng, people: Population) -> Touches:
    clicked = people.where(
        (people.cause == CLICK) & draws.happens(rng, len(people), p.VIEW_AFTER_CLICK_SHARE)
    )
    times_ms = rng.integers(clicked.touch_ms + 1, clicked.install_ms)
    is_click = np.zeros(len(clicked), dtype=np.bool_)
    return touches_of(rng, clicked, is_click, times_ms, network=_another_network(rng, clicked))


def _touches_after_install(rng: Rng, people: Population) -> Touches:
    retargeted = people.where(draws.happens(rng, len(people), p.TOUCH_AFTER_INSTALL_SHARE))
    delay_ms = rng.integers(p.MINUTE_MS, 3 * p.DAY_MS, size=len(retargeted))
    is_click = draws.happens(rng, len(retargeted), p.ASSIST_CLICK_SHARE)
    network = _another_network(rng, retargeted)
    return touches_of(rng, retargeted, is_click, retargeted.install_ms + delay_ms, network=network)


def _stale_touches(rng: Rng, people: Population) -> list[Touches]:
    """Touches of organic people that are at least an hour older than their window."""
    organic = people.where(people.cause == ORGANIC)
    parts = []
    for is_click, share, window_ms, span_ms in (
        (False, p.STALE_VIEW_SHARE, VIEW_WINDOW_MS, 5 * p.DAY_MS),
        (True, p.STALE_CLICK_SHARE, CLICK_WINDOW_MS, 10 * p.DAY_MS),
    ):
        some = organic.where(draws.happens(rng, len(organic), share))
        age_ms = window_ms + rng.integers(p.HOUR_MS, span_ms, size=len(some))
        kinds = np.full(len(some), is_click, dtype=np.bool_)
        network = _another_network(rng, some)
        parts.append(touches_of(rng, some, kinds, some.install_ms - age_ms, network=network))
    return parts


def _other_app_clicks(rng: Rng, people: Population) -> Touches:
    some = people.where((people.cause == ORGANIC) & draws.happens(rng, len(people), p.OTHER_APP_SHARE))
    times_ms = some.install_ms - rng.integers(p.MINUTE_MS, p.DAY_MS, size=len(some))
    is_click = np.ones(len(some), dtype=np.bool_)
    network = _another_network(rng, some)
    return touches_of(rng, some, is_click, times_ms, network=network, app=(some.app + 1) % len(p.APPS))


def _another_network(rng: Rng, people: Population) -> Ints:
    steps = rng.integers(1, len(p.NETWORKS), size=len(people))
    return (people.network + steps) % len(p.NETWORKS)


def touches_of(
    rng: Rng,
    people: Population,
    is_click: Bools,
    time_ms: Ints,
    *,
    network: Ints,
    device_id: Texts | None = None,
    app: Ints | None = None,
) -> Touches:
    """One touch of each of these people."""
    return Touches(
        event_id=draws.uuids(rng, len(people)),
        person=people.index,
        is_click=is_click,
        time_ms=time_ms,
        device_id=people.device_id if device_id is None else device_id,
        app=people.app if app is None else app,
        android=people.android,
        country=people.country,
        network=network,
        campaign=people.campaign,
    )
