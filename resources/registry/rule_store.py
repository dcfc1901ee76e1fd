"""Versions of attribution rules in the registry: added and read, never changed (triggers see to it)."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from resources.errors import RulesChangedError, RuleVersionNotFoundError, TenantStateError
from resources.registry.sessions import Sessions, add_audit, now_utc, tenant_row
from resources.registry.states import TenantState
from resources.registry.tables import RuleRow, TenantRow
from resources.rules import RuleSet, RuleVersion, version_on
from resources.rules.versions import changes_nothing, default_version


class RuleStore(Sessions):
    """Questions and additions of rules."""

    def add_rules(
        self,
        tenant_id: str,
        rules: RuleSet,
        effective_from: dt.date,
        actor: str,
        reason: str | None = None,
        *,
        based_on: int | None = None,
    ) -> RuleVersion:
        """Put rules in force from an event date on, over every version before; what holds then already is returned.

        `based_on` is the newest version the caller has seen: a newer one means its decision may be outdated.

        Raises:
            TenantNotFoundError: there is no such tenant.
            TenantStateError: the tenant is being deleted or is deleted.
            RulesChangedError: there is a newer version than `based_on`.
        """
        with self.writing() as session:
            _check_may_have_rules(tenant_row(session, tenant_id, lock=True))
            known = _versions(session, tenant_id)
            newest = known[-1].version if known else 0
            before = version_on(tenant_id, known, effective_from)
            if changes_nothing(tenant_id, known, rules, effective_from):
                return before
            if based_on is not None and based_on != newest:
                raise RulesChangedError(
                    f"tenant {tenant_id}: the newest rules are version {newest}, not {based_on}; "
                    "look at it with `unmogrowp rules show`, then set yours again"
                )
            added = RuleVersion(
                tenant_id, newest + 1, rules.content_hash, rules, effective_from, now_utc(), actor, reason
            )
            session.add(_row(added))
            seen = {"before": _seen(before), "after": _seen(added)}
            add_audit(session, actor, "rules.added", tenant_id, reason=reason, **seen)
            return added

    def rule_versions(
        self, tenant_id: str, *, after_version: int = 0, limit: int | None = None
    ) -> tuple[RuleVersion, ...]:
        """The versions written down for a tenant, oldest first: those above `after_version`, at most `limit`."""
        with self.reading() as session:
            return _versions(session, tenant_id, after_version, limit)

    def rules_on(self, tenant_id: str, date: dt.date) -> RuleVersion:
        """The version in force on an event date; version 0, the defaults, where none has begun."""
        return version_on(tenant_id, self.rule_versions(tenant_id), date)

    def rule_version(self, tenant_id: str, version: int) -> RuleVersion:
        """One version; 0 is the defaults.

        Raises:
            TenantNotFoundError: there is no such tenant.
            RuleVersionNotFoundError: the tenant has no such version.
        """
        with self.reading() as session:
            tenant_row(session, tenant_id)
            row = session.get(RuleRow, (tenant_id, version)) if version else None
        if row is not None:
            return _version(row)
        if version == 0:
            return default_version(tenant_id)
        raise RuleVersionNotFoundError(
            f"the rules of tenant {tenant_id} have no version {version}; `unmogrowp rules list` shows them"
        )


def _check_may_have_rules(tenant: TenantRow) -> None:
    if tenant.state in {TenantState.DELETING, TenantState.DELETED}:
        raise TenantStateError(f"tenant {tenant.tenant_id} is {tenant.state} and gets no new rules")


def _row(version: RuleVersion) -> RuleRow:
    values = {field.name: getattr(version, field.name) for field in dataclasses.fields(version)}
    return RuleRow(**values | {"rules": version.rules.model_dump(mode="json")})


def _versions(
    session: Session, tenant_id: str, after_version: int = 0, limit: int | None = None
) -> tuple[RuleVersion, ...]:
    query = select(RuleRow).where(RuleRow.tenant_id == tenant_id, RuleRow.version > after_version)
    return tuple(_version(row) for row in session.scalars(query.order_by(RuleRow.version).limit(limit)))


def _version(row: RuleRow) -> RuleVersion:
    return RuleVersion(
        tenant_id=row.tenant_id,
        version=row.version,
        content_hash=row.content_hash,
        rules=RuleSet.model_validate(row.rules),
        effective_from=row.effective_from,
        created_at=row.created_at,
        created_by=row.created_by,
        reason=row.reason,
    )


def _seen(version: RuleVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "content_hash": version.content_hash,
        "effective_from": version.effective_from.isoformat() if version.effective_from else None,
        "rules": version.rules.model_dump(mode="json"),
    }
