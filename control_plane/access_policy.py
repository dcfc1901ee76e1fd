"""The policy in `policies/`, evaluated by Cedar: who may do what. Deny by default.

Belongs here: loading the files, asking, and the table of roles that the documentation shows. Who calls is
`callers`', where the decision is taken in a request is `guard`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cedarpy

from control_plane.callers import Caller, caller_of_key
from resources.errors import SettingsError
from resources.registry.roles import PlatformRole, TenantRole

POLICIES_DIR = Path(__file__).parent / "policies"
PLATFORM_ID = "unmogrowp"
EXPORT_KEY = "export key"  # the table's column beside the roles
_TENANT_ATTRIBUTES = {
    "admins": TenantRole.TENANT_ADMIN,
    "analysts": TenantRole.TENANT_ANALYST,
    "apps": TenantRole.TENANT_APP,
}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done, to a tenant or to the platform."""

    name: str
    is_of_tenant: bool


@dataclass(frozen=True)
class AccessPolicy:
    """Parsed policies and schema. Safe for several threads."""

    policies: cedarpy.PolicySet
    schema: cedarpy.Schema
    actions: dict[str, Action]

    def allows(self, caller: Caller, action: str, tenant_id: str | None) -> bool:
        """Whether the caller may do this, to a tenant or (None) to the platform. Anything unknown is denied."""
        resource = _uid("Platform", PLATFORM_ID) if tenant_id is None else _uid("Tenant", tenant_id)
        principal = _uid("TenantKey" if caller.is_key else "User", caller.actor)
        request = {
            "principal": principal,
            "action": _uid("Action", action),
            "resource": resource,
            "context": {},
        }
        return cedarpy.is_authorized(
            request, self.policies, _entities(caller, tenant_id), self.schema
        ).allowed


@cache
def access_policy(directory: Path = POLICIES_DIR) -> AccessPolicy:
    """The policy of a directory, read once.

    Raises:
        SettingsError: policy or schema cannot be parsed, or a policy does not fit the schema.
    """
    policies = (directory / "control_plane.cedar").read_text()
    schema_text = (directory / "control_plane.cedarschema.json").read_text()
    try:
        parsed = cedarpy.PolicySet.from_str(policies)
        schema = cedarpy.Schema.from_json_str(schema_text)
    except ValueError as error:
        raise SettingsError(f"the access policy in {directory} cannot be read: {error}") from error
    if problems := cedarpy.validate_policies(policies, schema).errors:
        raise SettingsError(f"the access policy in {directory} does not fit its schema: {problems[0]}")
    return AccessPolicy(parsed, schema, _actions(schema_text))


@dataclass(frozen=True, slots=True)
class RoleTable:
    """Role × action: what each role may do to the platform, or to a tenant that it has the role in."""

    roles: tuple[str, ...]
    allowed: dict[str, frozenset[str]]  # action → roles

    def document(self) -> dict[str, Any]:
        """The table as JSON."""
        permissions = {action: sorted(roles) for action, roles in self.allowed.items()}
        return {"roles": list(self.roles), "permissions": permissions}


def role_table(policy: AccessPolicy) -> RoleTable:
    """The table, asked of the policy cell by cell."""
    tenant = "t1"
    holders = {
        **{str(role): Caller("user:x", platform_roles=frozenset({role})) for role in PlatformRole},
        **{str(role): Caller("user:x", tenant_roles={tenant: frozenset({role})}) for role in TenantRole},
        EXPORT_KEY: caller_of_key("0" * 16, "export", tenant),
    }
    allowed = {
        name: frozenset(
            role
            for role, caller in holders.items()
            if policy.allows(caller, name, tenant if action.is_of_tenant else None)
        )
        for name, action in sorted(policy.actions.items())
    }
    return RoleTable(tuple(holders), allowed)


def _actions(schema_text: str) -> dict[str, Action]:
    document = json.loads(schema_text)
    return {
        name: Action(name, is_of_tenant=body["appliesTo"]["resourceTypes"] == ["Tenant"])
        for name, body in document[""]["actions"].items()
    }


def _entities(caller: Caller, tenant_id: str | None) -> list[dict[str, Any]]:
    tenants = {tenant_id, caller.key_tenant} - {None}
    attributes: dict[str, Any] = {}
    if caller.is_key:
        attributes = {"kind": caller.key_kind, "tenant": _reference("Tenant", caller.key_tenant)}
    parents = [_uid("PlatformRole", role) for role in caller.platform_roles]
    parents += [
        _uid("TenantRole", f"{tenant}/{role}")
        for tenant, roles in caller.tenant_roles.items()
        for role in roles
    ]
    principal = {
        "uid": _uid("TenantKey" if caller.is_key else "User", caller.actor),
        "attrs": attributes,
        "parents": parents,
    }
    return [principal, *(_tenant(tenant) for tenant in tenants)]


def _tenant(tenant_id: str | None) -> dict[str, Any]:
    roles = {
        name: _reference("TenantRole", f"{tenant_id}/{role}") for name, role in _TENANT_ATTRIBUTES.items()
    }
    return {"uid": _uid("Tenant", tenant_id), "attrs": roles, "parents": []}


def _uid(kind: str, name: str | None) -> dict[str, str]:
    return {"type": kind, "id": str(name)}


def _reference(kind: str, name: str | None) -> dict[str, Any]:
    return {"__entity": _uid(kind, name)}
