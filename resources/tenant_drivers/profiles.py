"""What a plan gives a plane (`tenant_templates/profiles/<plan>.json`), read for both drivers. One source.

The file's top level are the plane's own limits (bytes), which both drivers hand to it; `chart` is what the
plan means in Kubernetes. Quotas at the door are not here.
"""

from __future__ import annotations

import json
from typing import Any

from resources.settings import APPLICATION_ROOT

TEMPLATES = APPLICATION_ROOT / "tenant_templates"
CHART_PART = "chart"


def plan_profile(plan: str) -> dict[str, str]:
    """A plan's limits as settings of the plane, upper case, without the prefix."""
    return {name.upper(): str(value) for name, value in _profile(plan).items() if name != CHART_PART}


def plan_chart_values(plan: str) -> dict[str, Any]:
    """What the plan means in Kubernetes, as values of the chart."""
    values: dict[str, Any] = _profile(plan)[CHART_PART]
    return values


def _profile(plan: str) -> dict[str, Any]:
    profile: dict[str, Any] = json.loads((TEMPLATES / "profiles" / f"{plan}.json").read_text())
    return profile
