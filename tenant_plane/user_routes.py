"""`/api/v1/users`: who may use this plane, for its administrators. Thin: `accounts` decides."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from tenant_plane.accounts import Account, AccountChange
from tenant_plane.plane import DOCUMENTED_SECURITY, Administrator, PlaneDep
from tenant_plane.reports.periods import moment
from tenant_plane.views import NewPassword, NewUser, RoleChange, UserChange, UserItem, UserList, UserName

router = APIRouter(prefix="/api/v1/users", tags=["users"], dependencies=DOCUMENTED_SECURITY)
Name = Annotated[UserName, Path(alias="user")]


@router.get("")
def list_users(plane: PlaneDep, _who: Administrator) -> UserList:
    """Every user, and the newest changes."""
    return UserList(
        tenant_id=plane.settings.id,
        users_max=plane.settings.users_max,
        users=[_item(each) for each in plane.accounts.all()],
        changes=[_change(each) for each in plane.accounts.changes()],
    )


@router.post("", status_code=201)
def add_user(body: NewUser, plane: PlaneDep, who: Administrator) -> NewPassword:
    """Add a user; the answer holds the first password, which is not shown again."""
    password = plane.accounts.add(body.user, body.role, who)
    return NewPassword(tenant_id=plane.settings.id, user=body.user, password=password)


@router.put("/{user}", status_code=204)
def change_role(user: Name, body: RoleChange, plane: PlaneDep, who: Administrator) -> None:
    """Give a user another role; it counts from the next request on."""
    plane.accounts.set_role(user, body.role, who)


@router.post("/{user}/password")
def renew_password(user: Name, plane: PlaneDep, who: Administrator) -> NewPassword:
    """A new password for a user who lost theirs, shown once; all their sessions end."""
    password = plane.accounts.new_password(user, who)
    return NewPassword(tenant_id=plane.settings.id, user=user, password=password)


@router.delete("/{user}", status_code=204)
def remove_user(user: Name, plane: PlaneDep, who: Administrator) -> None:
    """Remove a user; all their sessions end."""
    plane.accounts.remove(user, who)


def _item(account: Account) -> UserItem:
    return UserItem.model_validate(
        {
            "user": account.name,
            "role": account.role,
            "createdAt": moment(account.created_at_ms),
            "signedInAt": moment(account.signed_in_at_ms),
        }
    )


def _change(change: AccountChange) -> UserChange:
    return UserChange.model_validate(
        {
            "at": moment(change.changed_at_ms),
            "actor": change.actor,
            "action": change.action,
            "user": change.user,
            "role": change.role,
        }
    )
