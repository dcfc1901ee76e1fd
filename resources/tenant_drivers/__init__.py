"""What is done *to* a tenant's plane: one protocol, a driver for this machine and one for Kubernetes.

Which step comes when, and the tenant's state, are decided in `assets.tenants` and `resources.registry`.
"""

from resources.tenant_drivers.opened import open_tenant_driver
from resources.tenant_drivers.protocol import TenantDriver

__all__ = ["TenantDriver", "open_tenant_driver"]
