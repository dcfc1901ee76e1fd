"""Refused requests and reads of a tenant's data, as entries of the audit trail. Bounding them is `resources.notices`'.

Every service that holds the registry tells of them here, so that `unmogrowp audit list --action access.denied`
shows what was tried at any door.
"""

from __future__ import annotations

import logging
import re

from sqlalchemy.exc import SQLAlchemyError

from resources.errors import AuditTrailError
from resources.notices import (
    DENIALS_DISTINCT_PER_MINUTE,
    DENIALS_PER_HOUR,
    DENIED,
    Notice,
    Notices,
    Write,
)
from resources.registry.records import TENANT_ID_PATTERN
from resources.registry.store import Registry

READ = "access.read"
ANYBODY = "anonymous"

log = logging.getLogger(__name__)


def key_actor(key_id: str) -> str:
    """What the trail calls the tenant behind one of its keys."""
    return f"key:{key_id}"


def refusal(actor: str, action: str, named_tenant: str | None, reason: str) -> Notice:
    """A refused request; what was sent as a tenant's id and is none is left out."""
    is_name = named_tenant is not None and re.fullmatch(TENANT_ID_PATTERN, named_tenant) is not None
    return Notice(actor, action, named_tenant if is_name else None, reason)


def denials_of(registry: Registry) -> Notices:
    """Refused requests of one process: bounded, since anybody can make them."""
    return Notices(
        audit_writer(registry, DENIED), distinct_max=DENIALS_DISTINCT_PER_MINUTE, hourly_max=DENIALS_PER_HOUR
    )


def reads_of(registry: Registry) -> Notices:
    """Reads of tenants' data of one process."""
    return Notices(audit_writer(registry, READ))


def note_refusal(denials: Notices, notice: Notice, times: int = 1) -> None:
    """Tell of a refusal. It stays one where the trail takes no entry now, and the log says so."""
    try:
        denials.add(notice, times)
    except (SQLAlchemyError, AuditTrailError) as error:
        log.error("the refusal of %s was not written into the audit trail: %s", notice.action, error)


def audit_writer(registry: Registry, kind: str) -> Write:
    """Writes notices as entries of this kind."""

    def write(notice: Notice, repeats: int) -> None:
        after = {"action": notice.action} | ({"repeats": repeats} if repeats else {})
        registry.record(notice.actor, kind, notice.tenant_id, reason=notice.reason, after=after)

    return write
