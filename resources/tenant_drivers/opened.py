"""Which driver these settings mean: an exhaustive choice, made once."""

from __future__ import annotations

from resources.registry import Registry
from resources.settings import Settings
from resources.tenant_drivers.protocol import TenantDriver


def open_tenant_driver(settings: Settings, registry: Registry) -> TenantDriver:
    """The driver that `UNMOGROWP_TENANT_DRIVER` names; what only one of them needs is imported for it alone."""
    if settings.tenant_driver == "helm":
        from resources.helm_settings import load_helm_settings  # noqa: PLC0415 - read where it is wanted
        from resources.tenant_drivers.helm import HelmTenantDriver  # noqa: PLC0415 - loads 85 MB of Helm

        return HelmTenantDriver(settings, load_helm_settings(), registry)
    from resources.tenant_drivers.local import LocalTenantDriver  # noqa: PLC0415 - as above

    return LocalTenantDriver(settings, registry)
