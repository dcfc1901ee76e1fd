"""Personal values that the native scan has met, over landings: the pseudonym of each, and whose it is.

They are in the extension's own memory, because most values of a landing were in an earlier one: looked up in Python
they cost half a microsecond per event more. How pseudonyms are made is `resources.pii`'s; what the slow way has met is
`pii.TenantEvents`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_api.fast_lane import KIND_NUMBERS, new_columns, new_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_api._native import Columns
    from ingest_api.pii import TenantEvents
    from resources.vault import Original, Vault

# In memory at once, 400 bytes each: a first landing of 100,000 events brings 40,000.
ORIGINALS_AT_ONCE = 8_000
_KIND_NAMES = {number: kind for kind, number in KIND_NUMBERS.items()}


class KnownValues:
    """What `FastColumns` of one landing after another write down. One thread at a time."""

    def __init__(self) -> None:
        self._native = new_values()
        self._tenants: dict[str, int] = {}

    def __len__(self) -> int:
        """Values, and values of subjects: each takes 60 to 150 bytes."""
        return len(self._native)

    @property
    def tenants(self) -> list[str]:
        """The tenants, by their number."""
        return list(self._tenants)

    def number(self, tenant_id: str) -> int:
        """The tenant's number here."""
        return self._tenants.setdefault(tenant_id, len(self._tenants))

    def new_columns(self) -> Columns:
        """An empty gathering of events that knows these values."""
        return new_columns(self._native)

    def name(self, tenant_events: Callable[[str], TenantEvents]) -> None:
        """Give new values their pseudonyms."""
        tenants = [tenant_events(tenant_id) for tenant_id in self._tenants]
        unnamed = self._native.unnamed()
        self._native.name(
            [tenants[number].new_token(_KIND_NAMES[kind], text) for number, kind, text in unnamed]
        )

    def store_originals(self, tenant_events: Callable[[str], TenantEvents], vault: Vault) -> None:
        """Send the originals that are new of their subject to the vault; returns when they are durable there."""
        names = self.tenants
        while untold := self._native.untold(ORIGINALS_AT_ONCE):
            originals: dict[str, list[Original]] = {}
            for number, kind, subject, token, text in untold:
                tenant = tenant_events(names[number])
                original = tenant.original(subject, _KIND_NAMES[kind], token, text)
                originals.setdefault(names[number], []).append(original)
            for tenant_id, of_tenant in originals.items():
                vault.store(tenant_id, of_tenant)
            self._native.told(len(untold))  # not before: from here on they are never offered again
