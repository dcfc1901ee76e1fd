"""Random worlds of journeys on a coarse clock, so that times tie, and each conversion's journey found the slow way.

The install's own touches are taken from touch_decisions, which has oracles of its own (`waterfall_reference`); what
comes after the install, whose devices are one user's, the cap and the milestones are written here a second time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from resources.rules import DEFAULT_RULES, RuleSet

if TYPE_CHECKING:
    from collections.abc import Mapping

TENANT = "t_credit"
FIRST, LAST = dt.date(2026, 3, 1), dt.date(2026, 3, 25)
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RULES = RuleSet(conversion_events=("level's end",), registration_event="sign_up")
MODELS = (
    "install_events",
    "touch_decisions",
    "installs",
    "device_days",
    "device_milestones",
    "credited_conversions",
    "attribution_credits",
    "journey_paths",
)

Event = dict[str, Any]


def event(kind: str, event_id: str, hours: float, **fields: Any) -> Event:
    """A clean event of the tenant, so many hours after FIRST began."""
    return {
        "tenant_id": TENANT,
        "event_id": event_id,
        "event_type": kind,
        "event_time": START + dt.timedelta(hours=hours),
        "app_id": "app",
        "device_id": "d1",
        **fields,
    }


def purchase(event_id: str, hours: float, micros: int, **fields: Any) -> Event:
    """A purchase in the tenant's currency unless said otherwise."""
    return event("purchase", event_id, hours, **{"revenue_micros": micros, "currency": "USD", **fields})


def random_world(seed: int, users: int = 25) -> list[Event]:
    """Users with one to three devices in two apps: touches, installs, registrations, purchases, named events."""
    random = np.random.default_rng(seed)
    rows: list[Event] = []

    def add(kind: str, device: str, app: str, hours: float, **fields: Any) -> None:
        rows.append(event(kind, f"{kind[:2]}{len(rows):05d}", hours, device_id=device, app_id=app, **fields))

    def hours(after: float = 0.0) -> float:
        return float(random.integers(int(after) // 6, 100) * 6)

    for user in range(users):
        app = f"app_{random.integers(0, 2)}"
        named = {"user_id": f"u{user}"} if random.random() < 0.8 else {}
        for device in (f"d{user}_{n}" for n in range(random.integers(1, 4))):
            for _ in range(random.integers(0, 14)):
                kind = "click" if random.random() < 0.7 else "impression"
                add(kind, device, app, hours(), source=f"net_{random.integers(0, 5)}", campaign="c")
            installed = hours()
            if random.random() < 0.9:
                add("install", device, app, installed, **named)
            for _ in range(random.integers(0, 5)):
                sign = -1 if random.random() < 0.1 else 1
                amount = {"revenue_micros": sign * int(10 ** random.uniform(0, 15)), "currency": "USD"}
                add("purchase", device, app, hours(installed), **amount, **named)
            for name in ("sign_up", "level's end"):
                if random.random() < 0.5:
                    add("event", device, app, hours(installed), event_name=name, **named)
    for source, micros in (("net_0", 5_000_000), ("quiet", 40)):
        spent = {"source": source, "campaign": "c", "spend_micros": micros, "currency": "USD"}
        add("ad_spend", "", "app_0", hours(), **spent)
    return rows


@dataclass(frozen=True)
class Journey:
    """A conversion's touches (time in ms, tier, id), oldest first, and the places of its milestones (0: unknown)."""

    touches: list[tuple[int, int, str]]
    registration: int = 0
    first_purchase: int = 0
    revenue_micros: int = 0


@dataclass
class Naive:
    """Looks everything up in lists of events, one conversion at a time."""

    rows: list[Event]
    install_touches: Mapping[str, list[tuple[int, int, str]]]
    rules: RuleSet = DEFAULT_RULES
    journeys: dict[str, Journey] = field(default_factory=dict)

    def journey(self, conversion: Event) -> Journey:
        """What the marts are to find for a purchase or a named event."""
        at_ms = ms(conversion)
        install = self._install_before(conversion)
        devices = self._devices(conversion)
        after_ms = ms(install) if install else -1
        touches = list(self.install_touches.get(install["event_id"], [])) if install else []
        for row in self.rows:
            window_ms = {"click": self.rules.click_window_ms, "impression": self.rules.view_window_ms}.get(
                row["event_type"], -1
            )
            is_theirs = row["app_id"] == conversion["app_id"] and row["device_id"] in devices
            if is_theirs and after_ms < ms(row) <= at_ms and at_ms - ms(row) <= window_ms:
                touches.append((ms(row), 1 if row["event_type"] == "click" else 3, row["event_id"]))
        touches = sorted(touches)[-500:]
        return Journey(
            touches,
            self._place(touches, devices, conversion, "event", self.rules.registration_event),
            self._place(touches, devices, conversion, "purchase", None),
            conversion.get("revenue_micros", 0),
        )

    def _install_before(self, conversion: Event) -> Event | None:
        """The first install event of the device is its new install: worlds are shorter than 90 days."""
        installs = [
            row
            for row in self.rows
            if row["event_type"] == "install" and _same(row, conversion) and ms(row) <= ms(conversion)
        ]
        return min(installs, key=ms, default=None)

    def _devices(self, conversion: Event) -> set[str]:
        day = conversion["event_time"].date()
        since = day - dt.timedelta(days=self.rules.longest_window_days)
        seen = {
            row["device_id"]
            for row in self.rows
            if conversion.get("user_id")
            and row["event_type"] not in ("click", "impression")  # the network's word for who it was
            and row.get("user_id") == conversion["user_id"]
            and row["app_id"] == conversion["app_id"]
            and since <= row["event_time"].date() <= day
        }
        return seen | {conversion["device_id"]}

    def _place(
        self,
        touches: list[tuple[int, int, str]],
        devices: set[str],
        conversion: Event,
        kind: str,
        name: str | None,
    ) -> int:
        times = [
            ms(row)
            for row in self.rows
            if row["event_type"] == kind
            and (name is None or row["event_name"] == name)
            and row["app_id"] == conversion["app_id"]
            and row["device_id"] in devices
            and ms(row) <= ms(conversion)
        ]
        return sum(touch[0] <= min(times) for touch in touches) if times else 0


def ms(row: Event) -> int:
    """The event's time in milliseconds."""
    return int(row["event_time"].timestamp() * 1000)


def _same(row: Event, other: Event) -> bool:
    return (row["app_id"], row["device_id"]) == (other["app_id"], other["device_id"])


def frame(rows: list[Event]) -> pl.DataFrame:
    """The rows as MartLab takes them."""
    return pl.DataFrame(rows, infer_schema_length=None)
