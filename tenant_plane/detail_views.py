"""Bodies of the answers about users' value, single installs, and the state of the data. As in `report_views`."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from resources.trace_fields import ConsideredTouch
from tenant_plane.report_views import Report
from tenant_plane.views import HistogramBin, View


class ValueSet(View):
    """The distribution of predicted values. `previous…` is of the newest scores a period earlier."""

    model: str
    as_of: dt.date
    users: int
    mean_micros: int
    p50_micros: int
    p90_micros: int
    histogram: list[HistogramBin]
    previous_as_of: dt.date | None
    previous_mean_micros: int | None


class ValueBySource(View):
    """Users a source brought, and what they are predicted to be worth."""

    source: str
    users: int
    mean_micros: int
    total_micros: int


class ChurnBin(View):
    """Users whose probability to leave is in [from, to); the last bin includes 1."""

    from_: float = Field(alias="from")
    to: float
    users: int


class ChurnSet(View):
    """The distribution of probabilities to leave; `at_risk_users` have more than one half."""

    model: str
    as_of: dt.date
    users: int
    mean: float
    at_risk_users: int
    histogram: list[ChurnBin]


class Value(View):
    """What users are predicted to be worth, and how likely they leave; null where no such scores were pushed."""

    tenant_id: str
    period: str
    ltv: ValueSet | None
    by_source: list[ValueBySource]
    churn: ChurnSet | None


class InstallItem(View):
    """One install, as the list shows it."""

    install_id: str
    install_time: dt.datetime
    app_id: str
    platform: str
    country: str
    source: str
    campaign: str
    match_type: str
    tier: int


class InstallList(Report):
    """Installs of the period, newest first; `total` counts all that match the search."""

    total: int
    items: list[InstallItem]
    next_offset: int | None


class TraceCandidate(View, ConsideredTouch):
    """A touch that was considered for an install."""


class InstallTrace(View):
    """Why an install is credited as it is.

    `has_candidates`: the day's candidates were sent here, so that none means that there were none. `may_be_cut`: there
    are as many as are ever sent.
    """

    tenant_id: str
    install: InstallItem
    touch_id: str
    touch_type: str
    touch_time: dt.datetime | None
    ctit_ms: int | None
    medium: str
    adgroup: str
    creative: str
    assists: list[str]
    ruleset_hash: str
    has_candidates: bool
    candidates: list[TraceCandidate]
    may_be_cut: bool


class DataSet(View):
    """What has arrived of one mart, or of one model's scores; `missing_days` are within the newest 90 days."""

    name: str
    kind: Literal["mart", "scores"]
    rows: int
    dates: int
    first_date: dt.date | None
    latest_date: dt.date | None
    missing_days: int
    stored_bytes: int
    pushed_at: dt.datetime | None


class Quota(View):
    """One limit and how much of it is used; a limit of null is one that this plan does not set here."""

    name: Literal["events_per_day", "storage_bytes", "export_bytes_per_day", "users", "relay_bytes"]
    used: int
    limit: int | None
    share: float | None


class DataState(View):
    """How fresh the data are, and the plan's limits. `event_days_behind` is against today's date in UTC."""

    tenant_id: str
    plan: str | None
    latest_date: dt.date | None
    pushed_at: dt.datetime | None
    event_days_behind: int | None
    quotas: list[Quota]
    sets: list[DataSet]
