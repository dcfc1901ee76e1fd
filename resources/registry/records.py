"""What the registry gives back: frozen values without a session behind them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from resources.errors import ContractError
from resources.registry.states import TenantState

TENANT_ID_PATTERN = r"^[a-z][a-z0-9_]{1,30}$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"


class Plan(StrEnum):
    """What a tenant pays for; quotas follow from it."""

    STARTER = "starter"
    STANDARD = "standard"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant. `revision` counts real changes of its desired state; run keys carry it."""

    tenant_id: str
    plan: str
    state: TenantState
    reason: str | None
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime
    currency: str = "USD"
    plane_url: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key as anyone may see it: never the key, never its digest."""

    key_id: str
    tenant_id: str
    kind: str
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class SkanSchemaVersion:
    """One version of what an app's SKAdNetwork conversion values stand for, in force from a day on."""

    tenant_id: str
    store_app_id: int
    version: int
    content_hash: str
    document: Mapping[str, Any]
    effective_from: dt.date
    created_at: dt.datetime
    created_by: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which tenant, why, and what changed. Entries are only ever added."""

    audit_id: int
    at: dt.datetime
    actor: str
    action: str
    tenant_id: str | None
    reason: str | None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""


def check_new_tenant(tenant_id: str, plan: str, currency: str) -> None:
    """Pass when a tenant of this id, plan and currency may be written down.

    Raises:
        ContractError: one of them is malformed; the message says which.
    """
    if re.fullmatch(TENANT_ID_PATTERN, tenant_id) is None:
        raise ContractError(
            f"tenant id {tenant_id!r} does not match {TENANT_ID_PATTERN}; "
            "use 2 to 31 lower-case letters, digits and underscores, a letter first"
        )
    if plan not in set(Plan):
        raise ContractError(f"tenant {tenant_id}: plan {plan!r} is unknown; use one of {', '.join(Plan)}")
    if re.fullmatch(CURRENCY_PATTERN, currency) is None:
        raise ContractError(f"tenant {tenant_id}: currency {currency!r} is not a three-letter ISO 4217 code")
