"""What a plan allows and what it costs: `tenant_templates/plans.json`, the one place for both.

Quotas here are every tenant's of the plan; what an operator set for one tenant is `resources.registry`'s. A plane's own
buffers and its size in Kubernetes are in `tenant_templates/profiles/` (`resources.tenant_drivers.profiles`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from resources.errors import ContractError
from resources.settings import APPLICATION_ROOT

PLANS_FILE = APPLICATION_ROOT / "tenant_templates" / "plans.json"
LIMIT_MAX = 2**62  # of any quota: a BIGINT column holds it, and sums of two as well
ALERT_SHARES_PERCENT = (80, 100)


class Quota(StrEnum):
    """What is limited. A day is one of UTC."""

    EVENTS_PER_SECOND = "events_per_second"
    EVENTS_PER_DAY = "events_per_day"
    STORAGE_BYTES = "storage_bytes"
    EXPORT_BYTES_PER_DAY = "export_bytes_per_day"
    USERS = "users"


@dataclass(frozen=True, slots=True)
class Price:
    """What a month of a plan costs: the base, with so many events in it, and each further million."""

    currency: str
    base_micros: int
    included_events: int
    micros_per_million_events: int


def plan_quotas(plan: str) -> Mapping[Quota, int]:
    """The plan's limit of every quota.

    Raises:
        ContractError: there is no such plan.
    """
    quotas = _plan(plan)["quotas"]
    return {quota: int(quotas[quota]) for quota in Quota}


def plan_price(plan: str) -> Price:
    """What the plan costs.

    Raises:
        ContractError: there is no such plan.
    """
    price = _plan(plan)["price"]
    return Price(_document()["currency"], **{name: int(value) for name, value in price.items()})


def quota_named(name: str) -> Quota:
    """The quota of this name.

    Raises:
        ContractError: there is none.
    """
    if name not in set(Quota):
        raise ContractError(f"there is no quota {name!r}: use one of {', '.join(Quota)}")
    return Quota(name)


def shares_reached(used: int, limit: int) -> tuple[int, ...]:
    """Which of the shares that are told about (80 %, 100 %) this use has reached."""
    return tuple(share for share in ALERT_SHARES_PERCENT if used * 100 >= limit * share)


def _plan(plan: str) -> dict[str, Any]:
    plans: dict[str, dict[str, Any]] = _document()["plans"]
    if plan not in plans:
        raise ContractError(f"plan {plan!r} is not in {PLANS_FILE.name}; it has {', '.join(plans)}")
    return plans[plan]


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(PLANS_FILE.read_text())
    return document
