"""The pages of the dashboard: `/api/v1/dashboard/…`, as JSON, or each page's table as CSV. Thin: `reports` computes."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from tenant_plane.detail_views import (
    DataSet,
    DataState,
    InstallItem,
    InstallList,
    InstallTrace,
    TraceCandidate,
    Value,
    ValueBySource,
)
from tenant_plane.plane import DOCUMENTED_SECURITY, Plane, PlaneDep, SignedIn
from tenant_plane.report_views import (
    Attribution,
    AttributionRow,
    ChannelCredit,
    Channels,
    CohortPeriod,
    Cohorts,
    Fraud,
    FraudFinding,
    Funnel,
    FunnelRow,
    Model,
    Spend,
    SpendRow,
)
from tenant_plane.reports import attribution as credit
from tenant_plane.reports import cohorts as heat_map
from tenant_plane.reports import data_state, fraud, funnel, spend, trace, value
from tenant_plane.reports.cohort_table import CohortLine, cohort_lines
from tenant_plane.table_csv import table_response
from tenant_plane.views import Period, View

router = APIRouter(prefix="/api/v1/dashboard", tags=["reports"], dependencies=DOCUMENTED_SECURITY)
Format = Annotated[Literal["json", "csv"], Query(alias="format", description="csv: the page's table alone")]
Source = Annotated[str, Query(max_length=256, description="empty: all sources")]
LIST_MAX = 200  # rows of installs that a page shows at once
OR_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


def _csv(plane: Plane, name: str, kind: type[View], rows: list[Any]) -> Response:
    return table_response(kind, rows, f"{plane.settings.id}_{name}.csv")


@router.get("/attribution", response_model=Attribution, responses=OR_CSV)
def read_attribution(
    *,
    plane: PlaneDep,
    _who: SignedIn,
    period: Period = "30d",
    model: Model = "last_touch",
    against: Model = "first",
    kind: Format = "json",
) -> Attribution | Response:
    """Credit by campaign under one model, and the difference to another."""
    report = credit.attribution(plane.settings.id, period, model, against, plane.marts)
    if kind == "csv":
        return _csv(plane, f"attribution_{model}_against_{against}_{period}", AttributionRow, report.rows)
    return report


@router.get("/channels", response_model=Channels, responses=OR_CSV)
def read_channels(
    plane: PlaneDep, _who: SignedIn, period: Period = "30d", kind: Format = "json"
) -> Channels | Response:
    """Credit by channel under every model."""
    report = credit.channels(plane.settings.id, period, plane.marts)
    return _csv(plane, f"channels_{period}", ChannelCredit, report.rows) if kind == "csv" else report


@router.get("/cohorts", response_model=Cohorts, responses=OR_CSV)
def read_cohorts(
    *,
    plane: PlaneDep,
    _who: SignedIn,
    period: CohortPeriod = "30d",
    source: Source = "",
    kind: Format = "json",
) -> Cohorts | Response:
    """Retention, revenue to date and ROAS by the day of the install and the days since."""
    report = heat_map.cohorts(plane.settings.id, period, source, plane.marts)
    return _csv(plane, f"cohorts_{period}", CohortLine, cohort_lines(report)) if kind == "csv" else report


@router.get("/spend", response_model=Spend, responses=OR_CSV)
def read_spend(
    plane: PlaneDep, _who: SignedIn, period: Period = "30d", kind: Format = "json"
) -> Spend | Response:
    """Spend, ROAS and cost per install by day and by source."""
    report = spend.spend(plane.settings.id, period, plane.marts)
    return _csv(plane, f"spend_{period}", SpendRow, report.rows) if kind == "csv" else report


@router.get("/funnel", response_model=Funnel, responses=OR_CSV)
def read_funnel(
    *,
    plane: PlaneDep,
    _who: SignedIn,
    period: Period = "30d",
    source: Source = "",
    kind: Format = "json",
) -> Funnel | Response:
    """Device-days from impression to purchase."""
    report = funnel.funnel(plane.settings.id, period, source, plane.marts)
    return _csv(plane, f"funnel_{period}", FunnelRow, report.rows) if kind == "csv" else report


@router.get("/fraud", response_model=Fraud, responses=OR_CSV)
def read_fraud(
    plane: PlaneDep, _who: SignedIn, period: Period = "30d", kind: Format = "json"
) -> Fraud | Response:
    """What was rejected or flagged, by source and rule, with reasons."""
    report = fraud.fraud(plane.settings.id, period, plane.marts)
    return _csv(plane, f"fraud_{period}", FraudFinding, report.findings) if kind == "csv" else report


@router.get("/value", response_model=Value, responses=OR_CSV)
def read_value(
    plane: PlaneDep, _who: SignedIn, period: Period = "30d", kind: Format = "json"
) -> Value | Response:
    """Predicted value and probability to leave, as distributions."""
    report = value.value(plane.settings.id, period, plane.scores)
    return _csv(plane, "value_by_source", ValueBySource, report.by_source) if kind == "csv" else report


@router.get("/installs", response_model=InstallList, responses=OR_CSV)
def read_installs(
    *,
    plane: PlaneDep,
    _who: SignedIn,
    period: Period = "30d",
    search: Annotated[str, Query(max_length=256)] = "",
    limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
    kind: Format = "json",
) -> InstallList | Response:
    """Installs of the period, newest first: by the start of the id, or a part of source or campaign."""
    report = trace.installs(
        plane.settings.id, period, search.strip(), plane.marts, limit=limit, offset=offset
    )
    return _csv(plane, f"installs_{period}", InstallItem, report.items) if kind == "csv" else report


@router.get("/installs/{install_id}", response_model=InstallTrace, responses=OR_CSV)
def read_trace(
    install_id: str, plane: PlaneDep, _who: SignedIn, kind: Format = "json"
) -> InstallTrace | Response:
    """Why one install is credited as it is: the touches considered, their verdicts and reasons."""
    report = trace.trace(plane.settings.id, install_id, plane.marts)
    return _csv(plane, "trace", TraceCandidate, report.candidates) if kind == "csv" else report


@router.get("/data", response_model=DataState, responses=OR_CSV)
def read_data_state(plane: PlaneDep, _who: SignedIn, kind: Format = "json") -> DataState | Response:
    """How fresh and complete the data are, and what is used of the plan's limits."""
    report = data_state.data_state(
        plane.settings,
        plane.marts,
        plane.scores,
        users=plane.accounts.count(),
        relay_pending_bytes=plane.relay.pending_bytes,
        today=dt.datetime.now(dt.UTC).date(),
    )
    return _csv(plane, "data", DataSet, report.sets) if kind == "csv" else report
