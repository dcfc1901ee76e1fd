"""What the lander remembers of personal values between landings, by its two ways; forgotten together.

Only saves work: what is forgotten is made, and offered to the vault, again. What the vault was not given yet is
here until it has it; a landing that fails before reads the same records again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_api import fast_lane
from ingest_api.known_values import KnownValues
from ingest_api.pii import TenantEvents

if TYPE_CHECKING:
    from resources.pii import Keyring
    from resources.vault import Vault

# Values, and values of subjects, of all tenants: each takes 60 to 200 bytes. A landing of 100,000 events of 10,000
# devices meets 70,000 of them.
REMEMBERED_MAX = 300_000


class Remembered:
    """The tenants' pseudonyms, and what the vault has of them. One thread at a time."""

    def __init__(self, keyring: Keyring, *, is_native: bool = True) -> None:
        self.known = KnownValues() if is_native and fast_lane.is_built() else None
        self._keyring = keyring
        self._tenants: dict[str, TenantEvents] = {}

    def tenant(self, tenant_id: str) -> TenantEvents:
        """The tenant's pseudonyms."""
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = self._tenants[tenant_id] = TenantEvents(self._keyring, tenant_id)
        return tenant

    def name_values(self) -> None:
        """Give what the native scan has met its pseudonyms."""
        if self.known is not None:
            self.known.name(self.tenant)

    def store_originals(self, vault: Vault) -> None:
        """Send what is new to the vault; returns when it is durable there."""
        for tenant in self._tenants.values():
            tenant.store_originals(vault)
        if self.known is not None:
            self.known.store_originals(self.tenant, vault)

    def forget_if_large(self) -> None:
        """Start from nothing when it takes too much memory. Between landings only: rows point into it."""
        known = len(self.known) if self.known is not None else 0
        if known + sum(tenant.remembered for tenant in self._tenants.values()) > REMEMBERED_MAX:
            self._tenants.clear()
            self.known = KnownValues() if self.known is not None else None
