"""People who come back: reinstalls after an uninstall, and sessions of those who had been gone for long.

Half of them come by a click (retargeting), half by themselves. First installs are `installers`'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import draws
from simulator import parameters as p
from simulator.activity import Activity
from simulator.draws import Bools, Ints, Rng, Texts
from simulator.installers import Installers
from simulator.population import Window
from simulator.touches import Touches, touches_of

_CLICK_TO_RETURN_MIN_MS, _CLICK_TO_RETURN_MAX_MS = 15 * p.SECOND_MS, 2 * p.HOUR_MS
_REINSTALL_MIN_MS = p.DAY_MS


@dataclass(frozen=True)
class Returns:
    """One row per return; aligned arrays. `touch_id` is the click that caused it, empty where none did.

    `person` is a place among the installed people, `event_id` the id of the install or session that it is.
    """

    person: Ints
    event_id: Texts
    time_ms: Ints
    is_reinstall: Bools
    touch_id: Texts
    touch_ms: Ints
    source: Ints
    campaign: Ints

    def __len__(self) -> int:
        return len(self.person)

    @property
    def is_caused(self) -> Bools:
        """Which came by a click."""
        return self.touch_ms > 0


def draw_returns(
    rng: Rng, installed: Installers, activity: Activity, window: Window
) -> tuple[Returns, Touches, Activity]:
    """Returns, the clicks that caused them, and what people do after them."""
    reinstalled, reinstall_ms = _reinstalls(rng, activity, window)
    back, back_ms = _comebacks(rng, installed, activity, window)
    person = np.append(reinstalled, back)
    time_ms = np.append(reinstall_ms, back_ms)
    people = installed.people.where(person)
    by_click = installed.devices.has_ad_id[person] & draws.happens(rng, len(person), p.RETARGETED_SHARE)
    lead_ms = rng.integers(_CLICK_TO_RETURN_MIN_MS, _CLICK_TO_RETURN_MAX_MS, size=len(person))
    touch_ms = np.where(by_click, time_ms - lead_ms, 0)
    clicks = touches_of(
        rng,
        people.where(by_click),
        np.ones(int(by_click.sum()), dtype=np.bool_),
        touch_ms[by_click],
        network=draws.choose(rng, int(by_click.sum()), p.NETWORK_SHARES),
    )
    touch_id = np.full(len(person), "", dtype="U36")
    touch_id[by_click] = clicks.event_id
    source = np.zeros(len(person), dtype=np.int64)
    source[by_click] = clicks.network
    returns = Returns(
        person=person,
        event_id=draws.uuids(rng, len(person)),
        time_ms=time_ms,
        is_reinstall=np.arange(len(person)) < len(reinstalled),
        touch_id=touch_id,
        touch_ms=touch_ms,
        source=source,
        campaign=people.campaign,
    )
    return returns, clicks, _activity_after(rng, returns, window)


def last_active_ms(installed: Installers, activity: Activity) -> Ints:
    """When each installed person was last seen."""
    last_ms = installed.people.install_ms.copy()
    np.maximum.at(last_ms, activity.session_person, activity.session_ms)
    np.maximum.at(last_ms, activity.event_person, activity.event_ms)
    np.maximum.at(last_ms, activity.purchase_person, activity.purchase_ms)
    return last_ms


def _reinstalls(rng: Rng, activity: Activity, window: Window) -> tuple[Ints, Ints]:
    """Who reinstalls after an uninstall, and when: within weeks, or after the re-attribution window."""
    person, left_ms = activity.uninstall_person, activity.uninstall_ms
    gap_ms = _REINSTALL_MIN_MS + rng.exponential(p.REINSTALL_MEAN_MS, size=len(person)).astype(np.int64)
    soon_ms = np.minimum(gap_ms, p.REATTRIBUTION_WINDOW_MS // 2)
    late_ms = p.REATTRIBUTION_WINDOW_MS + soon_ms
    is_late = draws.happens(rng, len(person), p.REINSTALL_LATE_SHARE) & (left_ms + late_ms < window.end_ms)
    time_ms = left_ms + np.where(is_late, late_ms, soon_ms)
    chosen = (time_ms < window.end_ms) & draws.happens(rng, len(person), p.REINSTALL_SHARE)
    return person[chosen], time_ms[chosen]


def _comebacks(rng: Rng, installed: Installers, activity: Activity, window: Window) -> tuple[Ints, Ints]:
    """Who opens the app again after the inactivity that makes it a return, and when."""
    stays = np.ones(len(installed), dtype=np.bool_)
    stays[activity.uninstall_person] = False
    longer_ms = _CLICK_TO_RETURN_MAX_MS + rng.exponential(p.DAY_MS, size=len(installed)).astype(np.int64)
    time_ms = last_active_ms(installed, activity) + p.INACTIVITY_MS + longer_ms
    chosen = stays & (time_ms < window.end_ms) & draws.happens(rng, len(installed), p.RETURN_SHARE)
    return np.flatnonzero(chosen), time_ms[chosen]


def _activity_after(rng: Rng, returns: Returns, window: Window) -> Activity:
    """One or two sessions, and for a third a purchase, within two hours of the return."""
    sessions = 1 + draws.happens(rng, len(returns), 0.5).astype(np.int64)
    which = np.repeat(np.arange(len(returns)), sessions)
    delay_ms = rng.integers(p.SECOND_MS, 2 * p.HOUR_MS, size=len(which))
    session_ms = returns.time_ms[which] + delay_ms
    buys = np.flatnonzero(draws.happens(rng, len(returns), 1 / 3))
    purchase_ms = returns.time_ms[buys] + rng.integers(p.MINUTE_MS, 2 * p.HOUR_MS, size=len(buys))
    in_time, bought_in_time = session_ms < window.end_ms, purchase_ms < window.end_ms
    which, session_ms = which[in_time], session_ms[in_time]
    buys, purchase_ms = buys[bought_in_time], purchase_ms[bought_in_time]
    none = np.zeros(0, dtype=np.int64)
    return Activity(
        session_person=returns.person[which],
        session_ms=session_ms,
        session_duration_ms=rng.integers(p.MINUTE_MS, 20 * p.MINUTE_MS, size=len(which)),
        event_person=none,
        event_ms=none,
        event_name=none,
        purchase_person=returns.person[buys],
        purchase_ms=purchase_ms,
        purchase_price=draws.choose(rng, len(buys), np.ones(len(p.PRICES_MICROS)).tolist()),
        uninstall_person=none,
        uninstall_ms=none,
    )
