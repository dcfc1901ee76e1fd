"""Bodies about quotas, usage and invoices: camelCase JSON over the registry's and billing's records. No logic."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from control_plane.messages import Message
from resources.invoices import Billed
from resources.plans import LIMIT_MAX, Quota
from resources.registry import Limit, Plan, QuotaAlert


class LimitOut(Message):
    """One quota; `limit` is in force, `planLimit` what the plan alone would say."""

    quota: Quota
    limit: int
    plan_limit: int
    is_override: bool


class QuotasOut(Message):
    """A tenant's quotas."""

    tenant_id: str
    plan: Plan
    quotas: list[LimitOut]


class NewLimits(Message):
    """Limits that change; null goes back to the plan's, what is left out stays."""

    events_per_second: int | None = Field(default=None, ge=1, le=LIMIT_MAX)
    events_per_day: int | None = Field(default=None, ge=1, le=LIMIT_MAX)
    storage_bytes: int | None = Field(default=None, ge=1, le=LIMIT_MAX)
    export_bytes_per_day: int | None = Field(default=None, ge=1, le=LIMIT_MAX)
    users: int | None = Field(default=None, ge=1, le=LIMIT_MAX)

    def changes(self) -> dict[Quota, int | None]:
        """Those that were named."""
        return {Quota(name): getattr(self, name) for name in sorted(self.model_fields_set)}


class QuotaChange(Message):
    """What an operator sets for one tenant."""

    limits: NewLimits
    reason: str | None = Field(default=None, max_length=500)


class QuotaAlertOut(Message):
    """A tenant reached 80 or 100 % of a quota in a period: a day of UTC, or a month for what is kept."""

    alert_id: int
    tenant_id: str
    quota: Quota
    period: str
    share_percent: int
    used: int
    limit: int
    at: dt.datetime


class QuotaAlertPage(Message):
    """Alerts, oldest first; `next` is the `after` of the following page."""

    items: list[QuotaAlertOut]
    next: int | None


class UsageDayOut(Message):
    """One event date; received = clean + duplicate + quarantined."""

    event_date: dt.date
    events_received: int
    events_accepted: int
    events_clean: int
    events_duplicate: int
    events_quarantined: int
    active_users: int
    stored_bytes: int
    pulled_bytes: int = Field(description="of exports, on that day")


class UsageOut(Message):
    """A tenant's metered days."""

    tenant_id: str
    days: list[UsageDayOut]


class LineOut(Message):
    """One line of an invoice; a correction names the earlier month it is for."""

    kind: Literal["base", "events", "correction"]
    month: str
    description: str
    quantity: int
    amount_micros: int


class InvoiceOut(Message):
    """One month. Amounts are millionths of the currency's unit; a draft follows the usage as it is now."""

    tenant_id: str
    month: str
    status: Literal["draft", "final"]
    final_from: dt.date
    plan: Plan
    currency: str
    events: int
    lines: list[LineOut]
    total_micros: int


class InvoiceList(Message):
    """Every month since the tenant was requested, the newest first."""

    items: list[InvoiceOut]


def quotas_out(tenant_id: str, plan: str, limits: Sequence[Limit]) -> QuotasOut:
    """The answer about a tenant's limits."""
    return QuotasOut(
        tenant_id=tenant_id, plan=Plan(plan), quotas=[LimitOut.model_validate(limit) for limit in limits]
    )


def alert_page(found: Sequence[QuotaAlert], limit: int) -> QuotaAlertPage:
    """A page of alerts, of which one more than `limit` was asked for."""
    page = found[:limit]
    following = page[-1].alert_id if len(found) > limit else None
    return QuotaAlertPage(items=[QuotaAlertOut.model_validate(alert) for alert in page], next=following)


def invoice_out(billed: Billed) -> InvoiceOut:
    """The answer about one invoice."""
    invoice = billed.invoice
    return InvoiceOut(
        tenant_id=billed.tenant_id,
        month=invoice["month"],
        status=billed.status,
        final_from=billed.final_from,
        plan=Plan(invoice["plan"]),
        currency=invoice["currency"],
        events=invoice["events"],
        lines=[LineOut(**line) for line in invoice["lines"]],
        total_micros=invoice["total_micros"],
    )
