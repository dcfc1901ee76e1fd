"""The JSON the plane speaks: request and answer models, camelCase outside, snake_case inside.

Only shapes belong here. Money is integer micro-units of the tenant's currency.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, JsonValue
from pydantic.alias_generators import to_camel

Period = Literal["7d", "30d", "90d"]


def _calendar_date(value: object) -> object:
    """Only YYYY-MM-DD: pydantic alone would also read a number as seconds since 1970."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII) is None:
        raise ValueError("a date reads YYYY-MM-DD")
    return value


CalendarDate = Annotated[dt.date, BeforeValidator(_calendar_date)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}$")]


class View(BaseModel):
    """Base of every model here."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Health(View):
    """The plane serves."""

    status: Literal["ok"] = "ok"
    tenant_id: str


class Config(BaseModel):
    """What the page needs before anybody signs in. No secrets."""

    TENANT_ID: str
    VERSION: str
    CURRENCY: str


class SignIn(View):
    """A user and a password; `mode` says where the token goes: a cookie, or the answer."""

    user: str = Field(min_length=1, max_length=128)
    password: str = Field(min_length=1, max_length=1024)
    mode: Literal["cookie", "bearer"] = "cookie"


class WhoAmI(View):
    """The session's person; `token` is there only where `mode` was `bearer`."""

    tenant_id: str
    user: str
    role: str
    expires_at: dt.datetime
    token: str | None = None


UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]
Role = Literal["tenant_admin", "tenant_analyst"]


class PasswordChange(View):
    """One's own password; twelve characters hold against guessing at five attempts in five minutes."""

    current: str = Field(min_length=1, max_length=1024)
    new: str = Field(min_length=12, max_length=1024)


class NewUser(View):
    """Somebody who may sign in."""

    user: UserName
    role: Role


class RoleChange(View):
    """What a user may do: `tenant_admin` manages users and sends events, `tenant_analyst` reads."""

    role: Role


class NewPassword(View):
    """A password that was just made, shown this once."""

    tenant_id: str
    user: str
    password: str


class UserItem(View):
    """One user; `signed_in_at` is of the sessions of the last hours, else null."""

    user: str
    role: str
    created_at: dt.datetime
    signed_in_at: dt.datetime | None


class UserChange(View):
    """Who did what to which user."""

    at: dt.datetime
    actor: str
    action: str
    user: str
    role: str | None


class UserList(View):
    """Every user and the newest changes. Without a limit of the plan, `users_max` is null."""

    tenant_id: str
    users_max: int | None
    users: list[UserItem]
    changes: list[UserChange]


class Pushed(View):
    """Rows stored, and whether they replaced earlier ones."""

    rows: int
    replaced: bool


class ScoreItem(View):
    """One user's score."""

    user_id: str = Field(min_length=1, max_length=256)
    score: FiniteFloat
    features: dict[str, JsonValue] = {}


class ScorePush(View):
    """Scores of one model as of one day."""

    tenant_id: str
    model: ModelName
    generated_at: dt.datetime
    as_of: CalendarDate
    items: list[ScoreItem]


class ScorePage(View):
    """Part of the newest scores, highest first. Without any push: no model and no items."""

    tenant_id: str
    model: str | None
    as_of: dt.date | None
    generated_at: dt.datetime | None
    total: int
    items: list[ScoreItem]
    next_offset: int | None


class MartDate(View):
    """One stored date of a mart."""

    date: dt.date
    rows: int
    pushed_at: dt.datetime


class MartSummary(View):
    """One mart and its dates."""

    mart: str
    rows: int
    dates: list[MartDate]


class MartList(View):
    """What is there."""

    tenant_id: str
    marts: list[MartSummary]


class MartPage(View):
    """Part of a mart; the rows' keys are the mart's column names."""

    tenant_id: str
    mart: str
    total: int
    rows: list[dict[str, JsonValue]]
    next_offset: int | None


class Totals(View):
    """Sums of a period. `reported_days` of 0 means that nothing is known about it, not that nothing happened.

    `roas` is paid revenue over spend and `cpi_micros` spend over paid installs, where paid is every source
    but `organic`; both are none without a divisor.
    """

    reported_days: int
    events: int
    sessions: int
    new_users: int
    purchases: int
    purchases_other_currency: int
    daily_active_users_mean: float
    daily_active_users_peak: int
    revenue_micros: int
    installs: int
    organic_installs: int
    paid_installs: int
    paid_revenue_micros: int
    spend_micros: int
    roas: float | None
    cpi_micros: float | None


class Daily(View):
    """One day of the period."""

    date: dt.date
    reported: bool
    events: int
    active_users: int
    new_users: int
    revenue_micros: int
    installs: int


class Campaign(View):
    """One campaign's sums over the period, last-touch credit."""

    source: str
    campaign: str
    installs: int
    revenue_micros: int
    spend_micros: int
    clicks: int
    impressions: int
    roas: float | None
    cpi_micros: float | None


class HistogramBin(View):
    """Users whose predicted value is in [from, to)."""

    from_micros: int
    to_micros: int
    users: int


class Ltv(View):
    """The distribution of predicted values in the newest score set."""

    model: str
    as_of: dt.date
    users: int
    mean_micros: int
    p50_micros: int
    p90_micros: int
    histogram: list[HistogramBin]


class Freshness(View):
    """The newest date with KPIs, and when the newest push arrived."""

    latest_date: dt.date | None
    pushed_at: dt.datetime | None


class DashboardStats(View):
    """Everything the dashboard page shows. The period ends at the newest date that has KPIs, not today."""

    tenant_id: str
    period: Period
    from_: dt.date | None = Field(alias="from")
    to: dt.date | None
    totals: Totals
    previous: Totals
    daily: list[Daily]
    campaigns: list[Campaign]
    ltv: Ltv | None
    freshness: Freshness
