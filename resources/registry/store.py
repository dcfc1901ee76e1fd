"""`Registry`: the stores of tenants, keys and audit as one door, each call one short transaction.

Nothing here does anything *to* a tenant's plane (`resources.tenant_driver` does), and no key is logged.
"""

from __future__ import annotations

from resources.registry.audit_store import AuditStore
from resources.registry.key_store import KeyStore
from resources.registry.tenant_store import TenantStore


class Registry(TenantStore, KeyStore, AuditStore):
    """The tenant registry in the database at `database_url`; safe for several threads and processes."""
