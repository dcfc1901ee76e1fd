"""The pages of the dashboard: `/api/v1/dashboard/…`, as JSON, or each page's table as CSV. Thin: `reports` computes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query
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
Report = TypeVar("Report", bound=View)
Source = Annotated[str, Query(max_length=256, description="empty: all sources")]
LIST_MAX = 200  # rows of installs that a page shows at once
OR_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@dataclass(frozen=True)
class Reader:
    """Whoever is signed in, asking for a report."""

    plane: Plane
    is_csv: bool

    @property
    def tenant_id(self) -> str:
        """Whose plane this is."""
        return self.plane.settings.id

    def answer(self, report: Report, name: str, row: type[View], rows: list[Any]) -> Report | Response:
        """The report, or its table as a file of that name."""
        return table_response(row, rows, f"{self.tenant_id}_{name}.csv") if self.is_csv else report


def reader(plane: PlaneDep, _who: SignedIn, kind: Format = "json") -> Reader:
    """What every report's route needs."""
    return Reader(plane, kind == "csv")


Asked = Annotated[Reader, Depends(reader)]


@router.get("/attribution", response_model=Attribution, responses=OR_CSV)
def read_attribution(
    *,
    asked: Asked,
    period: Period = "30d",
    model: Model = "last_touch",
    against: Model = "first",
) -> Attribution | Response:
    """Credit by campaign under one model, and the difference to another."""
    report = credit.attribution(asked.tenant_id, period, model, against, asked.plane.marts)
    name = f"attribution_{model}_against_{against}_{period}"
    return asked.answer(report, name, AttributionRow, report.rows)


@router.get("/channels", response_model=Channels, responses=OR_CSV)
def read_channels(asked: Asked, period: Period = "30d") -> Channels | Response:
    """Credit by channel under every model."""
    report = credit.channels(asked.tenant_id, period, asked.plane.marts)
    return asked.answer(report, f"channels_{period}", ChannelCredit, report.rows)


@router.get("/cohorts", response_model=Cohorts, responses=OR_CSV)
def read_cohorts(
    *,
    asked: Asked,
    period: CohortPeriod = "30d",
    source: Source = "",
) -> Cohorts | Response:
    """Retention, revenue to date and ROAS by the day of the install and the days since."""
    report = heat_map.cohorts(asked.tenant_id, period, source, asked.plane.marts)
    return asked.answer(report, f"cohorts_{period}", CohortLine, cohort_lines(report))


@router.get("/spend", response_model=Spend, responses=OR_CSV)
def read_spend(asked: Asked, period: Period = "30d") -> Spend | Response:
    """Spend, ROAS and cost per install by day and by source."""
    report = spend.spend(asked.tenant_id, period, asked.plane.marts)
    return asked.answer(report, f"spend_{period}", SpendRow, report.rows)


@router.get("/funnel", response_model=Funnel, responses=OR_CSV)
def read_funnel(
    *,
    asked: Asked,
    period: Period = "30d",
    source: Source = "",
) -> Funnel | Response:
    """Device-days from impression to purchase."""
    report = funnel.funnel(asked.tenant_id, period, source, asked.plane.marts)
    return asked.answer(report, f"funnel_{period}", FunnelRow, report.rows)


@router.get("/fraud", response_model=Fraud, responses=OR_CSV)
def read_fraud(asked: Asked, period: Period = "30d") -> Fraud | Response:
    """What was rejected or flagged, by source and rule, with reasons."""
    report = fraud.fraud(asked.tenant_id, period, asked.plane.marts)
    return asked.answer(report, f"fraud_{period}", FraudFinding, report.findings)


@router.get("/value", response_model=Value, responses=OR_CSV)
def read_value(asked: Asked, period: Period = "30d") -> Value | Response:
    """Predicted value and probability to leave, as distributions."""
    report = value.value(asked.tenant_id, period, asked.plane.scores)
    return asked.answer(report, "value_by_source", ValueBySource, report.by_source)


@router.get("/installs", response_model=InstallList, responses=OR_CSV)
def read_installs(
    *,
    asked: Asked,
    period: Period = "30d",
    search: Annotated[str, Query(max_length=256)] = "",
    limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
) -> InstallList | Response:
    """Installs of the period, newest first: by the start of the id, or a part of source or campaign."""
    report = trace.installs(
        asked.tenant_id, period, search.strip(), asked.plane.marts, limit=limit, offset=offset
    )
    return asked.answer(report, f"installs_{period}", InstallItem, report.items)


@router.get("/installs/{install_id}", response_model=InstallTrace, responses=OR_CSV)
def read_trace(install_id: str, asked: Asked) -> InstallTrace | Response:
    """Why one install is credited as it is: the touches considered, their verdicts and reasons."""
    report = trace.trace(asked.tenant_id, install_id, asked.plane.marts)
    return asked.answer(report, "trace", TraceCandidate, report.candidates)


@router.get("/data", response_model=DataState, responses=OR_CSV)
def read_data_state(asked: Asked) -> DataState | Response:
    """How fresh and complete the data are, and what is used of the plan's limits."""
    report = data_state.data_state(
        asked.plane.settings,
        asked.plane.marts,
        asked.plane.scores,
        users=asked.plane.accounts.count(),
        relay_pending_bytes=asked.plane.relay.pending_bytes,
        today=dt.datetime.now(dt.UTC).date(),
    )
    return asked.answer(report, "data", DataSet, report.sets)
