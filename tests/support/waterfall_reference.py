"""The attribution rules a second time, slow and plain: the oracle that the SQL of `dbt_project` is compared with.

Written from the specification alone: which events are conversions, and each one's candidates in order. Everything
is decided from the whole history at once; slices, windows of history and speed do not belong here. Rows of marts
are `marts_reference`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from resources.rules import RuleSet

Event = Mapping[str, Any]  # a row of clean.events
RulesOn = Callable[[dt.date], RuleSet]
Device = tuple[str, str]  # app, device

HOUR_MS = 3_600_000
REACH_MS = (
    30 * 24 * HOUR_MS
)  # the largest window a rule set may have: how far back a shared key is looked for
AFTER_MS = HOUR_MS  # a touch so long after, on the same UTC day, is still shown as coming too late
PROBABILISTIC_REACH_MS = 24 * HOUR_MS
MATCH_RANKS = {"referrer": 1, "click_id": 2, "device_id": 3, "probabilistic": 4}
ACTIVITY = ("install", "session", "event", "purchase")


@dataclass(frozen=True)
class Rules:
    """What decides on a date, and which address pseudonyms it blocks."""

    on: RulesOn
    blocked_ips: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Candidate:
    """A touch that was looked at for a conversion."""

    touch: Event
    match_type: str
    tier: int
    ctit_ms: int
    window_ms: int
    verdict: str  # eligible until the candidates are ranked

    def order(self) -> tuple[Any, ...]:
        """Best first: tier, the latest, referrer before the others, first received, lower id."""
        touch = self.touch
        rank = MATCH_RANKS[self.match_type]
        return self.tier, -ms(touch["event_time"]), rank, touch["received_at"], touch["event_id"]


@dataclass(frozen=True)
class Conversion:
    """An install, or what happened to a device that already had the app."""

    event: Event
    kind: str
    install_id: str
    candidates: list[Candidate]  # in order

    @property
    def eligible(self) -> list[Candidate]:
        """Those that may win, best first."""
        return [one for one in self.candidates if one.verdict == "eligible"]


def ms(moment: dt.datetime) -> int:
    """Milliseconds since 1970; what is finer is cut off."""
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def find_conversions(ordered: list[Event], rules: Rules) -> list[Conversion]:
    """The installs, reinstalls and re-engagements of one tenant's events, in order of time and id."""
    touches = [event for event in ordered if event["event_type"] in ("click", "impression")]
    numbers = click_numbers(touches)
    new_installs: dict[Device, Event] = {}
    last_activity: dict[Device, Event] = {}
    last_install_event: dict[Device, Event] = {}
    found: list[Conversion] = []
    activities = [event for event in ordered if event["event_type"] in ACTIVITY]
    for event in sorted(activities, key=_activity_order):
        device = (event["app_id"], event["device_id"])
        before, last_activity[device] = last_activity.get(device), event
        if event["event_type"] == "install":
            kind = _install_kind(event, new_installs.get(device), rules)
            if kind == "install":
                new_installs[device] = event
            since = None if kind == "install" else last_install_event[device]
            last_install_event[device] = event
            candidates = find_candidates(event, touches, numbers, since, rules)
            if kind == "reinstall" and any(one.verdict == "eligible" for one in candidates):
                kind = "re_attribution"
            found.append(Conversion(event, kind, new_installs[device]["event_id"], candidates))
        elif event["event_type"] == "session" and device in new_installs and _was_idle(event, before, rules):
            candidates = find_candidates(event, touches, numbers, before, rules)
            if any(one.verdict == "eligible" and one.touch["event_type"] == "click" for one in candidates):
                found.append(Conversion(event, "re_engagement", new_installs[device]["event_id"], candidates))
    return found


def _activity_order(event: Event) -> tuple[int, int, str]:
    """At equal times an install comes first, then sessions, then the rest; then the id decides."""
    kind = {"install": 0, "session": 1}.get(event["event_type"], 2)
    return ms(event["event_time"]), kind, event["event_id"]


def click_numbers(touches: list[Event]) -> dict[str, int]:
    """Click id → the how manieth of its device on its channel in its UTC day, in order of time and id."""
    made: dict[tuple[Any, ...], int] = {}
    numbers: dict[str, int] = {}
    for touch in touches:
        if touch["event_type"] == "click":
            key = (touch["app_id"], touch["device_id"], touch["source"], touch["event_time"].date())
            numbers[touch["event_id"]] = made[key] = made.get(key, 0) + 1
    return numbers


def find_candidates(
    conversion: Event, touches: list[Event], numbers: dict[str, int], since: Event | None, rules: Rules
) -> list[Candidate]:
    """The touches of the app that a conversion could be credited to, each judged, best first.

    A touch up to `since` (the device's install event before, or its last activity) had its effect already.
    """
    found = []
    for touch in touches:
        ctit_ms = ms(conversion["event_time"]) - ms(touch["event_time"])
        match_type = _best_match(conversion, touch, ctit_ms)
        if touch["app_id"] != conversion["app_id"] or match_type is None:
            continue
        is_click, is_sure = touch["event_type"] == "click", match_type != "probabilistic"
        tier = (1 if is_click else 3) + (0 if is_sure else 1)
        own_rules = rules.on(conversion["event_time"].date())
        window_ms = window_of(own_rules, touch["source"], touch["medium"], tier)
        verdict = _place_in_time(ctit_ms, window_ms)
        if verdict == "eligible" and since is not None and ms(touch["event_time"]) <= ms(since["event_time"]):
            verdict = "outside_window"
        if verdict == "eligible":
            is_over = numbers.get(touch["event_id"], 0) > own_rules.click_cap_per_day
            verdict = _fraud(conversion, touch, own_rules, rules.blocked_ips, is_over=is_over) or verdict
        found.append(Candidate(touch, match_type, tier, ctit_ms, window_ms, verdict))
    return sorted(found, key=Candidate.order)


def window_of(rules: RuleSet, source: str, medium: str | None, tier: int) -> int:
    """The window of a tier: the channel's with that medium, else the channel's without one, else the rule set's."""
    field = {
        1: "click_window_ms",
        2: "probabilistic_click_window_ms",
        3: "view_window_ms",
        4: "probabilistic_view_window_ms",
    }[tier]
    entries = [channel for channel in rules.channels if channel.source == source]
    exact = [channel for channel in entries if medium is not None and channel.medium == medium]
    chosen = exact or [channel for channel in entries if channel.medium is None]
    own: int | None = getattr(chosen[0], field) if chosen else None
    whole: int = getattr(rules, field)
    return whole if own is None else own


def _best_match(conversion: Event, touch: Event, ctit_ms: int) -> str | None:
    is_same_day = touch["event_time"].date() == conversion["event_time"].date()
    if 0 <= ctit_ms <= REACH_MS or (is_same_day and ctit_ms >= -AFTER_MS):
        keys = {
            "referrer": (conversion["referrer_click_id"], touch["click_id"]),
            "click_id": (conversion["click_id"], touch["click_id"]),
            "device_id": (conversion["device_id"], touch["device_id"]),
        }
        for match_type, (wanted, given) in keys.items():
            if wanted and wanted == given:
                return match_type
    if 0 <= ctit_ms <= PROBABILISTIC_REACH_MS:
        prints = [
            (row["ip_pseudonym"], row["user_agent_pseudonym"], row["os_version"])
            for row in (conversion, touch)
        ]
        if all(prints[0]) and prints[0] == prints[1]:
            return "probabilistic"
    return None


def _place_in_time(ctit_ms: int, window_ms: int) -> str:
    if ctit_ms < 0:
        return "after_conversion"
    if window_ms == 0:
        return "method_off"
    return "eligible" if ctit_ms <= window_ms else "outside_window"


def _fraud(
    conversion: Event, touch: Event, rules: RuleSet, blocked: frozenset[str], *, is_over: bool
) -> str | None:
    """Why a touch inside its window is rejected; a deep link opens an app at once, so sessions have no CTIT."""
    began = conversion["install_begin_time"]
    if touch["event_type"] == "click" and conversion["event_type"] == "install":
        if began is not None and ms(touch["event_time"]) > ms(began):
            return "injection"
        if ms(conversion["event_time"]) - ms(touch["event_time"]) < rules.min_ctit_ms:
            return "injection"
    if is_over:
        return "hyper_engagement"
    return "blocked_ip" if touch["ip_pseudonym"] in blocked else None


def _install_kind(event: Event, last_new: Event | None, rules: Rules) -> str:
    window_ms = rules.on(event["event_time"].date()).reattribution_window_ms
    is_new = last_new is None or ms(event["event_time"]) - ms(last_new["event_time"]) > window_ms
    return "install" if is_new else "reinstall"


def _was_idle(session: Event, before: Event | None, rules: Rules) -> bool:
    """Whether the device did nothing for the inactivity time before the session."""
    idle_ms = rules.on(session["event_time"].date()).inactivity_ms
    return before is not None and ms(session["event_time"]) - ms(before["event_time"]) >= idle_ms
