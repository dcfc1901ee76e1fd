"""How fresh and complete the tenant's data are, and how much of the plan's limits is used, as far as is known here.

What was used comes with `usage_daily`, metered by the platform, so a day counts once it was processed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from resources.plane_settings import TenantPlaneSettings
from tenant_plane.detail_views import DataSet, DataState, Quota
from tenant_plane.mart_contract import MART_SCHEMAS
from tenant_plane.mart_store import MartStore, StoredSlice
from tenant_plane.reports.periods import moment, ratio
from tenant_plane.score_store import ScoreStore

CHECKED_DAYS = 90  # the longest period of the dashboard's daily charts
PEAK_DAYS = 30  # a month is what plans are sold by
PEAKS = (
    "SELECT coalesce(max(events_received), 0) AS events, coalesce(max(pulled_bytes), 0) AS pulled FROM slices"
)
STORED = "SELECT coalesce(sum(stored_bytes), 0) AS stored FROM slices"


def data_state(
    settings: TenantPlaneSettings,
    marts: MartStore,
    scores: ScoreStore,
    *,
    users: int,
    relay_pending_bytes: int,
    today: dt.date,
) -> DataState:
    """Freshness of every mart and model, and the limits."""
    slices = marts.slices()
    sets = [
        mart_set(name, [each for each in slices if each.mart == name], marts.stored_bytes(name))
        for name in MART_SCHEMAS
    ]
    sets += score_sets(scores)
    latest = marts.latest_date("kpi_daily")
    used = {**platform_use(marts), "users": users, "relay_bytes": relay_pending_bytes}
    return DataState(
        tenant_id=settings.id,
        plan=settings.plan,
        latest_date=latest,
        pushed_at=moment(max((each.pushed_at_ms for each in slices), default=None)),
        event_days_behind=None if latest is None else max(0, (today - latest).days),
        quotas=quotas(used, settings),
        sets=sets,
    )


def mart_set(name: str, there: Sequence[StoredSlice], stored_bytes: int) -> DataSet:
    """One mart: its dates, and how many are missing between the first and the newest of the last 90 days."""
    dates = {each.date for each in there}
    latest, first = max(dates, default=None), min(dates, default=None)
    missing = 0
    if latest is not None and first is not None:
        start = max(first, latest - dt.timedelta(days=CHECKED_DAYS - 1))
        missing = (latest - start).days + 1 - sum(date >= start for date in dates)
    return DataSet(
        name=name,
        kind="mart",
        rows=sum(each.rows for each in there),
        dates=len(dates),
        first_date=first,
        latest_date=latest,
        missing_days=missing,
        stored_bytes=stored_bytes,
        pushed_at=moment(max((each.pushed_at_ms for each in there), default=None)),
    )


def score_sets(scores: ScoreStore) -> list[DataSet]:
    """One entry per model; its rows are the newest day's, as earlier ones are not read any more."""
    found: list[DataSet] = []
    for model in scores.models():
        sets = scores.sets(model)  # newest first
        found.append(
            DataSet(
                name=model,
                kind="scores",
                rows=sets[0].rows,
                dates=len(sets),
                first_date=sets[-1].as_of,
                latest_date=sets[0].as_of,
                missing_days=0,  # a model need not run every day
                stored_bytes=scores.stored_bytes(model),
                pushed_at=moment(max(each.pushed_at_ms for each in sets)),
            )
        )
    return found


def quotas(used: dict[str, int], settings: TenantPlaneSettings) -> list[Quota]:
    """Every limit that the plan sets, and what is used of it."""
    limits = {
        "events_per_day": settings.events_per_day_max,
        "storage_bytes": settings.storage_max_bytes,
        "export_bytes_per_day": settings.export_bytes_per_day_max,
        "users": settings.users_max,
        "relay_bytes": settings.relay_budget_bytes,
    }
    return [
        Quota.model_validate(
            {
                "name": name,
                "used": used[name],
                "limit": limit,
                "share": None if limit is None else ratio(used[name], limit),
            }
        )
        for name, limit in limits.items()
    ]


def platform_use(marts: MartStore) -> dict[str, int]:
    """What the platform metered: the busiest of the last days, and all that it keeps."""
    latest = marts.latest_date("usage_daily")
    if latest is None:
        return {"events_per_day": 0, "storage_bytes": 0, "export_bytes_per_day": 0}
    [peak] = marts.query(PEAKS, "usage_daily", latest - dt.timedelta(days=PEAK_DAYS - 1), latest)
    [kept] = marts.query(STORED, "usage_daily", dt.date.min, latest)
    return {
        "events_per_day": int(str(peak["events"])),
        "storage_bytes": int(str(kept["stored"])),
        "export_bytes_per_day": int(str(peak["pulled"])),
    }
