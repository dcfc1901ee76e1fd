"""Bodies of requests and answers about SKAdNetwork conversion documents: camelCase JSON. No logic."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from control_plane.messages import Message, WrittenDate


class SkanSchemaRequest(Message):
    """What an app's conversion values stand for from a day on."""

    document: dict[str, Any] = Field(
        description="`urn:unmogrowp:skan:conversions`: appId, currency, windows; see schemas/skan/conversions.json"
    )
    effective_from: WrittenDate = Field(description="the first day, UTC, whose postbacks it reads")
    reason: str | None = Field(
        default=None, max_length=500, pattern=r"^[^\x00]*$", description="goes to the audit trail"
    )


class SkanSchemaOut(Message):
    """One version of an app's document."""

    store_app_id: int = Field(description="App Store id of the app")
    version: int
    content_hash: str = Field(description="what rows of the marts name as `schema_hash`")
    effective_from: dt.date
    created_at: dt.datetime
    created_by: str
    reason: str | None
    document: dict[str, Any]


class SkanSchemaPage(Message):
    """Versions by app and version; `next` is the `after` of the following page."""

    items: list[SkanSchemaOut]
    next: str | None
