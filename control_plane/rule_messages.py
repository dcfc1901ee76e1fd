"""Bodies of requests and answers about attribution rules: camelCase JSON over `resources.rules`. No logic."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from control_plane.messages import Message, WrittenDate
from resources.rules import RuleSet


class RuleRequest(Message):
    """Rules that are wanted from an event date on. What is left out of `rules` has its default."""

    rules: RuleSet
    effective_from: WrittenDate = Field(
        description="the first event date, UTC; dates before it keep their rules"
    )
    reason: str | None = Field(
        default=None,
        max_length=500,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
        description="goes to the audit trail",
    )
    based_on: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="the newest version that was seen; a newer one by then answers 409",
    )


class RuleVersionOut(Message):
    """One version of a tenant's rules. Version 0 is the platform's defaults: no date, no author."""

    version: int
    content_hash: str = Field(description="what rows of the marts name as `ruleset_hash`")
    effective_from: dt.date | None
    created_at: dt.datetime | None
    created_by: str | None
    reason: str | None
    rules: RuleSet


class RuleVersionPage(Message):
    """Versions, oldest first; `next` is the `after` of the following page."""

    items: list[RuleVersionOut]
    next: int | None
