"""Facts of the full world as events: with fingerprints, store referrers and the clocks that timed them.

The fields that both worlds share are `events`'. No facts are drawn here but how an event was seen: from which
address, by whose clock, with which user agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator import draws, surroundings
from simulator import parameters as p
from simulator.activity import Activity
from simulator.draws import Bools, Ints, Rng, Texts
from simulator.events import EventColumns, activity_events, person_fields, touch_fields
from simulator.installers import CLICK_ID, REFERRER, Installers
from simulator.population import Window
from simulator.returns import Returns
from simulator.surroundings import Surroundings
from simulator.touches import Touches, click_ids

Fields = dict[str, Sequence[object]]
_DOWNLOAD_MS = 40 * p.SECOND_MS  # of a reinstall


@dataclass(frozen=True)
class Opens:
    """First opens and reinstalls, aligned: who, on what, where, when by the device's clock, linked to which click."""

    installers: Installers
    event_id: Texts
    time_ms: Ints
    begin_ms: Ints
    place: Ints
    kind: Ints
    touch_id: Texts
    touch_ms: Ints


def touch_events(
    rng: Rng, tenant_id: str, touches: Touches, devices: Surroundings, *, places: Ints, window: Window
) -> list[EventColumns]:
    """Impressions and clicks; in a browser the device has another id, and the user agent always comes along."""
    seen_on = devices.where(touches.person)
    in_browser = touches.device_id != seen_on.device_id
    time_ms = _seen_at(rng, touches, seen_on, in_browser, window)
    agent = in_browser | draws.happens(rng, len(touches), p.IN_APP_AGENT_SHARE)
    groups: list[EventColumns] = []
    for name, mask in (
        ("impression", ~touches.is_click),
        ("click", touches.is_click & agent),
        ("click", touches.is_click & ~agent),
    ):
        some, fields = touches.where(mask), touch_fields(tenant_id, touches.where(mask))
        if name == "impression":
            fields["adId"] = [f"ad-{event_id}" for event_id in some.event_id.tolist()]
        else:
            fields["clickId"] = click_ids(some.event_id)
            fields["ip"] = list(surroundings.addresses(rng, seen_on.where(mask), places[mask]))
        if name == "click" and len(groups) == 1:
            fields |= _fingerprint(rng, seen_on.where(mask))
        groups.append(EventColumns(name, some.event_id, time_ms[mask], fields))
    return groups


def _fingerprint(rng: Rng, devices: Surroundings) -> Fields:
    """User agent and OS version of a click; some clicked in another browser than the app's."""
    other = draws.happens(rng, len(devices), p.OTHER_BROWSER_SHARE)
    browser = devices.browser + np.where(other, len(p.BROWSER_VERSIONS), 0)
    return {
        "osVersion": surroundings.os_versions(devices),
        "userAgent": surroundings.user_agents(devices, browser),
    }


def _seen_at(rng: Rng, touches: Touches, devices: Surroundings, in_browser: Bools, window: Window) -> Ints:
    """The server's time of a touch, or the device's where an honest network's SDK measured it."""
    honest = touches.network < len(p.NETWORKS)
    by_device = honest & ~in_browser & draws.happens(rng, len(touches), p.DEVICE_TIMED_SHARE)
    shifted_ms = touches.time_ms + np.where(by_device, devices.skew_ms, 0)
    return np.clip(shifted_ms, window.start_ms, window.end_ms - 1)


def first_opens(
    rng: Rng, installed: Installers, install_id: Texts, touch_id: Texts, *, places: Ints, window: Window
) -> Opens:
    """The installs; who clicked is mostly still where the click was."""
    people, skew_ms = installed.people, installed.devices.skew_ms
    elapsed_ms = people.install_ms - people.touch_ms
    return Opens(
        installers=installed,
        event_id=install_id,
        time_ms=np.clip(people.install_ms + skew_ms, window.start_ms, window.end_ms - 1),
        begin_ms=installed.begin_ms + skew_ms,
        place=surroundings.later_places(rng, places, elapsed_ms),
        kind=installed.kind,
        touch_id=touch_id,
        touch_ms=people.touch_ms,
    )


def reopens(rng: Rng, installed: Installers, returns: Returns, window: Window) -> Opens:
    """The installs after an uninstall: the store knows of no click, the device id links them."""
    again = returns.is_reinstall
    person = returns.person[again]
    skew_ms = installed.devices.skew_ms[person]
    time_ms = np.clip(returns.time_ms[again] + skew_ms, window.start_ms, window.end_ms - 1)
    begin_ms = np.maximum(time_ms - _DOWNLOAD_MS, returns.touch_ms[again] + 1 + skew_ms)
    return Opens(
        installers=installed.where(person),
        event_id=returns.event_id[again],
        time_ms=time_ms,
        begin_ms=np.minimum(begin_ms, time_ms),
        place=surroundings.draw_places(rng, len(person)),
        kind=np.zeros(len(person), dtype=np.int64),
        touch_id=returns.touch_id[again],
        touch_ms=returns.touch_ms[again],
    )


def install_events(rng: Rng, tenant_id: str, opens: Opens) -> list[EventColumns]:
    """Installs with a click's referrer, with a deep link's click id, with the store's empty referrer, or plain."""
    by_referrer, by_link = opens.kind == REFERRER, opens.kind == CLICK_ID
    by_store = opens.installers.devices.has_play_store & ~by_referrer
    referrers = _referrers(opens, by_referrer)
    nobodys = _nobodys_referrers(opens, by_store)
    plain = ~by_referrer & ~by_link & ~by_store
    claimed = ["ad_network"]
    return [
        _install_columns(
            rng, tenant_id, opens, by_referrer, {"source": claimed * len(referrers), "referrer": referrers}
        ),
        _install_columns(
            rng,
            tenant_id,
            opens,
            by_link,
            {"source": claimed * int(by_link.sum()), "clickId": click_ids(opens.touch_id[by_link])},
        ),
        _install_columns(rng, tenant_id, opens, by_store, {"referrer": nobodys}),
        _install_columns(rng, tenant_id, opens, plain, {}),
    ]


def all_activity_events(
    rng: Rng, tenant_id: str, installed: Installers, activity: Activity, *, returns: Returns, window: Window
) -> list[EventColumns]:
    """What installed people do, and the sessions with which they came back; by their clocks."""
    os_version = np.asarray(surroundings.os_versions(installed.devices), dtype="U16")
    timed = activity.timed_by(installed.devices.skew_ms, window)
    groups = activity_events(rng, tenant_id, installed.people, timed, os_version)
    back = ~returns.is_reinstall
    person = returns.person[back]
    time_ms = returns.time_ms[back] + installed.devices.skew_ms[person]
    fields: Fields = {
        **person_fields(tenant_id, installed.people.where(person)),
        "osVersion": os_version[person].tolist(),
        "sessionId": draws.uuids(rng, len(person)).tolist(),
        "durationMs": rng.integers(p.MINUTE_MS, 20 * p.MINUTE_MS, size=len(person)).tolist(),
    }
    time_ms = np.clip(time_ms, window.start_ms, window.end_ms - 1)
    return [*groups, EventColumns("session", returns.event_id[back], time_ms, fields)]


def _install_columns(rng: Rng, tenant_id: str, opens: Opens, mask: Bools, claim: Fields) -> EventColumns:
    some = opens.installers.where(mask)
    fields: Fields = {
        **person_fields(tenant_id, some.people),
        "osVersion": surroundings.os_versions(some.devices),
        "deviceModel": surroundings.models(some.devices),
        "campaign": ["unknown"] * len(some),  # the app does not know: attribution decides
        "ip": list(surroundings.addresses(rng, some.devices, opens.place[mask])),
        "userAgent": surroundings.user_agents(some.devices),
        **claim,
    }
    return EventColumns("install", opens.event_id[mask], opens.time_ms[mask], fields)


def _referrers(opens: Opens, mask: Bools) -> list[object]:
    """The store's referrer of a click: its id, its time by the server's clock, and the download's begin."""
    return [
        {"clickId": click_id, "clickTime": clicked, "installBeginTime": began}
        for click_id, clicked, began in zip(
            click_ids(opens.touch_id[mask]),
            draws.rfc3339(opens.touch_ms[mask]),
            draws.rfc3339(opens.begin_ms[mask]),
            strict=True,
        )
    ]


def _nobodys_referrers(opens: Opens, mask: Bools) -> list[object]:
    """What the store hands over when it knows of no click."""
    began = draws.rfc3339(opens.begin_ms[mask])
    return [{"clickId": p.ORGANIC_REFERRER, "installBeginTime": moment} for moment in began]
