"""People of the full world who install: on which devices, why, and how their touch can be matched.

The plain world's draws (`population`) with real devices under them. Touches and events are not made here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.draws import Bools, Ints, Rng
from simulator.population import CLICK, ORGANIC, VIEW, Population, Window, draw_population
from simulator.surroundings import Surroundings, draw_surroundings, into_farms, share_homes

MATCH_KINDS = ("", "referrer", "click_id", "device_id", "probabilistic")
NO_MATCH, REFERRER, CLICK_ID, DEVICE_ID, PROBABILISTIC = range(len(MATCH_KINDS))
_DOWNLOAD_MIN_MS, _DOWNLOAD_MAX_MS = 5 * p.SECOND_MS, 3 * p.MINUTE_MS  # from its begin to the first open


@dataclass(frozen=True)
class Installers:
    """Aligned rows of people and their devices.

    `kind` says what links the install with its touch; `begin_ms` is when the download began; `farmed` people are
    no people.
    """

    people: Population
    devices: Surroundings
    kind: Ints
    begin_ms: Ints
    farmed: Bools

    def __len__(self) -> int:
        return len(self.kind)

    def where(self, mask: Bools | Ints) -> Installers:
        """The rows that a mask or an index array selects."""
        return Installers(
            people=self.people.where(mask),
            devices=self.devices.where(mask),
            kind=self.kind[mask],
            begin_ms=self.begin_ms[mask],
            farmed=self.farmed[mask],
        )


def draw_installers(rng: Rng, window: Window, count: int) -> Installers:
    """`count` people whose causing touch (organic: install) is in the window; installs may come after."""
    everyone = np.arange(count)
    pairs = int(count * p.TWO_DEVICES_SHARE / 2)
    relatives = int(count * p.FAMILY_SHARE / 2)
    members = everyone[count - round(count * p.FARM_SHARE) :]
    owned, family = everyone[: 2 * pairs], everyone[2 * pairs : 2 * (pairs + relatives)]
    devices = draw_surroundings(rng, count)
    devices = share_homes(devices, np.append(owned[:pairs], family[:relatives]), _second(owned, family))
    devices = into_farms(rng, devices, members)
    farmed = np.isin(everyone, members)

    people = draw_population(rng, window, count, _causes(rng, devices, farmed))
    people = replace(people, device_id=devices.device_id, android=devices.android, country=devices.country)
    for column in (people.user_id, people.app):
        column[owned[pairs:]] = column[owned[:pairs]]
    people = _farmed(rng, people, members, window)
    return Installers(
        people=people,
        devices=devices,
        kind=_kinds(rng, people, devices, farmed),
        begin_ms=_begin_ms(rng, people),
        farmed=farmed,
    )


def _second(owned: Ints, family: Ints) -> Ints:
    return np.append(owned[len(owned) // 2 :], family[len(family) // 2 :])


def _causes(rng: Rng, devices: Surroundings, farmed: Bools) -> Ints:
    """A view causes what a network can know of: the device's id. Others click."""
    cause = draws.choose(rng, len(devices), p.CAUSE_SHARES)
    cause = np.where((cause == VIEW) & ~devices.has_ad_id, CLICK, cause)
    return np.where(farmed, CLICK, cause)


def _farmed(rng: Rng, people: Population, members: Ints, window: Window) -> Population:
    """The same people; members of a farm click and install in batches of a few days, and are worth nothing."""
    farm = np.arange(len(members)) // p.FARM_DEVICES
    farms = int(farm.max()) + 1 if len(members) else 0
    days = max(window.days - 1, 1)  # the last day's batch would be cut
    batch = rng.integers(0, days, size=(farms, p.FARM_BATCH_DAYS))
    day = batch[farm, rng.integers(0, p.FARM_BATCH_DAYS, size=len(members))]
    ctit_ms = rng.integers(p.FARM_CTIT_MIN_MS, p.FARM_CTIT_MAX_MS, size=len(members))
    touch_ms, install_ms = people.touch_ms.copy(), people.install_ms.copy()
    network, value = people.network.copy(), people.value.copy()
    touch_ms[members] = window.start_ms + day * p.DAY_MS + rng.integers(0, p.DAY_MS // 2, size=len(members))
    install_ms[members] = touch_ms[members] + ctit_ms
    network[members] = p.FARMER
    value[members] = -3.0  # three standard deviations below everyone: opened once
    return replace(people, touch_ms=touch_ms, install_ms=install_ms, network=network, value=value)


def _kinds(rng: Rng, people: Population, devices: Surroundings, farmed: Bools) -> Ints:
    count = len(people)
    by_referrer = devices.has_play_store & draws.happens(rng, count, p.REFERRER_SHARE)
    by_link = ~devices.android & draws.happens(rng, count, p.FULL_DEEP_LINK_SHARE)
    clicked = np.select(
        [farmed, by_referrer, by_link, devices.has_ad_id],
        [DEVICE_ID, REFERRER, CLICK_ID, DEVICE_ID],
        PROBABILISTIC,
    )
    return np.select([people.cause == ORGANIC, people.cause == VIEW], [NO_MATCH, DEVICE_ID], clicked)


def _begin_ms(rng: Rng, people: Population) -> Ints:
    """Seconds to minutes before the first open, and after the touch."""
    download_ms = rng.integers(_DOWNLOAD_MIN_MS, _DOWNLOAD_MAX_MS, size=len(people))
    since_touch_ms = (0.8 * (people.install_ms - people.touch_ms)).astype(np.int64)
    return people.install_ms - np.minimum(download_ms, since_touch_ms)
