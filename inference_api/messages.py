"""What this service reads and answers: camelCase outside, the features under their own names. Shapes only."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from pydantic.alias_generators import to_camel

ITEMS_MAX = 1000  # one request stays near a millisecond of model time; more rows are the batch asset's
COUNT_MAX = 2**53  # whole numbers up to here are exact in JSON readers that use doubles

Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Category = Annotated[str, Field(max_length=256)]


class Message(BaseModel):
    """Base of every model here: unknown fields are refused, so a misspelt feature cannot be ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class LtvFeatures(BaseModel):
    """A user's features, named and measured as in schemas/tables/ml.user_features.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours_observed: Annotated[FiniteFloat, Field(ge=0, le=24)]
    sessions: Count
    session_ms: Count
    events: Count
    purchases: Count
    revenue_micros: Annotated[int, Field(ge=-COUNT_MAX, le=COUNT_MAX, description="refunds make it negative")]
    ctit_ms: Annotated[int, Field(ge=0, le=COUNT_MAX)] | None = Field(description="null when organic")
    is_organic: bool
    source: Category
    platform: Category
    country: Category


class ScoreItem(Message):
    """One user to score."""

    user_id: str = Field(min_length=1, max_length=256, examples=["p1_4f1d0c9a"])
    features: LtvFeatures


class ScoreRequest(Message):
    """Users of one tenant to score with its champion."""

    tenant_id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")
    items: list[ScoreItem] = Field(max_length=ITEMS_MAX)


class ModelOut(Message):
    """The model that scored."""

    name: str
    version: str


class ScoredItem(Message):
    """One user's prediction: revenue within the horizon after the install day, micros, never negative."""

    user_id: str
    score: float


class ScoreResponse(Message):
    """Scores in the order of the request."""

    tenant_id: str
    model: ModelOut
    horizon_days: int
    items: list[ScoredItem]
