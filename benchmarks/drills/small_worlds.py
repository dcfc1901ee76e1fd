"""Small worlds in which everything collides: few devices, apps and ids, equal times, touches on the windows' bounds.

Rows of clean.events for comparing one way of computing marts with another. The source of randomness is the caller's,
so that a property test can shrink what it finds. Whether a world is plausible does not matter here; the simulator's
worlds are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from random import Random
from typing import Any

from resources.rules import DAY_MS, HOUR_MS, ChannelRules, RuleSet

Row = dict[str, Any]

TENANTS = ("world_one", "world_two")
APPS = ("game", "")
DEVICES = ("d1", "d2", "d3")
SOURCES = ("net_a", "net_b")
CURRENCY = "USD"
BLOCKED_IP = "n2"
NOON = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
MIDNIGHT = dt.datetime(2026, 3, 12, tzinfo=dt.UTC)
# days after NOON on which things happen: inside and outside of inactivity, re-engagement and re-attribution windows
ANCHOR_DAYS = (0, 0, 1, 7, 8, 9, 31, 38, 91)
# before a conversion, ms: the bounds of every window and of the shortest time, and both sides of them
TOUCH_AGES_MS = (
    *(-HOUR_MS - 1, -HOUR_MS, -1, 0, 1, 4_999, 5_000, 60_000),
    *(HOUR_MS, HOUR_MS + 1, 6 * HOUR_MS, 24 * HOUR_MS, 24 * HOUR_MS + 1, 48 * HOUR_MS),
    *(3 * DAY_MS, 7 * DAY_MS, 7 * DAY_MS + 1, 30 * DAY_MS, 30 * DAY_MS + 1),
)
TYPES = (
    ("click",) * 6
    + ("impression",) * 3
    + ("install",) * 4
    + ("session",) * 4
    + ("event",)
    + ("purchase",) * 3
)
REVENUES_MICROS = (-1_000_001, 0, 1, 999_999, 4_990_000, 9_007_199_254_740_991)

# rule sets that differ in everything; each costs a rendering, so they are few
RULE_SETS = (
    RuleSet(),
    RuleSet(
        click_window_ms=30 * DAY_MS,
        view_window_ms=48 * HOUR_MS,
        probabilistic_view_window_ms=24 * HOUR_MS,
        reattribution_window_ms=7 * DAY_MS,
        inactivity_ms=DAY_MS,
        reengagement_window_ms=DAY_MS,
        reinstall_without_touch="organic",
        click_cap_per_day=5,
        min_ctit_ms=0,
    ),
    RuleSet(
        click_window_ms=HOUR_MS,
        probabilistic_click_window_ms=0,
        view_window_ms=0,
        reattribution_window_ms=DAY_MS,
        channels=(
            ChannelRules(source="net_a", view_window_ms=HOUR_MS, probabilistic_click_window_ms=6 * HOUR_MS),
            ChannelRules(source="net_a", medium="video", click_window_ms=3 * DAY_MS),
        ),
        reengagement_window_ms=90 * DAY_MS,
        min_ctit_ms=60_000,
    ),
)


def small_world(random: Random, most_events: int = 24) -> list[Row]:
    """Clean events of both tenants, with the same ids; deliveries' order is the list's."""
    rows = [row for tenant in TENANTS for row in _tenant_rows(random, tenant, most_events)]
    random.shuffle(rows)
    return rows


def many_small_worlds(random: Random, count: int, most_events: int = 24) -> list[Row]:
    """So many worlds in the same tenants, each in apps of its own: a build costs the same for one and for many."""
    return [
        named_apart(row, f"w{number:03}")
        for number in range(count)
        for row in small_world(random, most_events)
    ]


def named_apart(row: Row, world: str) -> Row:
    """The row with its app and event id in a world of that name."""
    return row | {name: f"{world}.{row[name]}" for name in ("app_id", "event_id")}


def world_of(app_id: str) -> str:
    """The name of the world that an app is in."""
    return app_id.partition(".")[0]


def dates_of(rows: Sequence[Row]) -> list[dt.date]:
    """The UTC days on which there are events, ascending."""
    return sorted({row["event_time"].date() for row in rows})


def _tenant_rows(random: Random, tenant: str, most_events: int) -> list[Row]:
    count = random.randint(2, most_events)
    ids = [f"{letter}{number}" for number in range(count) for letter in "zma"][:count]
    random.shuffle(ids)
    return [_row(random, tenant, event_id) for event_id in ids]


def _row(random: Random, tenant: str, event_id: str) -> Row:
    event_type = random.choice(TYPES)
    is_touch = event_type in ("click", "impression")
    anchor = random.choice((NOON, MIDNIGHT)) + dt.timedelta(days=random.choice(ANCHOR_DAYS))
    age_ms = random.choice(TOUCH_AGES_MS) if is_touch else random.choice((0, 0, 0, 1, -1, 1000))
    event_time = anchor - dt.timedelta(milliseconds=age_ms)
    row: Row = {
        "tenant_id": tenant,
        "event_id": event_id,
        "event_type": event_type,
        "event_time": event_time,
        "received_at": event_time + dt.timedelta(hours=random.choice((0, 0, 1, 48))),
        "app_id": random.choice((*APPS, APPS[0])),
        "device_id": random.choice(DEVICES),
        "user_id": random.choice((None, "u1", "u2")),
        "ip_pseudonym": random.choice((None, "n1", "n1", BLOCKED_IP)),
        "user_agent_pseudonym": random.choice((None, "a1", "a1")),
        "os_version": random.choice((None, "17", "17")),
    }
    return row | _own_fields(random, event_type, event_time)


def _own_fields(random: Random, event_type: str, event_time: dt.datetime) -> Row:
    """What only some types carry."""
    named = {
        "source": random.choice(SOURCES),
        "medium": random.choice((None, "video", "banner")),
        "campaign": "c",
    }
    click_id = random.choice((None, "k1", "k2"))
    if event_type == "click":
        return named | {"click_id": click_id}
    if event_type == "impression":
        return named
    if event_type == "install":
        began_ms = random.choice((None, None, 0, 1_000, 60_000, 2 * DAY_MS))
        began = None if began_ms is None else event_time - dt.timedelta(milliseconds=began_ms)
        referrer = random.choice((None, "k1", "k2"))
        return {
            "click_id": click_id,
            "referrer_click_id": referrer,
            "install_begin_time": began,
            "campaign": "own",
        }
    if event_type == "event":
        return {"event_name": random.choice(("registration", "level"))}
    if event_type == "purchase":
        currency = random.choice((CURRENCY, CURRENCY, "EUR"))
        return {"revenue_micros": random.choice(REVENUES_MICROS), "currency": currency}
    return {}
