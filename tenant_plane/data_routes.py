"""Marts and scores in (pushed by the global plane) and out (for people), and the dashboard's numbers.

Thin: the stores and `reports.overview` hold the logic; the other reports are in `report_routes`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from resources.errors import AuthorizationError, ContractError
from tenant_plane.mart_contract import MART_SCHEMAS
from tenant_plane.plane import DOCUMENTED_SECURITY, Plane, PlaneDep, SignedIn, global_plane, read_push
from tenant_plane.push import PushResult
from tenant_plane.reports import overview
from tenant_plane.score_store import Score
from tenant_plane.table_csv import csv_cell, csv_lines
from tenant_plane.views import (
    CalendarDate,
    DashboardStats,
    MartDate,
    MartList,
    MartPage,
    MartSummary,
    ModelName,
    Period,
    Pushed,
    ScoreItem,
    ScorePage,
    ScorePush,
)

PARQUET = "application/vnd.apache.parquet"
PAGE_ROWS_MAX = 10_000  # about 5 MB of installs as JSON

router = APIRouter(prefix="/api/v1", dependencies=DOCUMENTED_SECURITY)
Limit = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX)]
Offset = Annotated[int, Query(ge=0, le=2**40)]
Push = Depends(global_plane)


def _body(media_type: str, schema: dict[str, object]) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _scores_schema() -> dict[str, object]:
    """`ScorePush`, referring to the item that `ScorePage` puts among the document's components."""
    schema = ScorePush.model_json_schema(ref_template="#/components/schemas/{model}")
    return {name: value for name, value in schema.items() if name != "$defs"}


@router.put(
    "/marts/{mart}/{date}",
    tags=["push"],
    dependencies=[Push],
    openapi_extra=_body(PARQUET, {"type": "string", "format": "binary"}),
)
async def put_mart(mart: str, date: CalendarDate, request: Request, plane: PlaneDep) -> Pushed:
    """Take one mart's file of one date in the place of the earlier one (see the push protocol)."""
    _known(mart)
    push, body = await read_push(request, plane)
    result = await run_in_threadpool(plane.ledger.apply, push, lambda: plane.marts.put(mart, date, body))
    return _pushed(plane, mart, result)


@router.post(
    "/ml/scores",
    tags=["push"],
    dependencies=[Push],
    openapi_extra=_body("application/json", _scores_schema()),
)
async def post_scores(request: Request, plane: PlaneDep) -> Pushed:
    """Take a model's scores as of one day in the place of the earlier ones."""
    push, body = await read_push(request, plane)
    scores = await run_in_threadpool(_parsed_scores, body, plane.settings.id)

    def store() -> PushResult:
        items = [Score(item.user_id, item.score, dict(item.features)) for item in scores.items]
        generated_at_ms = int(scores.generated_at.timestamp() * 1000)
        return plane.scores.put(scores.model, scores.as_of, generated_at_ms, items)

    result = await run_in_threadpool(plane.ledger.apply, push, store)
    return _pushed(plane, "scores", result)


@router.get("/marts", tags=["data"])
def list_marts(plane: PlaneDep, _who: SignedIn) -> MartList:
    """What is there: every mart with its dates and rows."""
    dates: dict[str, list[MartDate]] = {mart: [] for mart in MART_SCHEMAS}
    for each in plane.marts.slices():
        pushed_at = dt.datetime.fromtimestamp(each.pushed_at_ms / 1000, dt.UTC)
        dates[each.mart].append(MartDate(date=each.date, rows=each.rows, pushed_at=pushed_at))
    summaries = [
        MartSummary(mart=mart, rows=sum(each.rows for each in there), dates=there)
        for mart, there in dates.items()
    ]
    return MartList(tenant_id=plane.settings.id, marts=summaries)


@router.get(
    "/marts/{mart}",
    tags=["data"],
    response_model=MartPage,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def read_mart(
    mart: str,
    *,
    plane: PlaneDep,
    _who: SignedIn,
    start: Annotated[CalendarDate, Query(alias="from")] = dt.date.min,
    end: Annotated[CalendarDate, Query(alias="to")] = dt.date.max,
    kind: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    limit: Limit = 1000,
    offset: Offset = 0,
) -> MartPage | Response:
    """Rows of a mart in a fixed order: JSON in pages, CSV whole.

    CSV text that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    _known(mart)
    if kind == "csv":
        name = f"{plane.settings.id}_{mart}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_csv(plane, mart, start, end), headers=headers, media_type="text/csv")
    names = MART_SCHEMAS[mart].names
    pages = plane.marts.pages(mart, start, end, limit=limit, offset=offset)
    rows = [dict(zip(names, _json_row(row), strict=True)) for page in pages for row in page]
    total = plane.marts.count(mart, start, end)
    return MartPage.model_validate(
        {
            "tenantId": plane.settings.id,
            "mart": mart,
            "total": total,
            "rows": rows,
            "nextOffset": _next(offset, len(rows), total),
        }
    )


@router.get("/ml/scores", tags=["data"])
def read_scores(
    plane: PlaneDep, _who: SignedIn, model: ModelName | None = None, limit: Limit = 1000, offset: Offset = 0
) -> ScorePage:
    """The newest scores (of one model, or of the newest), highest first."""
    latest = plane.scores.latest(model)
    items = [] if latest is None else plane.scores.page(latest, limit=limit, offset=offset)
    total = 0 if latest is None else latest.rows
    return ScorePage(
        tenant_id=plane.settings.id,
        model=None if latest is None else latest.model,
        as_of=None if latest is None else latest.as_of,
        generated_at=(
            None if latest is None else dt.datetime.fromtimestamp(latest.generated_at_ms / 1000, dt.UTC)
        ),
        total=total,
        items=[ScoreItem.model_validate(vars(item)) for item in items],
        next_offset=_next(offset, len(items), total),
    )


@router.get("/dashboard/stats", tags=["data"])
def dashboard_stats(plane: PlaneDep, _who: SignedIn, period: Period = "30d") -> DashboardStats:
    """The dashboard's numbers. The period ends at the newest date that has KPIs, not today."""
    return overview.stats(plane.settings.id, period, plane.marts, plane.scores)


def _known(mart: str) -> None:
    if mart not in MART_SCHEMAS:
        raise HTTPException(404, f"there is no such mart here: ask for one of {', '.join(MART_SCHEMAS)}")


def _pushed(plane: Plane, what: str, result: PushResult) -> Pushed:
    plane.metrics.pushed(what, result.rows)
    return Pushed(rows=result.rows, replaced=result.replaced)


def _parsed_scores(body: bytes, tenant_id: str) -> ScorePush:
    try:
        scores = ScorePush.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        pointer = "/" + "/".join(str(part) for part in first["loc"])
        raise ContractError(f"scores pushed to tenant {tenant_id}: {pointer}: {first['msg']}") from error
    if scores.tenant_id != tenant_id:
        raise AuthorizationError(
            f"the pushed scores name another tenant than {tenant_id}: nothing was stored"
        )
    # a user of two of the tenant's apps has a score in each
    if len({(item.user_id, repr(item.features.get("app_id"))) for item in scores.items}) != len(scores.items):
        raise ContractError(
            f"scores pushed to tenant {tenant_id}: a userId is there twice for one app: send one score each"
        )
    return scores


def _next(offset: int, got: int, total: int) -> int | None:
    return offset + got if got and offset + got < total else None


def _json_row(row: tuple[object, ...]) -> list[object]:
    return [value.isoformat() if isinstance(value, dt.date) else value for value in row]


def _csv(plane: Plane, mart: str, start: dt.date, end: dt.date) -> Iterator[str]:
    yield csv_lines([MART_SCHEMAS[mart].names])
    for page in plane.marts.pages(mart, start, end):
        yield csv_lines([[csv_cell(value) for value in row] for row in page])
