"""What a plan gives a plane (`tenant_templates/profiles/<plan>.json`), read for both drivers. One source.

The file's top level are the plane's own limits (bytes), which both drivers hand to it; `chart` is what the
plan means in Kubernetes. Quotas are `resources.plans`', or the tenant's own: a plane is told those that it shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from resources.plans import Quota
from resources.registry import Limit
from resources.settings import APPLICATION_ROOT

TEMPLATES = APPLICATION_ROOT / "tenant_templates"
CHART_PART = "chart"
PLANE_QUOTAS = {
    Quota.EVENTS_PER_DAY: "EVENTS_PER_DAY_MAX",
    Quota.STORAGE_BYTES: "STORAGE_MAX_BYTES",
    Quota.EXPORT_BYTES_PER_DAY: "EXPORT_BYTES_PER_DAY_MAX",
    Quota.USERS: "USERS_MAX",
}


def plan_profile(plan: str) -> dict[str, str]:
    """A plan's limits as settings of the plane, upper case, without the prefix."""
    return {name.upper(): str(value) for name, value in _profile(plan).items() if name != CHART_PART}


def plan_chart_values(plan: str) -> dict[str, Any]:
    """What the plan means in Kubernetes, as values of the chart."""
    values: dict[str, Any] = _profile(plan)[CHART_PART]
    return values


def quota_settings(limits: Iterable[Limit]) -> dict[str, str]:
    """A tenant's quotas as settings of its plane, without the prefix."""
    return {PLANE_QUOTAS[each.quota]: str(each.limit) for each in limits if each.quota in PLANE_QUOTAS}


def _profile(plan: str) -> dict[str, Any]:
    profile: dict[str, Any] = json.loads((TEMPLATES / "profiles" / f"{plan}.json").read_text())
    return profile
