"""Answers about why a conversion was credited as it was: camelCase JSON over `resources.traces`. No logic."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from control_plane.messages import Message
from resources.trace_fields import ConsideredTouch


class CandidateOut(Message, ConsideredTouch):
    """A touch that was considered, with what became of it."""


class TraceRulesOut(Message):
    """The rules that decided, and the version in force on that date now."""

    ruleset_hash: str
    version: int | None = Field(description="null: no version of the tenant has that hash")
    version_in_force: int
    is_in_force: bool


class TraceOut(Message):
    """One conversion: who has its credit, and the candidates in the waterfall's order."""

    tenant_id: str
    event_date: dt.date
    app_id: str
    conversion_id: str
    conversion_type: str = Field(description="install, re_attribution, reinstall or re_engagement")
    conversion_time: dt.datetime
    device_id: str
    install_id: str
    match_type: str
    tier: int = Field(description="that of the winner; 5 organic")
    touch_id: str = Field(description="the winner; empty where no touch has the credit")
    touch_type: str
    touch_time: dt.datetime | None
    ctit_ms: int | None
    source: str
    medium: str
    campaign: str
    adgroup: str
    creative: str
    assists: list[str]
    rules: TraceRulesOut
    candidates_total: int = Field(description="may be more than are in `candidates`")
    candidates: list[CandidateOut]
    notes: list[str]
