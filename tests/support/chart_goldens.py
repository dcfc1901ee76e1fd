"""The chart rendered for the three plans: `python -m tests.support.chart_goldens` writes the goldens again.

Addresses are documentation's own. No assertions here.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import yaml

from resources.plans import plan_quotas
from resources.registry import Limit, Plan, Tenant, TenantState
from resources.tenant_drivers.helm_engine import CHART, rendered
from resources.tenant_drivers.helm_values import cluster_names, tenant_values
from resources.tenant_drivers.profiles import TEMPLATES

GOLDENS = TEMPLATES / "goldens"
TENANT = "t123"
EVERYWHERE: dict[str, Any] = {
    "egress": {"ingest": {"cidrs": ["192.0.2.10/32"]}},
    "database": {"cidrs": ["192.0.2.20/32"]},
    "ingress": {"tlsSecretName": "clients-tls"},
    "serviceMonitor": {"enabled": True},
}
HEAD = "# Rendered by Helm's engine; `python -m tests.support.chart_goldens` writes it again.\n"


def golden_values(plan: str) -> dict[str, Any]:
    """What the driver would hand to the chart; enterprise with PostgreSQL, the others without."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    tenant = Tenant(
        tenant_id=TENANT,
        plan=plan,
        state=TenantState.PROVISIONING,
        reason=None,
        revision=2,
        currency="EUR",
        plane_url=None,
        created_at=now,
        updated_at=now,
    )
    return tenant_values(
        tenant,
        [Limit(quota, limit, limit) for quota, limit in plan_quotas(plan).items()],
        domain="example.com",
        image={"repository": "registry.invalid/unmogrowp/tenant-plane", "tag": "1.0.0"},
        ingest_url="https://ingest.example.com",
        has_postgresql=plan == Plan.ENTERPRISE,
        everywhere=EVERYWHERE,
    )


def manifests(plan: str, chart: Path = CHART, **changes: Any) -> list[dict[str, Any]]:
    """Every object of the plan's plane, in a stable order."""
    found = rendered(golden_values(plan) | changes, cluster_names(TENANT), chart)
    return [document for name in sorted(found) for document in found[name]]


def golden_text(plan: str) -> str:
    """The plan's manifests as one file."""
    return HEAD + yaml.safe_dump_all(manifests(plan), sort_keys=True, width=110)


def golden_path(plan: str) -> Path:
    return GOLDENS / f"{plan}.yaml"


if __name__ == "__main__":
    for each in Plan:
        golden_path(each.value).write_text(golden_text(each.value))
