"""Quotas in the registry: the plan's limits, what an operator set over them, and alerts, each told once.

Enforcing is elsewhere: events at the door (`ingest_api.quotas`), pulled bytes and users in the control plane, which
count here. Limits and prices of plans are `resources.plans`'.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.errors import ContractError, QuotaExceededError, UsersQuotaError
from resources.plans import LIMIT_MAX, Quota, plan_quotas, shares_reached
from resources.registry.quota_tables import PulledBytesRow, QuotaAlertRow, QuotaRow
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.states import STATES_WITH_LIVE_KEYS
from resources.registry.tables import TenantRow

logger = logging.getLogger(__name__)


class DoorLimits(NamedTuple):
    """What the door enforces."""

    events_per_second: int
    events_per_day: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A tenant's limit of one quota; `plan_limit` is what its plan says, in force unless an operator set another."""

    quota: Quota
    limit: int
    plan_limit: int

    @property
    def is_override(self) -> bool:
        """Whether an operator set it."""
        return self.limit != self.plan_limit


@dataclass(frozen=True, slots=True)
class QuotaAlert:
    """A tenant reached so much of a quota in a period: a day of UTC, or a month for what is there and not sent."""

    alert_id: int
    tenant_id: str
    quota: str
    period: str
    share_percent: int
    used: int
    limit: int
    at: dt.datetime

    def __str__(self) -> str:
        return (
            f"tenant {self.tenant_id} has used {self.used} of {self.limit} {self.quota} ({self.share_percent} % "
            f"reached, {self.period}): put it on another plan with `unmogrowp tenant upgrade {self.tenant_id}`, or "
            f"set a limit of its own with `unmogrowp tenant quota {self.tenant_id} --set {self.quota}=…`"
        )


class QuotaStore(Sessions):
    """Questions and changes of quotas."""

    def quotas(self, tenant_id: str) -> tuple[Limit, ...]:
        """The tenant's limit of every quota.

        Raises:
            TenantNotFoundError: there is no such tenant.
        """
        with self.reading() as session:
            return limits_of(session, tenant_row(session, tenant_id))

    def door_limits(self) -> dict[str, DoorLimits]:
        """What the door enforces, of every tenant whose keys are good."""
        states = [str(state) for state in STATES_WITH_LIVE_KEYS]
        tenants = select(TenantRow.tenant_id, TenantRow.plan).where(TenantRow.state.in_(states))
        names = (Quota.EVENTS_PER_SECOND, Quota.EVENTS_PER_DAY)
        overrides = select(QuotaRow.tenant_id, QuotaRow.quota, QuotaRow.limit).where(
            QuotaRow.quota.in_(names)
        )
        with self.reading() as session:
            own = {(tenant_id, quota): limit for tenant_id, quota, limit in session.execute(overrides)}
            found = session.execute(tenants).all()
        return {
            tenant_id: DoorLimits(
                *(own.get((tenant_id, str(name)), plan_quotas(plan)[name]) for name in names)
            )
            for tenant_id, plan in found
        }

    def set_quotas(
        self, tenant_id: str, changes: Mapping[Quota, int | None], actor: str, reason: str | None = None
    ) -> tuple[Limit, ...]:
        """Set limits of the tenant's own; None goes back to the plan's. The same again changes nothing.

        Raises:
            TenantNotFoundError: there is no such tenant.
            ContractError: a limit is no positive number that fits.
        """
        for quota, limit in changes.items():
            if limit is not None and not 0 < limit <= LIMIT_MAX:
                raise ContractError(f"tenant {tenant_id}: {quota} must be between 1 and {LIMIT_MAX}")
        with self.writing() as session:
            tenant = tenant_row(session, tenant_id, lock=True)
            before = _limits_by_name(session, tenant)
            for quota, limit in changes.items():
                _set(session, tenant_id, quota, limit)
            session.flush()
            after = _limits_by_name(session, tenant)
            if changed := [name for name, limit in after.items() if limit != before[name]]:
                add_audit(
                    session,
                    actor,
                    "quota.set",
                    tenant_id,
                    reason=reason,
                    before={name: before[name] for name in changed},
                    after={name: after[name] for name in changed},
                )
            return limits_of(session, tenant)

    def note_quota_use(
        self, tenant_id: str, quota: Quota, period: str, used: int, limit: int
    ) -> tuple[QuotaAlert, ...]:
        """Tell of the shares of the limit that this use reaches, each once per period; what was told now."""
        reached = shares_reached(used, limit)
        if not reached:
            return ()
        with self.reading() as session:
            if all(_is_told(session, tenant_id, quota, period, share) for share in reached):
                return ()
        with self.writing() as session:
            told = tell_of_use(session, tenant_id, quota, period, used=used, limit=limit)
        for alert in told:
            logger.warning("%s", alert)
        return told

    def quota_alerts(
        self, tenant_id: str | None = None, *, after_id: int = 0, limit: int = 100
    ) -> tuple[QuotaAlert, ...]:
        """Alerts, oldest first; of one tenant when given."""
        query = select(QuotaAlertRow).where(QuotaAlertRow.alert_id > after_id)
        if tenant_id is not None:
            query = query.where(QuotaAlertRow.tenant_id == tenant_id)
        with self.reading() as session:
            return tuple(
                _alert(row) for row in session.scalars(query.order_by(QuotaAlertRow.alert_id).limit(limit))
            )

    def charge_pulled_bytes(self, tenant_id: str, date: dt.date, size_bytes: int, now: dt.datetime) -> None:
        """Count bytes that are about to be handed out on this day.

        Raises:
            QuotaExceededError: the day's volume would be exceeded; nothing is counted.
        """
        quota = Quota.EXPORT_BYTES_PER_DAY
        with self.writing() as session:
            tenant = tenant_row(session, tenant_id)
            limit = _limits_by_name(session, tenant)[quota]
            row = session.get(PulledBytesRow, (tenant_id, date))
            if row is None:
                row = PulledBytesRow(tenant_id=tenant_id, date=date, pulled_bytes=0)
                session.add(row)
            used = row.pulled_bytes + size_bytes
            is_over = used > limit
            if not is_over:
                row.pulled_bytes = used
            tell_of_use(
                session,
                tenant_id,
                quota,
                date.isoformat(),
                used=used,
                limit=limit,
            )
        if is_over:
            midnight = dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), dt.UTC)
            raise QuotaExceededError(
                f"tenant {tenant_id} has used its {quota} of {limit}: pull the rest after midnight UTC, or ask for a "
                "larger plan",
                str(quota),
                max(1, int((midnight - now).total_seconds()) + 1),
            )

    def pulled_bytes(self, tenant_id: str, dates: list[dt.date]) -> dict[dt.date, int]:
        """Bytes of exports handed out on each of these days; days without any are left out."""
        query = select(PulledBytesRow.date, PulledBytesRow.pulled_bytes).where(
            PulledBytesRow.tenant_id == tenant_id, PulledBytesRow.date.in_(dates)
        )
        with self.reading() as session:
            return {row.date: row.pulled_bytes for row in session.execute(query)}


def limits_of(session: Session, tenant: TenantRow) -> tuple[Limit, ...]:
    """A tenant's limits within a transaction."""
    limits = _limits_by_name(session, tenant)
    return tuple(Limit(quota, limits[quota], limit) for quota, limit in plan_quotas(tenant.plan).items())


def take_place_of_user(session: Session, tenant: TenantRow, there: int) -> None:
    """Pass when one more user than are there may be added, within a transaction.

    Raises:
        UsersQuotaError: no.
    """
    limit = _limits_by_name(session, tenant)[Quota.USERS]
    if there >= limit:
        raise UsersQuotaError(
            f"tenant {tenant.tenant_id} may have {limit} users: put it on another plan, or set a limit of its own "
            f"with `unmogrowp tenant quota {tenant.tenant_id} --set users=…`"
        )
    tell_of_use(session, tenant.tenant_id, Quota.USERS, f"{now_utc():%Y-%m}", used=there + 1, limit=limit)


def _limits_by_name(session: Session, tenant: TenantRow) -> dict[str, int]:
    own = select(QuotaRow.quota, QuotaRow.limit).where(QuotaRow.tenant_id == tenant.tenant_id)
    plan = {str(quota): limit for quota, limit in plan_quotas(tenant.plan).items()}
    return plan | {str(quota): limit for quota, limit in session.execute(own)}


def _set(session: Session, tenant_id: str, quota: Quota, limit: int | None) -> None:
    row = session.get(QuotaRow, (tenant_id, str(quota)))
    if limit is None:
        if row is not None:
            session.delete(row)
    elif row is None:
        session.add(QuotaRow(tenant_id=tenant_id, quota=str(quota), limit=limit))
    else:
        row.limit = limit


def _is_told(session: Session, tenant_id: str, quota: Quota, period: str, share: int) -> bool:
    query = select(QuotaAlertRow.alert_id).where(
        QuotaAlertRow.tenant_id == tenant_id,
        QuotaAlertRow.quota == str(quota),
        QuotaAlertRow.period == period,
        QuotaAlertRow.share_percent == share,
    )
    return session.scalar(query) is not None


def tell_of_use(
    session: Session, tenant_id: str, quota: Quota, period: str, *, used: int, limit: int
) -> tuple[QuotaAlert, ...]:
    """Write the alerts that this use calls for and that are not written yet, within a transaction."""
    told = []
    for share in shares_reached(used, limit):
        if _is_told(session, tenant_id, quota, period, share):
            continue
        row = QuotaAlertRow(
            tenant_id=tenant_id,
            quota=str(quota),
            period=period,
            share_percent=share,
            used=used,
            limit=limit,
            at=now_utc(),
        )
        session.add(row)
        session.flush()
        told.append(_alert(row))
    return tuple(told)


def _alert(row: QuotaAlertRow) -> QuotaAlert:
    return QuotaAlert(
        row.alert_id, row.tenant_id, row.quota, row.period, row.share_percent, row.used, row.limit, row.at
    )
