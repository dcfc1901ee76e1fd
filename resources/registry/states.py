"""The tenant's state machine as one table and pure functions over it. No database here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from resources.errors import TenantStateError


class TenantState(StrEnum):
    """Where a tenant is in its life."""

    REQUESTED = "requested"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"


# A row lists what may follow. `deleted` is final: an id is never used again, so an old key, export or log
# line can never be taken for another customer's. `failed` goes back to whichever job failed.
ALLOWED_TRANSITIONS: Mapping[TenantState, frozenset[TenantState]] = {
    TenantState.REQUESTED: frozenset({TenantState.PROVISIONING, TenantState.DELETING, TenantState.FAILED}),
    TenantState.PROVISIONING: frozenset({TenantState.ACTIVE, TenantState.FAILED}),
    TenantState.ACTIVE: frozenset({TenantState.SUSPENDED, TenantState.FAILED}),
    TenantState.SUSPENDED: frozenset({TenantState.ACTIVE, TenantState.DELETING, TenantState.FAILED}),
    TenantState.DELETING: frozenset({TenantState.DELETED, TenantState.FAILED}),
    TenantState.DELETED: frozenset(),
    TenantState.FAILED: frozenset({TenantState.PROVISIONING, TenantState.DELETING}),
}

# A key opens doors only while its tenant is in one of these. `provisioning` is among them because the new
# plane's own key has to work before its smoke test can pass.
STATES_WITH_LIVE_KEYS = frozenset({TenantState.PROVISIONING, TenantState.ACTIVE})


def check_transition(tenant_id: str, current: TenantState, wanted: TenantState) -> bool:
    """Whether anything changes: False when the tenant is there already.

    Raises:
        TenantStateError: the table does not allow this step.
    """
    if current is wanted:
        return False
    if wanted not in ALLOWED_TRANSITIONS[current]:
        allowed = ", ".join(sorted(ALLOWED_TRANSITIONS[current])) or "nothing: this state is final"
        raise TenantStateError(
            f"tenant {tenant_id} is {current} and cannot become {wanted}; from here it can become {allowed}"
        )
    return True


def steps_to_deletion(tenant_id: str, current: TenantState) -> tuple[TenantState, ...]:
    """The transitions that take a tenant to `deleting`; empty when it is there or beyond.

    An active tenant is suspended on the way, so that its keys stop before its data goes.

    Raises:
        TenantStateError: it is being provisioned now.
    """
    if current in {TenantState.DELETING, TenantState.DELETED}:
        return ()
    if current is TenantState.ACTIVE:
        return (TenantState.SUSPENDED, TenantState.DELETING)
    if current is TenantState.PROVISIONING:
        raise TenantStateError(
            f"tenant {tenant_id} is being provisioned and cannot be deleted now; "
            "wait until it is active or failed, then delete it"
        )
    return (TenantState.DELETING,)


def step_to_resumption(tenant_id: str, current: TenantState) -> TenantState:
    """The state a tenant goes to when it is resumed; the current one when it is under way already.

    A failed tenant goes back to provisioning, where the sensor finds it.

    Raises:
        TenantStateError: there is nothing to resume.
    """
    if current in {TenantState.ACTIVE, TenantState.PROVISIONING}:
        return current
    if current is TenantState.SUSPENDED:
        return TenantState.ACTIVE
    if current is TenantState.FAILED:
        return TenantState.PROVISIONING
    raise TenantStateError(f"tenant {tenant_id} is {current}: only suspended and failed tenants are resumed")
