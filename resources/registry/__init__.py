"""The tenant registry: tenants, their states, keys, rules and the audit trail, in SQLite or PostgreSQL.

Its migrations live beside it (`migrations/`, see `docs/adr/0002-registry-lives-in-resources.md`).
What is done *to* a tenant's plane is in `resources.tenant_drivers`; HTTP is in `control_plane`.
"""

from resources.registry.audit_chain import AuditHead, ChainFault, ChainVerdict
from resources.registry.audit_store import AuditFilter
from resources.registry.keys import KEY_KINDS, digest_of, key_id_of
from resources.registry.quota_store import DoorLimits, Limit, QuotaAlert
from resources.registry.records import AuditEntry, KeyRecord, Plan, SkanSchemaVersion, Tenant
from resources.registry.states import ALLOWED_TRANSITIONS, TenantState
from resources.registry.store import Registry

__all__ = [
    "ALLOWED_TRANSITIONS",
    "KEY_KINDS",
    "AuditEntry",
    "AuditFilter",
    "AuditHead",
    "ChainFault",
    "ChainVerdict",
    "DoorLimits",
    "KeyRecord",
    "Limit",
    "Plan",
    "QuotaAlert",
    "Registry",
    "SkanSchemaVersion",
    "Tenant",
    "TenantState",
    "digest_of",
    "key_id_of",
]
