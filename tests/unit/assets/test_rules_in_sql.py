"""The largest and the strangest rules that are allowed, in the project's real SQL: they decide, and break nothing."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.mart_lab import MartLab
from resources.pii import Keyring, TenantPii
from resources.rules import HOUR_MS, RuleSet
from resources.rules.blocked import MAX_BLOCKED_NETWORKS, blocked_ip_pseudonyms

AT = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)
TENANT = "t1"
STRANGE = "L'Océan \\ {{ var('x') }} {% if %} {x:String} -- ; %s"
PII = TenantPii(Keyring({"k1": base64.b64encode(b"k" * 32).decode()}), TENANT)
CHANNELS = [
    {"source": f"{STRANGE} {number}", "medium": medium, "clickWindowMs": HOUR_MS + number}
    for number in range(60)
    for medium in (None, "it's")
]
RULES = RuleSet.model_validate(
    {
        "channels": CHANNELS,
        "blockedNetworks": [f"110.{number}.0.0/16" for number in range(8)],
        "conversionEvents": [STRANGE],
        "registrationEvent": STRANGE,
    }
)


def click(device: str, **fields: Any) -> dict[str, Any]:
    return event("click", device, AT, **fields)


def install(device: str, after_ms: int) -> dict[str, Any]:
    return event("install", device, AT + dt.timedelta(milliseconds=after_ms))


def event(event_type: str, device: str, at: dt.datetime, **fields: Any) -> dict[str, Any]:
    names = {"tenant_id": TENANT, "app_id": "app", "event_id": f"{event_type}-{device}", "device_id": device}
    return names | {"event_type": event_type, "event_time": at, **fields}


def test_strange_names_and_every_blocked_network_decide_and_break_no_query(tmp_path: Path) -> None:
    pseudonyms = blocked_ip_pseudonyms(RULES.blocked_networks, PII)
    assert len(pseudonyms) == MAX_BLOCKED_NETWORKS
    events = [
        click("inside", source=f"{STRANGE} 7"),
        install("inside", HOUR_MS + 7),
        click("outside", source=f"{STRANGE} 7"),
        install("outside", HOUR_MS + 8),
        click("medium", source=f"{STRANGE} 9", medium="it's"),
        install("medium", HOUR_MS + 9),
        click("other", source=f"{STRANGE} 60"),
        install("other", 7 * 24 * HOUR_MS),
        click("blocked", source="net", ip_pseudonym=PII.pseudonym("ip", "110.7.255.255")),
        install("blocked", HOUR_MS),
        click("free", source="net", ip_pseudonym=PII.pseudonym("ip", "110.8.0.0")),
        install("free", HOUR_MS),
    ]
    last = (AT + dt.timedelta(days=7)).date()
    with MartLab(tmp_path / "lab") as lab:
        lab.put(pl.DataFrame(events, infer_schema_length=None))
        models = ["touch_decisions"]
        lab.build(TENANT, AT.date(), last, RULES, models, blocked_ip_pseudonyms=pseudonyms)
        decided = (
            lab.mart("touch_decisions").select("touch_id", "verdict", "window_ms", "ruleset_hash").rows()
        )
    own = 7 * 24 * HOUR_MS
    assert {touch: (verdict, window_ms) for touch, verdict, window_ms, _ in decided} == {
        "click-inside": ("won", HOUR_MS + 7),
        "click-outside": ("outside_window", HOUR_MS + 7),
        "click-medium": ("won", HOUR_MS + 9),
        "click-other": ("won", own),
        "click-blocked": ("blocked_ip", own),
        "click-free": ("won", own),
    }
    assert {row[-1] for row in decided} == {RULES.content_hash}
