"""Who calls: a person by an access token, or a tenant by its export key. Pure; tokens are verified in `tokens`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resources.errors import AuthenticationError
from resources.registry.access_trail import key_actor
from resources.registry.roles import PlatformRole, TenantRole

ACTOR_MAX_CHARS = 200  # the audit trail's column
SESSION_CLAIM = "sid"
TENANT_ROLES_CLAIM = "tenant_roles"  # of our own issuer: {"t123": ["tenant_admin"]}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `actor` is what the audit trail calls it."""

    actor: str
    platform_roles: frozenset[PlatformRole] = frozenset()
    tenant_roles: Mapping[str, frozenset[TenantRole]] = field(default_factory=dict)
    key_kind: str | None = None
    key_tenant: str | None = None
    session_id: str | None = None

    @property
    def is_key(self) -> bool:
        """Whether a tenant's key calls, not a person."""
        return self.key_kind is not None


def caller_of_key(key_id: str, kind: str, tenant_id: str) -> Caller:
    """The tenant behind one of its keys."""
    return Caller(actor=key_actor(key_id), key_kind=kind, key_tenant=tenant_id)


def caller_of_claims(claims: Mapping[str, Any], roles_claim: str, tenant_claim: str) -> Caller:
    """The person a verified token speaks for.

    Roles that are not ours are left out: an issuer serves other applications too. Tenant roles hold for every
    tenant of the tenant claim; our own issuer names the tenant of each.

    Raises:
        AuthenticationError: the subject is missing or too long for the audit trail.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or not subject.isprintable():
        raise AuthenticationError("the access token names no subject; sign in again")
    actor = f"user:{subject}"
    if len(actor) > ACTOR_MAX_CHARS:
        raise AuthenticationError("the access token's subject is too long; ask the issuer for a shorter one")
    names = set(_words(_claim(claims, roles_claim)))
    inside = frozenset(role for role in TenantRole if role in names)
    by_tenant = {tenant: inside for tenant in _words(_claim(claims, tenant_claim)) if inside}
    own = claims.get(TENANT_ROLES_CLAIM)
    for tenant, given in own.items() if isinstance(own, dict) else ():
        by_tenant[str(tenant)] = frozenset(role for role in TenantRole if role in set(_words(given)))
    session = claims.get(SESSION_CLAIM)
    return Caller(
        actor=actor,
        platform_roles=frozenset(role for role in PlatformRole if role in names),
        tenant_roles=by_tenant,
        session_id=session if isinstance(session, str) else None,
    )


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its whole name, which may hold dots, or else by its path (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def _words(value: Any) -> Iterable[str]:
    """A list of strings, or one string of words as OAuth writes scopes."""
    if isinstance(value, str):
        return value.split()
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else ()
