"""A demo's report written by hand: one tenant, with an oddly named channel; and one of a tenant with nothing yet."""

from __future__ import annotations

import copy
from typing import Any

from resources.attribution_summaries import CTIT_BINS

HOSTILE = "<img src=x onerror=alert(1)>&"
METRICS = {
    f"crossfit_{who}_{measure}": 0.5
    for who in ("model", "mean", "source")
    for measure in ("tweedie_deviance", "mae", "rmse", "normalised_gini", "lift_top_decile")
}
NOTHING: dict[str, Any] = {
    "from": "2026-06-01",
    "to": "2026-06-02",
    "credits": [],
    "ctit": [],
    "matches": [],
    "fraud": [],
}


def credit(kind: str, model: str, channel: str, conversions: float, micros: int) -> dict[str, Any]:
    return {
        "conversion_type": kind,
        "model": model,
        "channel": channel,
        "conversions": conversions,
        "revenue_micros": micros,
    }


FOUND: dict[str, Any] = {
    **NOTHING,
    "credits": [
        credit("install", "first", "net_a", 30.0, 0),
        credit("install", "first", HOSTILE, 10.0, 0),
        credit("install", "markov_1", "net_a", 12.5, 0),
        credit("install", "markov_1", HOSTILE, 27.5, 0),
        credit("purchase", "first", "net_a", 2.0, 7_250_000),
    ],
    "ctit": [
        {"match": "device_id", "ctit": name, "installs": count}
        for name, count in zip(CTIT_BINS, (0, 4, 1_200, 8, 0, 0, 0, 0), strict=True)
    ],
    "matches": [
        {"tier": 1, "match": "device_id", "installs": 30},
        {"tier": 5, "match": "organic", "installs": 10},
    ],
    "fraud": [
        {
            "source": HOSTILE,
            "rule": "injection",
            "verdict": "rejected",
            "days": 2,
            "touches": 12,
            "installs": 9,
            "reason": "12 touches rejected",
        }
    ],
}
CONFUSION = [
    {"true": "click", "decided": "device_id", "stolen": "", "installs": 25},
    {"true": "click", "decided": "device_id!", "stolen": "", "installs": 2},
    {"true": "click", "decided": "device_id!", "stolen": "click_flooding", "installs": 3},
    {"true": "organic", "decided": "organic", "stolen": "", "installs": 10},
]


def report(found: dict[str, Any] = FOUND, **changes: Any) -> dict[str, Any]:
    tenant = {
        "tenant_id": "t1",
        "sent": 100,
        "clean": 90,
        "duplicates": 7,
        "quarantined": 3,
        "installs": 40,
        "export_rows": {"installs": 40},
        "tenant_rows": {"installs": 40},
        "campaign_credit": [],
    }
    made = {
        "ok": True,
        "failures": [],
        "tenants": [tenant],
        "attribution": {"installs": 40, "organic_recall": 0.99},
        "confusion": CONFUSION,
        "findings": {"t1": found},
        "ltv": {"t1": {"version": "3", **METRICS}},
        "seconds": {"stack up": 3.5},
        "kept": False,
        "urls": {},
        "report": "report.html",
    }
    return copy.deepcopy({**made, **changes})
