"""Rows of the marts that the waterfall fills, their decisive columns, from `waterfall_reference`'s conversions.

Text for people (`reason`) and what is only passed through from the event (platform, country) do not belong here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from tests.support.waterfall_reference import Conversion, Event, Rules, find_conversions, ms

Row = dict[str, Any]

ORGANIC_TIER = 5
ASSISTS = 3
CREDITED = ("source", "medium", "campaign", "adgroup", "creative")
FRAUD = ("injection", "hyper_engagement", "blocked_ip")


def reference_marts(events: Iterable[Event], rules: Rules, currency: str = "USD") -> dict[str, list[Row]]:
    """The four marts of these events; each tenant by itself."""
    marts: dict[str, list[Row]] = {
        name: [] for name in ("touch_decisions", "installs", "reengagements", "attributed_purchases")
    }
    by_tenant: dict[str, list[Event]] = {}
    for event in events:
        by_tenant.setdefault(event["tenant_id"], []).append(event)
    for own in by_tenant.values():
        ordered = sorted(own, key=lambda event: (ms(event["event_time"]), event["event_id"]))
        conversions = find_conversions(ordered, rules)
        installs = {
            one.event["event_id"]: _install_row(one, rules) for one in conversions if one.kind == "install"
        }
        later = [_reengagement_row(one, installs, rules) for one in conversions if one.kind != "install"]
        marts["touch_decisions"] += [row for one in conversions for row in _decision_rows(one, rules)]
        marts["installs"] += installs.values()
        marts["reengagements"] += later
        marts["attributed_purchases"] += [
            row
            for event in ordered
            if event["event_type"] == "purchase" and event["currency"] == currency
            for row in _purchase_rows(event, list(installs.values()), later, rules)
        ]
    return marts


def _decision_rows(conversion: Conversion, rules: Rules) -> list[Row]:
    eligible, event = conversion.eligible, conversion.event
    rows = []
    for one in conversion.candidates:
        rank = eligible.index(one) + 1 if one in eligible else 0
        verdict = {0: one.verdict, 1: "won"}.get(rank, "assist" if rank <= 1 + ASSISTS else "eligible")
        rows.append(
            {
                **_head(event, rules),
                "conversion_id": event["event_id"],
                "conversion_type": conversion.kind,
                "conversion_time": event["event_time"],
                "touch_id": one.touch["event_id"],
                "touch_type": one.touch["event_type"],
                "touch_time": one.touch["event_time"],
                "touch_ip_pseudonym": one.touch["ip_pseudonym"] or "",
                **{name: one.touch[name] or "" for name in CREDITED},
                "match_type": one.match_type,
                "tier": one.tier,
                "ctit_ms": one.ctit_ms,
                "window_ms": one.window_ms,
                "candidate_rank": rank,
                "verdict": verdict,
            }
        )
    return rows


def _head(event: Event, rules: Rules) -> Row:
    date = event["event_time"].date()
    ruleset_hash = rules.on(date).content_hash
    return {
        "tenant_id": event["tenant_id"],
        "event_date": date,
        "app_id": event["app_id"],
        "ruleset_hash": ruleset_hash,
    }


def _winner(conversion: Conversion) -> Row:
    if not conversion.eligible:
        return {
            "match_type": "organic",
            "tier": ORGANIC_TIER,
            "touch_id": "",
            "touch_type": "",
            "touch_time": None,
            "ctit_ms": None,
            **dict.fromkeys(CREDITED, ""),
            "source": "organic",
            "assists": [],
        }
    best, *others = conversion.eligible
    return {
        "match_type": best.match_type,
        "tier": best.tier,
        "touch_id": best.touch["event_id"],
        "touch_type": best.touch["event_type"],
        "touch_time": best.touch["event_time"],
        "ctit_ms": best.ctit_ms,
        **{name: best.touch[name] or "" for name in CREDITED},
        "assists": [one.touch["event_id"] for one in others[:ASSISTS]],
    }


def _install_row(conversion: Conversion, rules: Rules) -> Row:
    event = conversion.event
    bounds = [one.order() for one in conversion.eligible[:1]]
    rejected = [one for one in conversion.candidates if one.verdict in FRAUD]
    ahead = [one for one in rejected if not bounds or one.order() < bounds[0]]
    return {
        **_head(event, rules),
        "install_id": event["event_id"],
        "device_id": event["device_id"],
        "user_id": event["user_id"] or "",
        "install_time": event["event_time"],
        "install_begin_time": event["install_begin_time"],
        **_winner(conversion),
        "rejected_touches": len(ahead),
        "rejected_reason": ahead[0].verdict if ahead else "",
        "rejected_source": ahead[0].touch["source"] if ahead else "",
    }


def _reengagement_row(conversion: Conversion, installs: dict[str, Row], rules: Rules) -> Row:
    event = conversion.event
    own_rules = rules.on(event["event_time"].date())
    row = {
        **_head(event, rules),
        "conversion_id": event["event_id"],
        "conversion_type": conversion.kind,
        "device_id": event["device_id"],
        "conversion_time": event["event_time"],
        "install_id": conversion.install_id,
        **_winner(conversion),
        "window_ends_at": event["event_time"] + dt.timedelta(milliseconds=own_rules.reengagement_window_ms),
    }
    if conversion.kind == "reinstall" and own_rules.reinstall_without_touch == "keep":
        install = installs[conversion.install_id]
        row |= {name: install[name] for name in ("match_type", "tier", *CREDITED)}
        row["window_ends_at"] = event["event_time"]  # it changes nothing, so no window opens
    return row


def _purchase_rows(purchase: Event, installs: list[Row], later: list[Row], rules: Rules) -> list[Row]:
    def latest(rows: list[Row], time: str) -> Row | None:
        before = [
            row
            for row in rows
            if (row["app_id"], row["device_id"]) == (purchase["app_id"], purchase["device_id"])
            and ms(row[time]) <= ms(purchase["event_time"])
        ]
        return max(before, key=lambda row: (ms(row[time]), row.get("conversion_id", "")), default=None)

    install = latest(installs, "install_time")
    covering = [
        row
        for row in later
        if install is not None
        and row["install_id"] == install["install_id"]
        and _takes_revenue(row, rules)
        and ms(purchase["event_time"]) <= ms(row["window_ends_at"])
    ]
    reengagement = latest(covering, "conversion_time")
    head = {
        **_head(purchase, rules),
        "purchase_id": purchase["event_id"],
        "device_id": purchase["device_id"],
        "purchase_time": purchase["event_time"],
        "revenue_micros": purchase["revenue_micros"],
    }
    del head["ruleset_hash"]
    none = {"install_id": "", "source": "unattributed", "medium": "", "campaign": ""}
    found = [("install", install), ("reengagement", reengagement)]
    attributions = [(name, row) for name, row in found if row is not None] or [("none", none)]
    return [
        {
            **head,
            "attribution": name,
            "conversion_id": row.get("conversion_id", row["install_id"]),
            **{column: row[column] for column in ("install_id", "source", "medium", "campaign")},
            "is_primary": int(name != "install" or reengagement is None),
        }
        for name, row in attributions
    ]


def _takes_revenue(row: Row, rules: Rules) -> bool:
    """A reinstall that keeps its install's attribution changes nothing; any other conversion has its window."""
    is_kept = rules.on(row["event_date"]).reinstall_without_touch == "keep"
    return row["conversion_type"] != "reinstall" or not is_kept
