"""Devices of the full world: platform, model, user agent, advertising id, clock, and the networks they are on.

The entropy of the fingerprint (network, user agent, OS version) is decided here; who installs and why is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.draws import Bools, Ints, Rng, Texts

HOME, MOBILE, OFFICE = range(len(p.PLACE_SHARES))
IOS_MODEL_NAMES = [name for name, _ in p.IOS_MODELS]
MODEL_NAMES = (*IOS_MODEL_NAMES, *(name for name, _ in p.ANDROID_MODELS), *p.EMULATOR_MODELS)
_IOS_VERSION_NAMES = [name for name, _ in p.IOS_VERSIONS]
_VERSION_NAMES = (*_IOS_VERSION_NAMES, *(name for name, _ in p.ANDROID_VERSIONS))
_NETWORKS = (p.HOME_NETWORKS, p.CARRIER_NETWORKS, p.OFFICE_NETWORKS)  # per country, by place
_NETWORKS_OF_COUNTRY = sum(_NETWORKS)
_FARM_NETWORK = len(p.COUNTRIES) * _NETWORKS_OF_COUNTRY  # the first /24 of no country
_FIRST_ADDRESS = 240 << 24  # 240.0.0.0/4 is reserved: nobody's
_HOSTS = 254  # of a /24
_STAYS = (p.STAYS_WITHIN_HOUR, p.STAYS_WITHIN_DAY, p.STAYS_LONGER)


@dataclass(frozen=True)
class Surroundings:
    """One row per device, installing or not; aligned arrays.

    `model`, `os_version` and `browser` are places in lists of names; `network` has a column per place (a /24 of
    the country's) and `host` is the address at home. `skew_ms` is what the device's clock is ahead by.
    """

    device_id: Texts
    android: Bools
    country: Ints
    model: Ints
    os_version: Ints
    browser: Ints
    has_ad_id: Bools
    has_play_store: Bools
    skew_ms: Ints
    network: Ints
    host: Ints

    def __len__(self) -> int:
        return len(self.country)

    def where(self, mask: Bools | Ints) -> Surroundings:
        """The devices that a mask or an index array selects."""
        return replace(self, **{field.name: getattr(self, field.name)[mask] for field in fields(self)})


def draw_surroundings(rng: Rng, count: int) -> Surroundings:
    """`count` devices that have nothing to do with each other."""
    android = draws.happens(rng, count, p.ANDROID_SHARE)
    country = draws.choose(rng, count, p.COUNTRY_SHARES)
    first_network = country * _NETWORKS_OF_COUNTRY + np.cumsum((0, *_NETWORKS[:-1]))[:, None]
    return Surroundings(
        device_id=draws.uuids(rng, count),
        android=android,
        country=country,
        model=_by_platform(rng, android, p.IOS_MODELS, p.ANDROID_MODELS),
        os_version=_by_platform(rng, android, p.IOS_VERSIONS, p.ANDROID_VERSIONS),
        browser=draws.choose(rng, count, [share for _, share in p.BROWSER_VERSIONS]),
        has_ad_id=rng.random(count) < np.where(android, p.AD_ID_SHARE_ANDROID, p.AD_ID_SHARE_IOS),
        has_play_store=android & draws.happens(rng, count, p.PLAY_STORE_SHARE),
        skew_ms=_skew_ms(rng, count),
        network=(first_network + rng.integers(0, np.asarray(_NETWORKS)[:, None], size=(3, count))).T,
        host=rng.integers(1, _HOSTS + 1, size=count),
    )


def share_homes(devices: Surroundings, first: Ints, second: Ints) -> Surroundings:
    """The same devices, each of `second` in the country, home and office of its counterpart in `first`."""
    country, network, host = devices.country.copy(), devices.network.copy(), devices.host.copy()
    for column in (country, network, host):
        column[second] = column[first]
    return replace(devices, country=country, network=network, host=host)


def into_farms(rng: Rng, devices: Surroundings, members: Ints) -> Surroundings:
    """The same devices, `members` of them racked up: emulators and liars, each farm behind one network."""
    kind = rng.random(len(members))
    is_emulator = kind < p.FARM_EMULATOR_SHARE
    is_liar = ~is_emulator & (kind < p.FARM_EMULATOR_SHARE + p.FARM_IMPOSSIBLE_SHARE)
    emulator = len(MODEL_NAMES) - 1 - rng.integers(0, len(p.EMULATOR_MODELS), size=len(members))
    iphone = rng.integers(0, len(IOS_MODEL_NAMES), size=len(members))
    everywhere = np.ones(len(members), dtype=np.bool_)
    plain = _by_platform(rng, everywhere, p.IOS_MODELS, p.ANDROID_MODELS)
    columns = {field.name: getattr(devices, field.name).copy() for field in fields(devices)}
    columns["model"][members] = np.select([is_emulator, is_liar], [emulator, iphone], plain)
    columns["os_version"][members] = _by_platform(rng, everywhere, p.IOS_VERSIONS, p.ANDROID_VERSIONS)
    for name, value in (("android", True), ("has_ad_id", True), ("has_play_store", False), ("skew_ms", 0)):
        columns[name][members] = value
    farm = np.arange(len(members)) // p.FARM_DEVICES
    columns["network"][members] = (_FARM_NETWORK + farm)[:, None]
    return Surroundings(**columns)


def draw_places(rng: Rng, count: int) -> Ints:
    """Where people are, each independently."""
    return draws.choose(rng, count, p.PLACE_SHARES)


def later_places(rng: Rng, places: Ints, elapsed_ms: Ints) -> Ints:
    """Where people are some time after they were in `places`: mostly still there, the less the longer."""
    stays = np.asarray(_STAYS)[np.digitize(elapsed_ms, (p.HOUR_MS, p.DAY_MS))]
    return np.where(rng.random(len(places)) < stays, places, draw_places(rng, len(places)))


def addresses(rng: Rng, devices: Surroundings, places: Ints) -> list[str]:
    """IPv4 address of each device in its place; a NAT of a carrier or an office gives any of its addresses."""
    network = devices.network[np.arange(len(devices)), places]
    host = np.where(places == HOME, devices.host, rng.integers(1, _HOSTS + 1, size=len(devices)))
    numbers = (_FIRST_ADDRESS + (network << 8) + host).tolist()
    return [f"{n >> 24}.{(n >> 16) & 255}.{(n >> 8) & 255}.{n & 255}" for n in numbers]


def user_agents(devices: Surroundings, browser: Ints | None = None) -> list[object]:
    """What each device's browser calls itself: on iOS the version alone tells devices apart, on Android the model."""
    browser = devices.browser if browser is None else browser
    tablet = np.asarray([name.startswith("iPad") for name in MODEL_NAMES])[devices.model]
    told = np.where(devices.android, devices.model, tablet)
    keys = np.stack([devices.android, devices.os_version, told, browser])
    distinct, place = np.unique(keys, axis=1, return_inverse=True)
    texts = np.asarray([_user_agent(*key) for key in distinct.T.tolist()], dtype=object)
    agents: list[object] = texts[place.ravel()].tolist() if len(devices) else []
    return agents


def os_versions(devices: Surroundings) -> list[object]:
    """OS version of each device."""
    names: list[object] = np.asarray(_VERSION_NAMES)[devices.os_version].tolist()
    return names


def models(devices: Surroundings) -> list[object]:
    """Model of each device, as the system reports it."""
    names: list[object] = np.asarray(MODEL_NAMES)[devices.model].tolist()
    return names


def _user_agent(android: int, os_version: int, told: int, browser: int) -> str:
    version, chrome = _VERSION_NAMES[os_version], p.BROWSER_VERSIONS[browser % len(p.BROWSER_VERSIONS)][0]
    in_app = " InApp" if browser >= len(p.BROWSER_VERSIONS) else ""
    if android:
        return f"Mozilla/5.0 (Linux; Android {version}; {MODEL_NAMES[told]}) Chrome/{chrome}.0.0.0 Mobile{in_app}"
    family = "iPad; CPU OS" if told else "iPhone; CPU iPhone OS"
    return f"Mozilla/5.0 ({family} {version.replace('.', '_')} like Mac OS X) Mobile/15E148{in_app}"


def _by_platform(
    rng: Rng, android: Bools, ios: Sequence[tuple[str, float]], others: Sequence[tuple[str, float]]
) -> Ints:
    """A place in the iOS list followed by the Android one."""
    of_ios = draws.choose(rng, len(android), [share for _, share in ios])
    of_android = draws.choose(rng, len(android), [share for _, share in others])
    return np.where(android, len(ios) + of_android, of_ios)


def _skew_ms(rng: Rng, count: int) -> Ints:
    size_ms = np.minimum(p.SKEW_MEDIAN_MS * np.exp(p.SKEW_SIGMA * rng.standard_normal(count)), p.SKEW_MAX_MS)
    signed_ms = np.where(draws.happens(rng, count, 0.5), size_ms, -size_ms).astype(np.int64)
    return np.where(draws.happens(rng, count, p.SKEWED_CLOCK_SHARE), signed_ms, 0)
