"""The chart's values of one tenant, and the names it has in Kubernetes: pure functions, no cluster and no secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resources.errors import ContractError
from resources.registry import Limit, Tenant
from resources.tenant_drivers.profiles import plan_chart_values, plan_profile, quota_settings

# The plane's settings that the chart has values for, by the profile's name.
PLANE_LIMITS = {
    "RELAY_BUDGET_BYTES": "relayBudgetBytes",
    "PUSH_MAX_BYTES": "pushMaxBytes",
    "PUSH_MAX_UNPACKED_BYTES": "pushMaxUnpackedBytes",
    "EVENTS_PER_DAY_MAX": "eventsPerDayMax",
    "STORAGE_MAX_BYTES": "storageMaxBytes",
    "EXPORT_BYTES_PER_DAY_MAX": "exportBytesPerDayMax",
    "USERS_MAX": "usersMax",
}


@dataclass(frozen=True, slots=True)
class ClusterNames:
    """What a tenant's things are called in the cluster."""

    slug: str

    @property
    def release(self) -> str:
        """The Helm release, and every object of the plane."""
        return f"client-{self.slug}"

    @property
    def namespace(self) -> str:
        """The tenant's own namespace."""
        return f"unmogrowp-client-{self.slug}"

    @property
    def secret(self) -> str:
        """The Secret that the pods read."""
        return f"client-{self.slug}-secrets"

    @property
    def migration_job(self) -> str:
        """The Job that migrates a PostgreSQL database."""
        return f"client-{self.slug}-migrate"


def cluster_names(tenant_id: str) -> ClusterNames:
    """The names of this tenant; two tenants never share one, for an id holds no hyphen.

    Raises:
        ContractError: no host name can be made of the id.
    """
    if tenant_id.endswith("_"):
        raise ContractError(
            f"tenant {tenant_id}: an id that ends in an underscore makes no host name; request another id"
        )
    return ClusterNames(tenant_id.replace("_", "-"))


def plane_host(tenant_id: str, domain: str) -> str:
    """`client<id>.<domain>`."""
    return f"client{cluster_names(tenant_id).slug}.{domain}"


def tenant_values(
    tenant: Tenant,
    quotas: Iterable[Limit],
    *,
    domain: str,
    image: Mapping[str, str],
    ingest_url: str,
    has_postgresql: bool,
    everywhere: Mapping[str, Any],
) -> dict[str, Any]:
    """The values of this tenant's release: the plan's, over them `everywhere`, over both what is the tenant's own.

    Raises:
        ContractError: the id makes no host name, or the plan needs PostgreSQL and there is none.
    """
    names = cluster_names(tenant.tenant_id)
    values = overlaid(plan_chart_values(tenant.plan), everywhere)
    if values.get("autoscaling", {}).get("enabled") and not has_postgresql:
        raise ContractError(
            f"tenant {tenant.tenant_id}: plan {tenant.plan} runs several replicas, which share a PostgreSQL "
            "database; set UNMOGROWP_HELM_DATABASE_ADMIN_URL, or choose a smaller plan"
        )
    settings = plan_profile(tenant.plan) | quota_settings(quotas)
    limits = {PLANE_LIMITS[name]: int(value) for name, value in settings.items()}
    own = {
        "tenantId": tenant.tenant_id,
        "plan": tenant.plan,
        "host": plane_host(tenant.tenant_id, domain),
        "secretName": names.secret,
        "image": dict(image),
        "plane": {"currency": tenant.currency, "ingestUrl": ingest_url, **limits},
        "database": {"kind": "postgresql" if has_postgresql else "sqlite"},
    }
    return overlaid(values, own)


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, member by member; where both say something, `above` does. Lists are replaced whole."""
    result = dict(below)
    for name, value in above.items():
        beneath = result.get(name)
        both_are_groups = isinstance(value, Mapping) and isinstance(beneath, Mapping)
        result[name] = overlaid(beneath, value) if both_are_groups and beneath is not None else value
    return result
