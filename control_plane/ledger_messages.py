"""Answers about a tenant's ledger and quarantine: camelCase JSON over what `resources` reads. No logic."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from control_plane.messages import Message


class LedgerCountsOut(Message):
    """Deliveries: received = clean + duplicate + not_yet_clean + quarantined."""

    received: int
    accepted: int
    clean: int
    duplicate: int = Field(description="the event id had landed before")
    not_yet_clean: int = Field(description="landed since clean last read the slice")
    quarantined: int = Field(description="refused, and not replayed since")
    replayed: int = Field(description="of the accepted ones, those that a replay brought in")
    missing: int = Field(description="should be in clean and are not")
    unexpected: int = Field(description="are in clean and should not be")
    by_reason: dict[str, int]
    balances: bool


class LedgerHourOut(LedgerCountsOut):
    """One hour of receipt."""

    hour: dt.datetime


class LedgerDayOut(Message):
    """One event date."""

    date: dt.date
    balances: bool
    total: LedgerCountsOut
    hours: list[LedgerHourOut]


class LedgerOut(Message):
    """A tenant's ledger, by event date."""

    tenant_id: str
    days: list[LedgerDayOut]


class ReasonCountOut(Message):
    """Refused events of one reason, and how many of them a replay has taken."""

    tenant_id: str
    reason_code: str
    rows: int
    replayed: int


class QuarantinedOut(Message):
    """One refused delivery; `replayed_at` is null where no replay has taken it."""

    quarantine_id: str
    tenant_id: str
    received_at: dt.datetime
    received_date: dt.date
    event_id: str | None
    event_date: dt.date | None
    reason_code: str
    pointer: str
    reason: str
    replayed_at: dt.datetime | None


class QuarantineOut(Message):
    """What matches: counts of all, and a page of rows; `next` is the `after` of the following page."""

    total: int
    reasons: list[ReasonCountOut]
    rows: list[QuarantinedOut]
    next: str | None
