"""Which run a tenant's state and revision ask for: pure functions. Jobs and sensor are in `tenants.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resources.registry import Tenant, TenantState

PROVISION, DEPROVISION = "provision_tenant", "deprovision_tenant"
# Which job moves a tenant on from which state. `provisioning` is here for runs that died on the way.
JOB_OF_STATE: Mapping[TenantState, str] = {
    TenantState.REQUESTED: PROVISION,
    TenantState.PROVISIONING: PROVISION,
    TenantState.DELETING: DEPROVISION,
}
ATTEMPTS_MAX = 3  # runs that were killed; a step that fails is not tried again: it said why
REASON_MAX_CHARACTERS = 500


@dataclass(frozen=True)
class Launch:
    """Ask for a run of this job. A run key is never launched twice; the first attempt's is the generation."""

    job: str
    generation: str
    run_key: str


@dataclass(frozen=True)
class GiveUp:
    """Mark the tenant failed: this generation's runs ended without moving the tenant on."""

    reason: str


def generation_of(tenant: Tenant) -> str:
    """What this revision of the tenant asks for: `provision:<tenant>:<revision>`, or `deprovision:…`."""
    return f"{JOB_OF_STATE[tenant.state].removesuffix('_tenant')}:{tenant.tenant_id}:{tenant.revision}"


def decide(tenant: Tenant, *, busy: bool, ended_runs: Sequence[str]) -> Launch | GiveUp | None:
    """What to do about a tenant that is on its way: nothing while a run of it is busy.

    `ended_runs` are this generation's runs that ended (latest first, each saying how) and yet left the tenant
    where it is: they were killed. Another one resumes their work, until a person has to look.
    """
    if busy:
        return None
    generation = generation_of(tenant)
    if len(ended_runs) >= ATTEMPTS_MAX:
        return GiveUp(
            f"{ended_runs[0]} without finishing, attempt {len(ended_runs)}; "
            "read its log, then resume or delete the tenant again"
        )
    attempt = f":{len(ended_runs) + 1}" if ended_runs else ""
    return Launch(JOB_OF_STATE[tenant.state], generation, generation + attempt)


def failure_sentence(step: str, error: BaseException | None) -> str:
    """What a person reads about a failed step: one line, bounded, ours when the error is ours."""
    text = re.sub(r"\s+", " ", str(error)).strip() if error is not None else "no error was reported"
    return f"step {step} failed: {text}"[:REASON_MAX_CHARACTERS]
