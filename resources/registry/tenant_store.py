"""Tenants in the registry: asked for, moved between states, put on another plan. Each change is audited."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.errors import ContractError, TenantStateError
from resources.registry.records import Plan, Tenant, check_new_tenant
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.states import TenantState, check_transition, step_to_resumption, steps_to_deletion
from resources.registry.tables import TenantRow

Tenants: TypeAlias = list[Tenant]  # inside the class, `list` is the method


class TenantStore(Sessions):
    """Questions and changes of tenants."""

    def request(self, tenant_id: str, plan: str, actor: str, currency: str = "USD") -> Tenant:
        """Write down that a tenant is wanted; the same request again returns it as it is.

        Raises:
            ContractError: id, plan or currency is malformed.
            TenantStateError: the id is taken, with another plan or currency, or by a deleted tenant.
        """
        check_new_tenant(tenant_id, plan, currency)
        with self.writing() as session:
            if (existing := session.get(TenantRow, tenant_id)) is not None:
                return _same_request(existing, plan, currency)
            now = now_utc()
            row = TenantRow(
                tenant_id=tenant_id,
                plan=plan,
                state=TenantState.REQUESTED,
                reason=None,
                revision=1,
                currency=currency,
                plane_url=None,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            add_audit(session, actor, "tenant.requested", tenant_id, after=_seen(row))
            session.flush()
            return _tenant(row)

    def get(self, tenant_id: str) -> Tenant:
        """The tenant of this id.

        Raises:
            TenantNotFoundError: there is none.
        """
        with self.reading() as session:
            return _tenant(tenant_row(session, tenant_id))

    def list(self, *states: TenantState) -> Tenants:
        """Tenants in any of `states` (all when none is given), by id."""
        query = select(TenantRow).order_by(TenantRow.tenant_id)
        if states:
            query = query.where(TenantRow.state.in_([str(state) for state in states]))
        with self.reading() as session:
            return [_tenant(row) for row in session.scalars(query)]

    def transition(
        self, tenant_id: str, state: TenantState, *, actor: str, reason: str | None = None
    ) -> Tenant:
        """Move a tenant to `state`; being there already changes nothing and audits nothing.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: its state does not allow this.
            ContractError: `failed` without a reason.
        """
        with self.writing() as session:
            row = tenant_row(session, tenant_id, lock=True)
            _move(session, row, TenantState(state), actor, reason)
            return _tenant(row)

    def request_deletion(self, tenant_id: str, actor: str, reason: str | None = None) -> Tenant:
        """Take a tenant to `deleting`, suspending it first when it is active; again changes nothing.

        Raises:
            TenantNotFoundError: there is no such tenant; nothing is written.
            TenantStateError: it is being provisioned now.
        """
        with self.writing() as session:
            row = tenant_row(session, tenant_id, lock=True)
            for state in steps_to_deletion(tenant_id, TenantState(row.state)):
                _move(session, row, state, actor, reason)
            return _tenant(row)

    def resume(self, tenant_id: str, actor: str, reason: str | None = None) -> Tenant:
        """Make a suspended tenant active, or have a failed one provisioned again; again changes nothing.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: there is nothing to resume.
        """
        with self.writing() as session:
            row = tenant_row(session, tenant_id, lock=True)
            _move(session, row, step_to_resumption(tenant_id, TenantState(row.state)), actor, reason)
            return _tenant(row)

    def change_plan(self, tenant_id: str, plan: str, actor: str) -> Tenant:
        """Put an active or suspended tenant on another plan; the same plan again changes nothing.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: it is neither active nor suspended.
            ContractError: the plan is unknown.
        """
        with self.writing() as session:
            row = tenant_row(session, tenant_id, lock=True)
            check_new_tenant(tenant_id, plan, row.currency)
            if row.state not in {TenantState.ACTIVE, TenantState.SUSPENDED}:
                raise TenantStateError(
                    f"tenant {tenant_id} is {row.state}; its plan can change once it is active"
                )
            if row.plan != plan:
                before = _seen(row)
                row.plan, row.revision, row.updated_at = str(Plan(plan)), row.revision + 1, now_utc()
                add_audit(session, actor, "tenant.plan_changed", tenant_id, before=before, after=_seen(row))
            return _tenant(row)

    def set_plane_url(self, tenant_id: str, plane_url: str | None, actor: str) -> Tenant:
        """Record where the tenant's plane answers; the same URL again changes nothing.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        with self.writing() as session:
            row = tenant_row(session, tenant_id, lock=True)
            if row.plane_url != plane_url:
                before = {"plane_url": row.plane_url}
                row.plane_url, row.updated_at = plane_url, now_utc()
                after = {"plane_url": plane_url}
                add_audit(session, actor, "tenant.plane_url_set", tenant_id, before=before, after=after)
            return _tenant(row)


def _move(session: Session, row: TenantRow, state: TenantState, actor: str, reason: str | None) -> None:
    if not check_transition(row.tenant_id, TenantState(row.state), state):
        return
    if state is TenantState.FAILED and not reason:
        raise ContractError(f"tenant {row.tenant_id} cannot become failed without a reason; say what failed")
    before = _seen(row)
    row.state, row.reason = str(state), reason
    row.revision, row.updated_at = row.revision + 1, now_utc()
    add_audit(
        session, actor, f"tenant.{state}", row.tenant_id, reason=reason, before=before, after=_seen(row)
    )


def _same_request(row: TenantRow, plan: str, currency: str) -> Tenant:
    if row.state in {TenantState.DELETING, TenantState.DELETED}:
        raise TenantStateError(
            f"tenant {row.tenant_id} is {row.state} and its id is never used again; choose another"
        )
    if (row.plan, row.currency) != (plan, currency):
        raise TenantStateError(
            f"tenant {row.tenant_id} exists with plan {row.plan} and currency {row.currency}; "
            "upgrade it, or choose another id"
        )
    return _tenant(row)


def _seen(row: TenantRow) -> dict[str, Any]:
    return {"state": str(row.state), "plan": row.plan, "reason": row.reason, "revision": row.revision}


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(
        tenant_id=row.tenant_id,
        plan=row.plan,
        state=TenantState(row.state),
        reason=row.reason,
        revision=row.revision,
        currency=row.currency,
        plane_url=row.plane_url,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
