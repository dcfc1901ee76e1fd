"""A tenant's invoices: drafts computed from `usage_daily` now, final ones as they were kept. Amounts: `billing`.

A month that has become final is written down by whoever asks first, the nightly run or a reader, and months in their
order; nothing is left to that: both compute the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from resources.billing import (
    Invoice,
    corrections_of,
    days_of_month,
    final_from,
    invoice_for,
    month_of,
    months_between,
)
from resources.errors import InvoiceNotFoundError
from resources.plans import plan_price
from resources.registry import TenantState
from resources.usage import usage_of

if TYPE_CHECKING:
    from resources.clickhouse import ClickHouse
    from resources.registry import Registry, Tenant


@dataclass(frozen=True, slots=True)
class Billed:
    """One invoice and whether it can still change; `final_from` is the day from which on it cannot."""

    tenant_id: str
    status: Literal["draft", "final"]
    final_from: dt.date
    invoice: Invoice


class Billing:
    """The invoices of a registry's tenants over their marts."""

    def __init__(self, registry: Registry, clickhouse: ClickHouse, late_days: int, actor: str) -> None:
        self._registry = registry
        self._clickhouse = clickhouse
        self._late_days = late_days
        self._actor = actor

    def invoices(self, tenant_id: str, today: dt.date) -> list[Billed]:
        """Every month since the tenant was requested, the newest first, what has become final kept.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        tenant = self._registry.get(tenant_id)
        final = self._registry.final_invoices(tenant_id)
        found = []
        for month in self._months(tenant, today):
            kept = next((invoice for invoice in final if invoice["month"] == month), None)
            is_final = kept is not None or today >= final_from(month, self._late_days)
            invoice = kept or self._computed(tenant, month, final)
            if kept is None and is_final:
                invoice = self._registry.close_invoice(tenant_id, invoice, self._actor)
                final.append(invoice)
            found.append(
                Billed(
                    tenant_id, "final" if is_final else "draft", final_from(month, self._late_days), invoice
                )
            )
        return found[::-1]

    def invoice(self, tenant_id: str, month: str, today: dt.date) -> Billed:
        """One month's.

        Raises:
            TenantNotFoundError: there is no such tenant.
            ContractError: the month is none.
            InvoiceNotFoundError: the tenant was not there in that month, or it has not begun.
        """
        days_of_month(month)
        for billed in self.invoices(tenant_id, today):
            if billed.invoice["month"] == month:
                return billed
        raise InvoiceNotFoundError(
            f"tenant {tenant_id} has no invoice for {month}: it has one for every month since it was requested"
        )

    def _months(self, tenant: Tenant, today: dt.date) -> list[str]:
        last = _last_day(tenant) or today
        return months_between(month_of(tenant.created_at.date()), month_of(min(last, today)))

    def _computed(self, tenant: Tenant, month: str, final: list[Invoice]) -> Invoice:
        first, last = days_of_month(month)
        midnight = dt.datetime.combine(last + dt.timedelta(days=1), dt.time(), dt.UTC)
        plan = self._registry.plan_at(tenant.tenant_id, midnight - dt.timedelta(microseconds=1))
        begun, ended = max(first, tenant.created_at.date()), min(last, _last_day(tenant) or last)
        events_then = {each["month"]: self._events(tenant, each["month"]) for each in final}
        return invoice_for(
            month,
            plan,
            plan_price(plan),
            events=self._events(tenant, month),
            billed_days=max(0, (ended - begun).days + 1),
            corrections=corrections_of(final, events_then),
        )

    def _events(self, tenant: Tenant, month: str) -> int:
        days = usage_of(self._clickhouse, tenant.tenant_id, *days_of_month(month))
        return sum(day.events_clean for day in days)


def _last_day(tenant: Tenant) -> dt.date | None:
    """The day on which a deleted tenant was deleted."""
    return tenant.updated_at.date() if tenant.state is TenantState.DELETED else None
