"""Bodies of requests and answers about users, roles and sessions. No logic."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from control_plane.messages import Message
from resources.registry.user_store import USER_NAME_PATTERN

PlatformRoleName = Literal["platform_admin", "data_engineer", "ml_engineer", "support"]
TenantRoleName = Literal["tenant_admin", "tenant_analyst", "tenant_app"]


class Me(Message):
    """Whoever asks."""

    actor: str
    platform_roles: list[str]
    tenant_roles: dict[str, list[str]]


class RoleTableOut(Message):
    """Role × action: `permissions` names the roles that each action is for."""

    roles: list[str]
    permissions: dict[str, list[str]]


class RevocationRequest(Message):
    """Whose tokens are refused."""

    subject: str = Field(min_length=1, max_length=190, description="the tokens' `sub`")
    reason: str | None = Field(default=None, max_length=500)


class UserRequest(Message):
    """A user of the platform that is wanted."""

    name: str = Field(pattern=USER_NAME_PATTERN, examples=["ann@example.com"])
    roles: list[PlatformRoleName] = Field(default=[], max_length=4)


class MemberRequest(Message):
    """A user of a tenant that is wanted."""

    name: str = Field(pattern=USER_NAME_PATTERN, examples=["bob@shop.example"])
    roles: list[TenantRoleName] = Field(default=[], max_length=3)


class PlatformRoleRequest(Message):
    """A role that is given to a user of the platform."""

    role: PlatformRoleName


class TenantRoleRequest(Message):
    """A role that is given to a user of a tenant."""

    role: TenantRoleName


class UserOut(Message):
    """One user, without anything secret. `tenantId` null: of the platform."""

    name: str
    tenant_id: str | None
    roles: list[str]
    created_at: dt.datetime
    created_by: str
    disabled_at: dt.datetime | None


class UserPage(Message):
    """Users by name; `next` is the `after` of the following page."""

    items: list[UserOut]
    next: str | None


class NewUser(Message):
    """A user and the password to hand over, shown this once."""

    user: UserOut
    password: str


class NewPassword(Message):
    """A new password to hand over, shown this once."""

    name: str
    password: str
