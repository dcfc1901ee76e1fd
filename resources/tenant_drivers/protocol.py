"""`TenantDriver`: the steps that make, run, upgrade and remove one tenant's plane. No driver's code is here.

Every step is idempotent and may be cut off anywhere: the next call completes it. The order is that of the
methods: a plane's secrets are there before anything that reads them (ADR 0016).
"""

from __future__ import annotations

from typing import Protocol


class TenantDriver(Protocol):
    """What can be done to one tenant's plane. A failed step may be tried again."""

    def render(self, tenant_id: str) -> str:
        """Write down the plane's values (no secrets) for its plan; the URL where it will answer."""

    def store_secrets(self, tenant_id: str) -> None:
        """Mint what is missing, keep it where the plane reads it, and register the keys' digests."""

    def apply(self, tenant_id: str) -> None:
        """Make the plane run as its values say."""

    def migrate(self, tenant_id: str) -> None:
        """See to it that the plane's own database is at the newest schema."""

    def register_export_target(self, tenant_id: str) -> None:
        """Tell the global plane where, and with which credentials, to push marts and scores."""

    def smoke_test(self, tenant_id: str) -> float:
        """Wait until the plane answers as this tenant; seconds it took."""

    def stop(self, tenant_id: str) -> None:
        """Stop the plane and wait until nothing of it runs."""

    def forget_export_target(self, tenant_id: str) -> None:
        """Push nothing to the plane any more."""

    def revoke_secrets(self, tenant_id: str) -> None:
        """Revoke every key of the tenant."""

    def destroy(self, tenant_id: str) -> None:
        """Remove the plane and its data; nothing happens when it is gone already."""

    def version(self, tenant_id: str) -> str | None:
        """The version that the plane was last told to run; None when there is no plane."""

    def move_to(self, tenant_id: str, version: str) -> None:
        """Make the plane run `version`; its data stays. The smoke test says whether it does."""
