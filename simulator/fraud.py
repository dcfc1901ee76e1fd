"""Touches that claim what they did not cause: flooding, injection, hyper-engagement. Farms are `installers`'.

Each function makes the touches of one kind of fraud; what a platform should do about them is not said here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.draws import Bools, Ints, Rng
from simulator.installers import Installers
from simulator.population import CLICK, Population, Window
from simulator.surroundings import Surroundings
from simulator.touches import CLICK_WINDOW_MS, Touches, concatenate, touches_of


def flooding_touches(rng: Rng, installers: Installers, strangers: Surroundings, window: Window) -> Touches:
    """Clicks of flooders for devices at random, at any time: one publisher per app, most of them for nothing.

    `person` of a stranger is its place after the last installer's.
    """
    parts = []
    for app, flooder in enumerate(p.FLOODERS):
        people = installers.people
        known = np.flatnonzero((people.app == app) & installers.devices.has_ad_id & ~installers.farmed)
        clicks = rng.poisson(p.FLOOD_CLICKS_PER_WEEK * window.days / 7, size=len(known))
        hit = people.where(np.repeat(known, clicks))
        parts.append(_clicks(rng, hit, _any_time(rng, len(hit), window), flooder))
        targets = np.flatnonzero(strangers.has_ad_id)
        if len(targets):
            wasted = targets[rng.integers(0, len(targets), size=p.FLOOD_WASTE * len(hit))]
            parts.append(
                stranger_clicks(
                    rng,
                    strangers,
                    wasted,
                    window,
                    app=app,
                    network=flooder,
                    first_person=len(installers),
                )
            )
    return concatenate(parts)


def stolen_by(touches: Touches, installers: Installers) -> Bools:
    """Whose last click before the install, inside the default window, is one of these and caused nothing."""
    people = installers.people
    mine = touches.where((touches.person >= 0) & (touches.person < len(people)))
    age_ms = people.install_ms[mine.person] - mine.time_ms
    causing_ms = np.where(people.cause == CLICK, people.touch_ms, 0)[mine.person]
    steals = (age_ms >= 0) & (age_ms <= CLICK_WINDOW_MS) & (mine.time_ms > causing_ms)
    stolen = np.zeros(len(people), dtype=np.bool_)
    stolen[mine.person[steals]] = True
    return stolen


def injected_touches(rng: Rng, installers: Installers, window: Window) -> Touches:
    """One click each, between the download's begin and the first open, some in the last seconds."""
    able = installers.devices.android & installers.devices.has_ad_id & ~installers.farmed
    able &= installers.people.install_ms < window.end_ms
    hit = installers.where(np.flatnonzero(able & draws.happens(rng, len(installers), p.INJECTED_SHARE)))
    install_ms = hit.people.install_ms
    last_ms = install_ms - rng.integers(p.INJECTION_MIN_LEAD_MS, p.INJECTION_MAX_LEAD_MS, size=len(hit))
    span_ms = install_ms - hit.begin_ms - p.INJECTION_MIN_LEAD_MS
    earlier_ms = hit.begin_ms + 1 + (rng.random(len(hit)) * span_ms).astype(np.int64)
    in_last_seconds = draws.happens(rng, len(hit), p.INJECTED_LAST_SECONDS_SHARE)
    return _clicks(rng, hit.people, np.where(in_last_seconds, last_ms, earlier_ms), p.INJECTOR)


def hyper_touches(rng: Rng, installers: Installers, strangers: Surroundings, window: Window) -> Touches:
    """Bots that click all day, and victims whose honest click comes after the first 50 and before the rest."""
    bots = np.flatnonzero(draws.happens(rng, len(strangers), p.HYPER_BOTS_SHARE))
    repeats = rng.integers(*p.HYPER_CLICKS, size=len(bots))
    day_ms = window.start_ms + rng.integers(0, window.days, size=len(bots)) * p.DAY_MS
    app = int(draws.choose(rng, 1, p.APP_SHARES)[0])
    who = np.repeat(bots, repeats)
    of_bots = stranger_clicks(
        rng, strangers, who, window, app=app, network=p.HYPER, first_person=len(installers)
    )
    times_ms = np.repeat(day_ms, repeats) + rng.integers(0, p.DAY_MS, size=len(who))
    parts = [replace(of_bots, time_ms=times_ms)]

    people = installers.people
    day_ms = people.install_ms - people.install_ms % p.DAY_MS
    able = (people.cause == CLICK) & (people.touch_ms >= day_ms + p.HOUR_MS) & ~installers.farmed
    chosen = able & installers.devices.has_ad_id & draws.happens(rng, len(people), p.HYPER_VICTIM_SHARE)
    hit = people.where(chosen)
    for first_ms, end_ms, clicks in (
        (day_ms[chosen], hit.touch_ms, p.HYPER_CLICKS_BEFORE),
        (hit.touch_ms + 1, hit.install_ms, p.HYPER_CLICKS_AFTER),
    ):
        which = np.repeat(np.arange(len(hit)), clicks)
        times_ms = rng.integers(first_ms[which], end_ms[which])
        parts.append(_clicks(rng, hit.where(which), times_ms, p.HYPER))
    return concatenate(parts)


def stranger_clicks(
    rng: Rng,
    strangers: Surroundings,
    who: Ints,
    window: Window,
    *,
    app: int,
    network: int,
    first_person: int,
) -> Touches:
    """A click each on the devices of strangers, at any time."""
    some, count = strangers.where(who), len(who)
    return Touches(
        event_id=draws.uuids(rng, count),
        person=first_person + who,
        is_click=np.ones(count, dtype=np.bool_),
        time_ms=_any_time(rng, count, window),
        device_id=some.device_id,
        app=np.full(count, app, dtype=np.int64),
        android=some.android,
        country=some.country,
        network=np.full(count, network, dtype=np.int64),
        campaign=draws.choose(rng, count, p.CAMPAIGN_SHARES),
    )


def _clicks(rng: Rng, people: Population, time_ms: Ints, network: int) -> Touches:
    is_click = np.ones(len(people), dtype=np.bool_)
    return touches_of(rng, people, is_click, time_ms, network=np.full(len(people), network, dtype=np.int64))


def _any_time(rng: Rng, count: int, window: Window) -> Ints:
    return rng.integers(window.start_ms, window.end_ms, size=count)
