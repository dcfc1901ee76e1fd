"""Forty days of one tenant's numbers, made by arithmetic, pushed through the real endpoint."""

from __future__ import annotations

import datetime as dt
import json

from tests.unit.tenant_plane.plane_process import PlaneProcess

LAST = dt.date(2026, 3, 9)
DAYS = 40
SCORED_USERS = 400
CAMPAIGNS = [
    ("northwind", "spring launch", 412_000_000, 950, 41),
    ("northwind", "retargeting", 151_500_000, 310, 17),
    ("bluebird", "video 15s", 298_250_000, 720, 22),
    ("bluebird", "<b>playable</b>", 88_990_000, 205, 9),
    ("organic", "", 0, 0, 28),
]

Row = dict[str, object]


def push_world(plane: PlaneProcess) -> None:
    """Push every day's three marts and one set of scores."""
    for age in range(DAYS):
        date = LAST - dt.timedelta(days=DAYS - 1 - age)
        for mart, rows in day(date, age).items():
            answer = plane.push_mart(mart, date, rows)
            assert answer.status_code == 200, answer.text
    push_scores(plane)


def day(date: dt.date, age: int) -> dict[str, list[Row]]:
    """One day's marts; it grows by two percent a day and has a dip at weekends."""
    scale = 1.02**age * (0.7 if date.weekday() >= 5 else 1.0)
    campaigns: list[Row] = [
        {
            "app_id": "app",
            "source": source,
            "campaign": campaign,
            "model": "last_touch",
            "spend_micros": int(spend_micros * scale),
            "impressions": int(clicks * 40 * scale),
            "clicks": int(clicks * scale),
            "installs": int(installs * scale),
            "revenue_micros": int(installs * scale * 9_310_007),
        }
        for source, campaign, spend_micros, clicks, installs in CAMPAIGNS
    ]
    installs: list[Row] = [
        {
            "install_id": f"{date}-{row['source']}-{row['campaign']}-{number}",
            "match_type": "organic" if row["source"] == "organic" else "click_id",
            "source": row["source"],
            "campaign": row["campaign"],
        }
        for row in campaigns
        for number in range(int(str(row["installs"])))
    ]
    kpi: Row = {
        "events": int(5_200 * scale),
        "active_users": int(640 * scale),
        "new_users": len(installs),
        "sessions": int(1_480 * scale),
        "purchases": int(61 * scale),
        "revenue_micros": sum(int(str(row["revenue_micros"])) for row in campaigns) + 7,
        "purchases_other_currency": 1,
    }
    return {"kpi_daily": [kpi], "installs": installs, "campaign_daily": campaigns}


def push_scores(plane: PlaneProcess) -> None:
    """Push a heavy-tailed set of predictions."""
    items = [
        {"userId": f"user-{n}", "score": 1e6 * 400 / (n + 8), "features": {"sessions": n % 9}}
        for n in range(SCORED_USERS)
    ]
    document = {
        "tenantId": plane.tenant_id,
        "model": "ltv_v1",
        "generatedAt": "2026-03-10T02:00:00Z",
        "asOf": LAST.isoformat(),
        "items": items,
    }
    answer = plane.push("POST", "/api/v1/ml/scores", json.dumps(document).encode())
    assert answer.status_code == 200, answer.text
