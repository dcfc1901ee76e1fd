"""A touch that was considered for a conversion, as every trace shows it: marts, control plane, tenant's plane."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, ConfigDict, Field


class ConsideredTouch(BaseModel):
    """One candidate of the waterfall."""

    model_config = ConfigDict(frozen=True)

    touch_id: str
    touch_type: str = Field(description="click or impression")
    touch_time: dt.datetime
    source: str
    medium: str
    campaign: str
    adgroup: str
    creative: str
    match_type: str = Field(description="referrer, click_id, device_id or probabilistic")
    tier: int = Field(
        description="1 deterministic click, 2 probabilistic click, 3 deterministic view, 4 probabilistic view"
    )
    ctit_ms: int = Field(description="touch to conversion; negative when the touch is after")
    window_ms: int = Field(description="the window that applied; 0: the method is off")
    candidate_rank: int = Field(description="1 the winner, further eligible ones in order, 0 not eligible")
    waterfall_position: int = Field(
        description="place among the touches inside their window, refused ones included; 0 for the others"
    )
    verdict: str
    reason: str
