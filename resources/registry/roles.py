"""The names of roles. What each may do is policy (`control_plane/policies/`), who has which is `user_store`'s."""

from __future__ import annotations

from enum import StrEnum


class PlatformRole(StrEnum):
    """Roles of the company's own people, over every tenant."""

    PLATFORM_ADMIN = "platform_admin"
    DATA_ENGINEER = "data_engineer"
    ML_ENGINEER = "ml_engineer"
    SUPPORT = "support"


class TenantRole(StrEnum):
    """Roles inside one tenant."""

    TENANT_ADMIN = "tenant_admin"
    TENANT_ANALYST = "tenant_analyst"
    TENANT_APP = "tenant_app"
