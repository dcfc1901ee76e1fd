"""Bodies of the reports' answers, one set of models per page of the dashboard; more are in `detail_views`.

Wire names are camelCase; money is integer micro-units of the tenant's currency. `from` and `to` are null before
the first push. A ratio without a divisor is null. `previous…` is of as many days, ending the day before.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from tenant_plane.views import View

CohortPeriod = Literal["7d", "30d", "90d", "365d"]
Model = Literal["last_touch", "first", "last", "linear", "position", "w", "time_decay"]


class Report(View):
    """Whose numbers, and of which dates."""

    tenant_id: str
    period: str
    from_: dt.date | None = Field(alias="from")
    to: dt.date | None


class AttributionRow(View):
    """A campaign's credit under the asked model, under the one compared with, and before."""

    source: str
    campaign: str
    spend_micros: int
    clicks: int
    installs: float
    revenue_micros: int
    cpi_micros: float | None
    roas: float | None
    against_installs: float
    against_revenue_micros: int
    installs_difference: float
    revenue_difference_micros: int
    previous_installs: float
    previous_revenue_micros: int


class Attribution(Report):
    """Credit by campaign under one model, and the difference to another; `models` have rows in the period."""

    reported_days: int
    previous_reported_days: int
    model: Model
    against: Model
    models: list[str]
    rows: list[AttributionRow]


class ChannelCredit(View):
    """What a model gives a channel: installs, and revenue of purchases."""

    channel: str
    model: str
    installs: float
    revenue_micros: int
    previous_installs: float


class Channels(Report):
    """Credit by channel under every model, also those that weigh whole paths (Markov, Shapley)."""

    rows: list[ChannelCredit]


class CohortCell(View):
    """A cohort at one age; revenue is to date, ROAS that of paid sources. Null: not reached, or no divisor."""

    day: int
    retention: float | None
    revenue_per_install_micros: float | None
    roas: float | None


class CohortRow(View):
    """Installs of some days. Its cells are of the ages that all of its days have reached."""

    from_: dt.date = Field(alias="from")
    to: dt.date
    size: int
    spend_micros: int
    cells: list[CohortCell]


class Cohorts(Report):
    """The heat map. `overall` and `previous` are of every install that has reached the age."""

    source: str
    sources: list[str]
    days: list[int]
    rows: list[CohortRow]
    overall: list[CohortCell]
    previous: list[CohortCell]


class SpendDay(View):
    """One date; `reported` says whether it was pushed."""

    date: dt.date
    reported: bool
    spend_micros: int
    paid_revenue_micros: int
    paid_installs: int
    roas: float | None
    cpi_micros: float | None


class SpendRow(View):
    """One source: what it cost and brought by last-touch credit, and before."""

    source: str
    spend_micros: int
    impressions: int
    clicks: int
    installs: int
    revenue_micros: int
    roas: float | None
    cpi_micros: float | None
    previous_spend_micros: int
    previous_revenue_micros: int
    previous_roas: float | None


class SpendTotals(View):
    """Sums over paid sources."""

    reported_days: int
    spend_micros: int
    paid_revenue_micros: int
    paid_installs: int
    roas: float | None
    cpi_micros: float | None


class Spend(Report):
    """Spend and what it brought: by day and by source."""

    totals: SpendTotals
    previous: SpendTotals
    daily: list[SpendDay]
    rows: list[SpendRow]


class FunnelStep(View):
    """Device-days at a step; shares are of the first and of the earlier step of its half."""

    step_index: int
    step: str
    half: Literal["before_install", "from_install"]
    devices: int
    previous_devices: int
    share_of_first: float | None
    share_of_earlier: float | None


class FunnelRow(View):
    """One channel's device-days at every step."""

    source: str
    campaign: str
    impressions: int
    clicks: int
    installs: int
    sessions: int
    events: int
    purchases: int


class Funnel(Report):
    """Two halves, as an install need not follow a click of the same device on the same day."""

    reported_days: int
    previous_reported_days: int
    source: str
    sources: list[str]
    steps: list[FunnelStep]
    rows: list[FunnelRow]


class FraudFinding(View):
    """What one rule found of one source: sums over the period, and the newest day's reason."""

    source: str
    rule: str
    verdict: str
    days: int
    touches: int
    installs: int
    highest_share: float
    norm: float
    latest_date: dt.date
    reason: str
    previous_touches: int
    previous_installs: int


class FraudDay(View):
    """One date: touches rejected before credit, findings flagged after it."""

    date: dt.date
    reported: bool
    rejected_touches: int
    flagged_findings: int


class FraudTotals(View):
    """Sums of the period."""

    reported_days: int
    rejected_touches: int
    flagged_findings: int
    sources: int


class Fraud(Report):
    """Fraud by source with reasons."""

    totals: FraudTotals
    previous: FraudTotals
    daily: list[FraudDay]
    findings: list[FraudFinding]
