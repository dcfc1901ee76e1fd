"""`Registry`: every store of the registry as one door: tenants, keys, rules, users, quotas, deliveries, audit.

Each call is one short transaction. Nothing here does anything *to* a tenant's plane
(`resources.tenant_drivers` does), and no key is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from resources.registry.answer_store import AnswerStore
from resources.registry.audit_store import AuditStore
from resources.registry.circuit_store import CircuitStore
from resources.registry.delivery_store import DeliveryStore
from resources.registry.destination_store import DestinationStore
from resources.registry.invoice_store import InvoiceStore
from resources.registry.key_store import KeyStore
from resources.registry.quota_store import QuotaStore
from resources.registry.rule_store import RuleStore
from resources.registry.session_store import SessionStore
from resources.registry.skan_store import SkanStore
from resources.registry.tenant_store import TenantStore
from resources.registry.user_store import UserStore

if TYPE_CHECKING:
    from resources.settings import Settings


class Registry(
    TenantStore,
    KeyStore,
    RuleStore,
    SkanStore,
    AuditStore,
    UserStore,
    SessionStore,
    AnswerStore,
    QuotaStore,
    InvoiceStore,
    DestinationStore,
    DeliveryStore,
    CircuitStore,
):
    """The tenant registry in the database at `database_url`; safe for several threads and processes."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The registry of these settings; the audit trail's head is signed with the keyring."""

        def audit_key() -> bytes:
            from resources.platform_keys import AUDIT_HEAD, platform_key  # noqa: PLC0415 - only writers need it

            return platform_key(settings, AUDIT_HEAD)

        return cls(settings.registry_url, audit_key)
