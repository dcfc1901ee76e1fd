"""The full world: fingerprints and NAT, people without advertising ids, reinstalls, fraud, wrong clocks.

Composition only; each kind has a module of its own, and its share in `parameters`.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa

from simulator import draws, events, fraud, full_events, full_truth, spend, surroundings, touches
from simulator import parameters as p
from simulator.activity import draw_activity
from simulator.draws import Bools, Ints, Rng, Texts
from simulator.events import EventColumns
from simulator.installers import DEVICE_ID, REFERRER, Installers, draw_installers
from simulator.population import CLICK, ORGANIC, Window
from simulator.returns import draw_returns
from simulator.surroundings import Surroundings
from simulator.touches import Touches

_STRANGERS_PER_INSTALLER = 4  # who see ads and never install: as many as give a few touches each


class FullWorld:
    """One tenant's facts: first the people and all they do, then (`finish`) everyone else and the costs."""

    def __init__(self, rng: Rng, tenant_id: str, window: Window, users: int) -> None:
        """Draw `users` people and what they do, and what is done to them."""
        self.rng, self.tenant_id, self.window = rng, tenant_id, window
        everyone = draw_installers(rng, window, users)
        self._strangers = surroundings.draw_surroundings(rng, _STRANGERS_PER_INSTALLER * users)
        self._first_stranger = users
        self._devices = _together(everyone, self._strangers)

        causing, touch_id = _causing(rng, everyone)
        places = surroundings.draw_places(rng, users)  # where each installer clicked
        self._click_places = places[everyone.people.cause != ORGANIC]
        installed = everyone.people.install_ms < window.end_ms
        self.installed, self.touch_id = everyone.where(np.flatnonzero(installed)), touch_id[installed]
        self.install_id = draws.uuids(rng, len(self.installed))

        frauds = self._frauds(everyone, installed)
        activity = draw_activity(rng, self.installed.people, window)
        self.returns, return_clicks, after = draw_returns(rng, self.installed, activity, window)
        self.activity = activity.and_then(after)
        others = [_innocent(rng, everyone, window), *frauds, return_clicks]
        in_days = touches.concatenate(others)
        inside = (in_days.time_ms >= window.start_ms) & (in_days.time_ms < window.end_ms)
        self.touches = touches.concatenate([causing, in_days.where(inside)])
        self._open(places[installed])

    def _frauds(self, everyone: Installers, installed: Bools) -> list[Touches]:
        """Touches of all frauds; remembers whose credit each reached for."""
        rng, window = self.rng, self.window
        flooding = fraud.flooding_touches(rng, everyone, self._strangers, window)
        injected = fraud.injected_touches(rng, everyone, window)
        hyper = fraud.hyper_touches(rng, everyone, self._strangers, window)
        reached = np.zeros(len(everyone), dtype=np.int64)
        reached[fraud.stolen_by(flooding, everyone)] = full_truth.FLOODING
        for kind, some in ((full_truth.HYPER, hyper), (full_truth.INJECTION, injected)):
            reached[some.person[some.person < len(everyone)]] = kind
        reached[everyone.farmed] = full_truth.FARM
        self.fraud = reached[installed]
        self.fraudulent = [
            (full_truth.FLOODING, flooding.event_id),
            (full_truth.HYPER, hyper.event_id),
            (full_truth.INJECTION, injected.event_id),
        ]
        return [flooding, injected, hyper]

    def _open(self, click_places: Ints) -> None:
        """Installs, reinstalls and activity as events."""
        rng, tenant_id, window = self.rng, self.tenant_id, self.window
        self.first = full_events.first_opens(
            rng, self.installed, self.install_id, self.touch_id, places=click_places, window=window
        )
        self.again = full_events.reopens(rng, self.installed, self.returns, window)
        self.groups: list[EventColumns] = [
            *full_events.install_events(rng, tenant_id, self.first),
            *full_events.install_events(rng, tenant_id, self.again),
            *full_events.all_activity_events(
                rng, tenant_id, self.installed, self.activity, returns=self.returns, window=window
            ),
        ]

    def __len__(self) -> int:
        """Valid events so far."""
        return len(self.touches) + sum(len(group) for group in self.groups)

    def finish(self, background: int) -> None:
        """Adds `background` touches of people who never install, and what all touches cost."""
        rng, window = self.rng, self.window
        crowd = _background(rng, self._strangers, self._first_stranger, window, background)
        all_touches = touches.concatenate([self.touches, crowd])
        places = surroundings.draw_places(rng, len(all_touches))
        places[: len(self._click_places)] = self._click_places  # the causing touches come first
        honest = all_touches.where(all_touches.network < len(p.NETWORKS))  # the others bill nobody here
        costs = spend.draw_spend(rng, honest, window)
        self.groups += full_events.touch_events(
            rng, self.tenant_id, all_touches, self._devices, places=places, window=window
        )
        self.groups.append(events.spend_events(rng, self.tenant_id, costs))
        self.touches = all_touches.where(np.zeros(len(all_touches), dtype=np.bool_))  # now among the groups

    def truth(self) -> dict[str, pa.Table]:
        """What caused each install and return, who bought, and who cheated."""
        tenant_id, returns = self.tenant_id, self.returns
        is_new = full_truth.is_new_install(self.installed, returns)
        purchases = next(group for group in self.groups if group.event_type == "purchase")
        is_reinstall = (~is_new)[returns.is_reinstall].tolist()
        return {
            "installs": full_truth.installs_table(
                tenant_id, self.first, self.fraud, self.again, is_reinstall
            ),
            "conversions": full_truth.conversions_table(
                tenant_id,
                self.installed,
                (self.install_id, self.touch_id),
                returns,
                purchases=(self.activity, purchases.event_id),
            ),
            "touches": full_truth.touches_table(tenant_id, self.fraudulent),
            "publishers": full_truth.publishers_table(tenant_id),
        }


def _together(everyone: Installers, strangers: Surroundings) -> Surroundings:
    """Devices of installers, then of strangers: what `Touches.person` points into."""
    columns = {
        field.name: np.concatenate([getattr(everyone.devices, field.name), getattr(strangers, field.name)])
        for field in fields(Surroundings)
    }
    return Surroundings(**columns)


def _causing(rng: Rng, everyone: Installers) -> tuple[Touches, Texts]:
    """The touch behind each paid install in the order of the paid people, and its id (or none) for everyone."""
    is_paid = everyone.people.cause != ORGANIC
    paid = everyone.where(is_paid)
    browser = draws.happens(rng, len(paid), p.BROWSER_CLICK_SHARE) | ~paid.devices.has_ad_id
    by_id = (paid.kind == DEVICE_ID) | ((paid.kind == REFERRER) & ~browser)
    device_id = np.where(by_id, paid.devices.device_id, draws.uuids(rng, len(paid)))
    people = paid.people
    causing = touches.touches_of(
        rng, people, people.cause == CLICK, people.touch_ms, network=people.network, device_id=device_id
    )
    touch_id = np.full(len(everyone), "", dtype="U36")
    touch_id[is_paid] = causing.event_id
    return causing, touch_id


def _innocent(rng: Rng, everyone: Installers, window: Window) -> Touches:
    """Touches that caused nothing; of people without an advertising id the networks know a browser alone."""
    some = everyone.where(~everyone.farmed)
    known = np.where(some.devices.has_ad_id, some.devices.device_id, draws.uuids(rng, len(some)))
    return touches.innocent_touches(rng, replace(some.people, device_id=known), window)


def _background(rng: Rng, strangers: Surroundings, first_person: int, window: Window, count: int) -> Touches:
    """Touches of people who never install, in apps and browsers."""
    who = rng.integers(0, max(len(strangers), 1), size=count if len(strangers) else 0)
    some = strangers.where(who)
    crowd = touches.background_touches(rng, window, len(who))
    in_browser = draws.happens(rng, len(who), p.WEB_TOUCH_SHARE) | ~some.has_ad_id
    return replace(
        crowd,
        person=first_person + who,
        device_id=np.where(in_browser, crowd.device_id, some.device_id),
        android=some.android,
        country=some.country,
    )
