"""`Registry`: the stores of tenants, keys, rules, conversion documents and audit as one door.

Each call is one short transaction. Nothing here does anything *to* a tenant's plane
(`resources.tenant_drivers` does), and no key is logged.
"""

from __future__ import annotations

from resources.registry.audit_store import AuditStore
from resources.registry.key_store import KeyStore
from resources.registry.rule_store import RuleStore
from resources.registry.skan_store import SkanStore
from resources.registry.tenant_store import TenantStore


class Registry(TenantStore, KeyStore, RuleStore, SkanStore, AuditStore):
    """The tenant registry in the database at `database_url`; safe for several threads and processes."""
