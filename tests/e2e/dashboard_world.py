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
# what each model gives of the last-touch credit: below 1 for who often comes last, above for who begins
MODELS = {
    "last_touch": {"northwind": 1.0, "bluebird": 1.0},
    "first": {"northwind": 0.82, "bluebird": 1.31},
    "last": {"northwind": 1.02, "bluebird": 0.96},
    "linear": {"northwind": 0.91, "bluebird": 1.15},
    "position": {"northwind": 0.93, "bluebird": 1.12},
    "w": {"northwind": 0.94, "bluebird": 1.1},
    "time_decay": {"northwind": 0.97, "bluebird": 1.04},
}
CHANNEL_MODELS = ("first", "last", "linear", "markov_1", "shapley")
TRACED = f"{LAST}-northwind-spring launch-0"
CHURNING = 150

Row = dict[str, object]
Marts = dict[str, list[Row]]


def push_world(plane: PlaneProcess) -> None:
    """Push every day's marts and one set of scores of each kind."""
    for age in range(DAYS):
        date = LAST - dt.timedelta(days=DAYS - 1 - age)
        for mart, rows in day(date, age).items():
            answer = plane.push_mart(mart, date, rows)
            assert answer.status_code == 200, answer.text
    push_scores(plane)


def day(date: dt.date, age: int) -> Marts:
    """One day's marts; it grows by two percent a day and has a dip at weekends."""
    scale = 1.02**age * (0.7 if date.weekday() >= 5 else 1.0)
    campaigns = _campaigns(scale)
    last_touch = [row for row in campaigns if row["model"] == "last_touch"]
    installs = _installs(date, last_touch)
    kpi: Row = {
        "events": int(5_200 * scale),
        "active_users": int(640 * scale),
        "new_users": len(installs),
        "sessions": int(1_480 * scale),
        "purchases": int(61 * scale),
        "revenue_micros": sum(int(str(row["revenue_micros"])) for row in last_touch) + 7,
        "purchases_other_currency": 1,
    }
    return {
        "kpi_daily": [kpi],
        "usage_daily": [_usage(scale)],
        "installs": installs,
        "campaign_daily": campaigns,
        "cohorts": _cohorts(date, age),
        "funnel_daily": _funnel(last_touch, scale),
        "fraud_daily": _fraud(date, scale),
        "channel_credits": _channels(last_touch),
        "touch_decisions": _decisions(installs[:2]),
    }


def _usage(scale: float) -> Row:
    events = int(5_200 * scale)
    return {
        "events_received": events + 90,
        "events_accepted": events + 40,
        "events_clean": events,
        "events_duplicate": 40,
        "events_quarantined": 50,
        "active_users": int(640 * scale),
        "stored_bytes": events * 60,
        "pulled_bytes": 120_000,
    }


def push_scores(plane: PlaneProcess) -> None:
    """Predicted values, with the source that brought the user, and probabilities to leave."""
    ltv = [
        {
            "userId": f"user-{n}",
            "score": 1e6 * 400 / (n + 8),
            "features": {"sessions": n % 9, "source": CAMPAIGNS[n % 5][0]},
        }
        for n in range(SCORED_USERS)
    ]
    churn = [{"userId": f"user-{n}", "score": (n + 0.5) / CHURNING, "features": {}} for n in range(CHURNING)]
    for model, items in (("ltv_v1", ltv), ("churn_v1", churn)):
        document = {
            "tenantId": plane.tenant_id,
            "model": model,
            "generatedAt": "2026-03-10T02:00:00Z",
            "asOf": LAST.isoformat(),
            "items": items,
        }
        answer = plane.push("POST", "/api/v1/ml/scores", json.dumps(document).encode())
        assert answer.status_code == 200, answer.text


def _campaigns(scale: float) -> list[Row]:
    rows: list[Row] = []
    for model, parts in MODELS.items():
        for source, campaign, spend_micros, clicks, installs in CAMPAIGNS:
            credited = int(installs * scale) * parts.get(source, 1.0)
            rows.append(
                {
                    "app_id": "app",
                    "source": source,
                    "campaign": campaign,
                    "model": model,
                    "spend_micros": int(spend_micros * scale),
                    "impressions": int(clicks * 40 * scale),
                    "clicks": int(clicks * scale),
                    "installs": int(credited) if model == "last_touch" else 0,
                    "revenue_micros": int(installs * scale * 9_310_007 * parts.get(source, 1.0)),
                    "credited_installs": credited,
                }
            )
    return rows


def _installs(date: dt.date, campaigns: list[Row]) -> list[Row]:
    noon = dt.datetime(date.year, date.month, date.day, 12, tzinfo=dt.UTC)
    rows: list[Row] = []
    for row in campaigns:
        organic = row["source"] == "organic"
        for number in range(int(str(row["installs"]))):
            installed = noon - dt.timedelta(minutes=number)
            rows.append(
                {
                    "install_id": f"{date}-{row['source']}-{row['campaign']}-{number}",
                    "app_id": "app",
                    "install_time": installed,
                    "platform": "ios" if number % 3 else "android",
                    "country": "DE",
                    "match_type": "organic" if organic else "click_id",
                    "tier": 5 if organic else 1,
                    "source": row["source"],
                    "campaign": row["campaign"],
                    "touch_id": "" if organic else f"touch-{number}",
                    "touch_type": "" if organic else "click",
                    "touch_time": None if organic else installed - dt.timedelta(minutes=7),
                    "ctit_ms": None if organic else 420_000,
                    "ruleset_hash": "5f1c",
                }
            )
    return rows


def _decisions(installs: list[Row]) -> list[Row]:
    """Three candidates of each: the winner, an assist, and one that a rule of fraud took out."""
    verdicts = [
        ("won", 1, 2, 420_000, "latest deterministic click in 7 d"),
        ("assist", 2, 3, 7_200_000, "eligible, behind the winner"),
        ("injection", 0, 1, 3_000, "clicked after the store began to download"),
    ]
    rows: list[Row] = []
    for install in installs:
        for verdict, rank, position, ctit_ms, reason in verdicts:
            time = install["install_time"]
            assert isinstance(time, dt.datetime)
            rows.append(
                {
                    "app_id": "app",
                    "conversion_id": install["install_id"],
                    "conversion_type": "install",
                    "conversion_time": time,
                    "touch_id": f"{verdict}-{install['install_id']}",
                    "touch_type": "click",
                    "touch_time": time - dt.timedelta(milliseconds=ctit_ms),
                    "source": "shady" if verdict == "injection" else install["source"],
                    "campaign": install["campaign"],
                    "match_type": "click_id",
                    "tier": 1,
                    "ctit_ms": ctit_ms,
                    "window_ms": 604_800_000,
                    "candidate_rank": rank,
                    "waterfall_position": position,
                    "verdict": verdict,
                    "reason": reason,
                    "install_id": install["install_id"],
                    "ruleset_hash": "5f1c",
                }
            )
    return rows


def _cohorts(date: dt.date, age: int) -> list[Row]:
    """Of every earlier day: 1,000 / (3 n + 4) of each thousand are active n days after."""
    rows: list[Row] = []
    for day_n in range(age + 1):
        for source, size, spend_micros in (("northwind", 60, 560_000_000), ("organic", 30, 0)):
            active = size * 4 // (3 * day_n + 4)
            rows.append(
                {
                    "cohort_date": date - dt.timedelta(days=day_n),
                    "day_n": day_n,
                    "app_id": "app",
                    "source": source,
                    "campaign": "",
                    "cohort_size": size if day_n == 0 else 0,
                    "active_devices": active,
                    "purchasers": active // 5,
                    "revenue_micros": active // 5 * 9_310_007,
                    "spend_micros": spend_micros if day_n == 0 else 0,
                }
            )
    return rows


def _funnel(campaigns: list[Row], scale: float) -> list[Row]:
    rows: list[Row] = []
    for row in campaigns:
        clicks, installs = int(str(row["clicks"])), int(str(row["installs"]))
        before = [("impression", clicks * 30), ("click", clicks)] if clicks else []
        after = [
            ("install", installs),
            ("session", installs * 9 // 10),
            ("event", installs // 2),
            ("purchase", installs // 8),
        ]
        first = 1 if clicks else 3
        for step_index, (step, devices) in enumerate([*before, *after], first):
            rows.append(
                {
                    "app_id": "app",
                    "source": row["source"],
                    "campaign": row["campaign"],
                    "step_index": step_index,
                    "step": step,
                    "devices": devices,
                }
            )
    return rows


def _fraud(date: dt.date, scale: float) -> list[Row]:
    rows: list[Row] = [
        {
            "source": "shady",
            "rule": "injection",
            "verdict": "rejected",
            "touches": int(30 * scale),
            "installs": int(12 * scale),
            "share": 0.31,
            "norm": 0.0,
            "reason": f"{int(30 * scale)} clicks came after the store began to download",
        },
        {
            "source": "bluebird",
            "rule": "hyper_engagement",
            "verdict": "rejected",
            "touches": int(6 * scale),
            "installs": 2,
            "share": 0.04,
            "norm": 0.0,
            "reason": "one device clicked more than 100 times in an hour",
        },
    ]
    if date.day % 3 == 0:
        rows.append(
            {
                "source": "shady",
                "rule": "click_flooding",
                "verdict": "flagged",
                "touches": 0,
                "installs": int(40 * scale),
                "share": 0.12,
                "norm": 0.75,
                "reason": "12 % of the installs came within an hour of the click (usual: 75 %)",
            }
        )
    return [{"app_id": "app", **row} for row in rows]


def _channels(campaigns: list[Row]) -> list[Row]:
    rows: list[Row] = []
    for source in ("northwind", "bluebird", "organic"):
        installs = sum(int(str(row["installs"])) for row in campaigns if row["source"] == source)
        for index, model in enumerate(CHANNEL_MODELS):
            factor = 1 + 0.07 * index * (-1 if source == "northwind" else 1)
            for kind, conversions, revenue_micros in (
                ("install", installs * factor, 0),
                ("purchase", installs * factor / 4, int(installs * factor * 2_000_003)),
            ):
                rows.append(
                    {
                        "app_id": "app",
                        "conversion_type": kind,
                        "event_name": "",
                        "model": model,
                        "channel": source,
                        "conversions": conversions,
                        "revenue_micros": revenue_micros,
                    }
                )
    return rows
