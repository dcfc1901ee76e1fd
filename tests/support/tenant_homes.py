"""A registry and a tenant driver over an empty home. No assertions here."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import cast

from resources.registry import Registry, TenantState
from resources.settings import Settings
from resources.tenant_drivers.local import LocalTenantDriver


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


def opened_home(home: Path, kind: type[Registry] = Registry) -> tuple[Settings, Registry, LocalTenantDriver]:
    settings = Settings(home=home, tenant_port_base=_free_port())
    registry = kind(settings.registry_url)
    registry.migrate()
    return settings, registry, LocalTenantDriver(settings, registry, smoke_test_timeout_s=30)


def provisioning(registry: Registry, *tenant_ids: str) -> None:
    for tenant_id in tenant_ids:
        registry.request(tenant_id, "starter", "ann")
        registry.transition(tenant_id, TenantState.PROVISIONING, actor="job")


def prepared(driver: LocalTenantDriver, tenant_id: str) -> str:
    """Everything of the plane but its process; its URL."""
    url = driver.render(tenant_id)
    driver.store_secrets(tenant_id)
    driver.register_export_target(tenant_id)
    return url
