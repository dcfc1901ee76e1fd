"""Final invoices in the registry: written once, never changed. What is in them is `resources.billing`'s."""

from __future__ import annotations

import datetime as dt
from typing import cast

from sqlalchemy import select

from resources.billing import Invoice
from resources.registry.quota_tables import InvoiceRow
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.tables import AuditRow


class InvoiceStore(Sessions):
    """Questions and additions."""

    def final_invoices(self, tenant_id: str) -> list[Invoice]:
        """The tenant's final invoices by month."""
        query = select(InvoiceRow).where(InvoiceRow.tenant_id == tenant_id).order_by(InvoiceRow.month)
        with self.reading() as session:
            return [cast("Invoice", row.document) for row in session.scalars(query)]

    def close_invoice(self, tenant_id: str, invoice: Invoice, actor: str) -> Invoice:
        """Make the invoice final; the one that is, when there is one already.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        month = invoice["month"]
        with self.writing() as session:
            tenant_row(session, tenant_id, lock=True)
            existing = session.get(InvoiceRow, (tenant_id, month))
            if existing is not None:
                return cast("Invoice", existing.document)
            session.add(
                InvoiceRow(tenant_id=tenant_id, month=month, document=dict(invoice), closed_at=now_utc())
            )
            after = {
                "month": month,
                "total_micros": invoice["total_micros"],
                "currency": invoice["currency"],
            }
            add_audit(session, actor, "invoice.closed", tenant_id, after=after)
            return invoice

    def plan_at(self, tenant_id: str, moment: dt.datetime) -> str:
        """The plan that the tenant was on at a moment, by the audit trail; before that its first one.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        changes = (
            select(AuditRow)
            .where(AuditRow.tenant_id == tenant_id)
            .where(AuditRow.action.in_(["tenant.requested", "tenant.plan_changed"]))
            .order_by(AuditRow.audit_id)
        )
        with self.reading() as session:
            plan = tenant_row(session, tenant_id).plan
            known = [(row.at, str(row.after["plan"])) for row in session.scalars(changes)]
        until = [found for at, found in known if at <= moment]
        return until[-1] if until else (known[0][1] if known else plan)
