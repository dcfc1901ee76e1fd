"""The attribution rule set that a run uses: validated, and hashed by content.

Every mart row that a rule decided carries the hash, so a changed rule is visible in the data.
"""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, Field

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class RuleSet(BaseModel):
    """Windows of the deterministic waterfall; defaults and allowed ranges as AppsFlyer documents them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    click_window_ms: int = Field(default=7 * DAY_MS, ge=HOUR_MS, le=30 * DAY_MS)
    view_window_ms: int = Field(
        default=24 * HOUR_MS, ge=0, le=48 * HOUR_MS, description="0 switches views off"
    )

    @property
    def content_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the rules as canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def longest_window_days(self) -> int:
        """Whole days a touch can lie before the conversion it still wins."""
        return -(-max(self.click_window_ms, self.view_window_ms) // DAY_MS)


DEFAULT_RULES = RuleSet()
