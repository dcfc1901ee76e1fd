"""Bodies of requests and answers: camelCase JSON over the registry's records. No logic."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from resources.registry import AuditEntry, Plan, TenantState
from resources.registry.records import CURRENCY_PATTERN, TENANT_ID_PATTERN


def _written_out(value: Any) -> Any:
    """Refuse numbers, which would be taken for seconds since 1970."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise PydanticCustomError("date_format", "must be a date such as 2026-11-01")
    return value


WrittenDate = Annotated[dt.date, BeforeValidator(_written_out)]


class Message(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", from_attributes=True
    )


class TenantRequest(Message):
    """A tenant that is wanted."""

    tenant_id: str = Field(pattern=TENANT_ID_PATTERN, examples=["t123"])
    plan: Plan
    currency: str = Field(default="USD", pattern=CURRENCY_PATTERN, description="of all its money, ISO 4217")


class Upgrade(Message):
    """The plan a tenant goes to."""

    plan: Plan


class Reason(Message):
    """Why something is done; goes to the audit trail."""

    reason: str | None = Field(default=None, max_length=500)


class KeyRequest(Message):
    """A key that is wanted."""

    kind: Literal["ingest", "export", "service"]


class TenantOut(Message):
    """One tenant."""

    tenant_id: str
    plan: Plan
    state: TenantState
    reason: str | None
    revision: int
    currency: str
    plane_url: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class TenantPage(Message):
    """Tenants by id; `next` is the `after` of the following page."""

    items: list[TenantOut]
    next: str | None


class MintedKey(Message):
    """A new key. `key` is shown this once."""

    key_id: str
    kind: str
    key: str


class KeyOut(Message):
    """A key without its secret."""

    key_id: str
    kind: str
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None


class KeyPage(Message):
    """A tenant's keys, oldest first; `next` is the `after` of the following page."""

    items: list[KeyOut]
    next: str | None


class AuditOut(Message):
    """One entry of the audit trail."""

    audit_id: int
    at: dt.datetime
    actor: str
    action: str
    tenant_id: str | None
    reason: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    hash: str = Field(description="over this entry and the one before it")


class AuditPage(Message):
    """Entries, oldest first; `next` is the `after` of the following page."""

    items: list[AuditOut]
    next: int | None


def audit_page(found: Sequence[AuditEntry], limit: int) -> AuditPage:
    """A page of entries, of which one more than `limit` was asked for."""
    page = found[:limit]
    following = page[-1].audit_id if len(found) > limit else None
    return AuditPage(items=[AuditOut.model_validate(entry) for entry in page], next=following)


class ChainHead(Message):
    """The newest entry."""

    audit_id: int
    hash: str


class ChainFaultOut(Message):
    """One place where the trail is not as it was written; no id: it is about the head."""

    audit_id: int | None
    problem: str


class AuditVerdict(Message):
    """Whether the trail is as it was written; `faults` are the first of `faultCount`."""

    is_whole: bool
    entries: int
    head: ChainHead | None
    fault_count: int
    faults: list[ChainFaultOut]


class ExportFile(Message):
    """One file of an export, as its manifest lists it."""

    part: int
    name: str
    rows: int
    size_bytes: int
    sha256: str


class ExportOut(Message):
    """One export that can be pulled."""

    mart: str
    date: dt.date
    restatement: int
    files: list[ExportFile]


class ExportPage(Message):
    """Exports by (mart, date); `next` is the `after` of the following page."""

    items: list[ExportOut]
    next: str | None
