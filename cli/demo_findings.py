"""What attribution found, for the demo's report: credit by channel and model, CTIT, fraud, truth against decision.

Plain rows, so that the JSON report, the terminal and the page show the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from resources.attribution_summaries import (
    CTIT_BINS,
    ctit_counts,
    fraud_findings,
    installs_by_match,
    match_counts,
)
from resources.credit_marts import PERIOD, journeys, touch_sums
from simulator.accuracy import Decided, accuracy, confusion, full_accuracy, install_cases, plain_confusion

if TYPE_CHECKING:
    from cli.demo_steps import DemoWorld
    from resources.clickhouse import ClickHouse

_DAYS = "SELECT min(event_date) AS first, max(event_date) AS last FROM kpi_daily WHERE tenant_id = {tenant:String}"


def findings(clickhouse: ClickHouse, tenant_id: str) -> dict[str, Any]:
    """Of all of a tenant's days: `credits`, `ctit`, `matches` and `fraud`, each a list of rows."""
    days = clickhouse.query_rows(_DAYS, {"tenant": tenant_id})[0]
    period = (clickhouse, tenant_id, days["first"], days["last"])
    installs = installs_by_match(*period)
    return {
        "from": days["first"],
        "to": days["last"],
        "credits": credit_rows(touch_sums(*period, PERIOD), journeys(*period, PERIOD)),
        "ctit": [
            {"match": match, "ctit": name, "installs": count}
            for match, counts in ctit_counts(installs).items()
            for name, count in zip(CTIT_BINS, counts, strict=True)
        ],
        "matches": [
            {"tier": tier, "match": match, "installs": count} for tier, match, count in match_counts(installs)
        ],
        "fraud": fraud_findings(*period).to_dicts(),
    }


def credit_rows(sums: pl.DataFrame, paths: pl.DataFrame) -> list[dict[str, Any]]:
    """Credit of a period by conversion type, model and channel, all apps together; models in their usual order."""
    from resources.credit.channel_models import MODELS, channel_credits  # noqa: PLC0415 - SciPy: 0.5 CPU s of import

    keys = ("conversion_type", "model", "channel")
    rows = channel_credits(sums, paths).group_by(keys).agg(pl.col("conversions", "revenue_micros").sum())
    order = {model: place for place, model in enumerate(MODELS)}
    placed = rows.with_columns(place=pl.col("model").replace_strict(order, return_dtype=pl.Int64))
    return placed.sort("conversion_type", "place", "channel").drop("place").to_dicts()


def attribution(world: DemoWorld, clickhouse: ClickHouse) -> dict[str, Any]:
    """Accuracy of what was decided against the simulated truth; empty where there is none.

    Of the plain world as `accuracy` has it; of the full one as `full_accuracy`, which tells matches apart and
    knows fraud.
    """
    if not world.truth:
        return {}
    truth = _all_tenants(world)
    installs = _mart(clickhouse, "installs")
    figures = dict(accuracy(truth["installs"], installs))
    if "publishers" in truth:
        marts = {name: _mart(clickhouse, name) for name in ("reengagements", "fraud_daily", "install_flags")}
        figures |= full_accuracy(truth, Decided(installs, _mart(clickhouse, "touch_decisions"), **marts))
    return figures


def confusion_rows(world: DemoWorld, clickhouse: ClickHouse) -> list[dict[str, Any]]:
    """Installs by what was true and what was decided (`!`: another touch has the credit); none without a truth."""
    if not world.truth:
        return []
    truth, installs = _all_tenants(world), _mart(clickhouse, "installs")
    if "publishers" in truth:
        rows = confusion(install_cases(truth, Decided(installs, pl.DataFrame())))
    else:
        rows = plain_confusion(
            truth["installs"], installs.select("install_id", "touch_id", "touch_type", "match_type")
        )
    return rows.with_columns(pl.col("installs").cast(pl.Int64)).to_dicts()


def _all_tenants(world: DemoWorld) -> dict[str, pl.DataFrame]:
    """The truth of all tenants; publishers, which do the same to each, once."""
    names = next(iter(world.truth.values()))
    tables = {name: pl.concat(pl.DataFrame(truth[name]) for truth in world.truth.values()) for name in names}
    if "publishers" in tables:
        tables["publishers"] = tables["publishers"].unique("source", maintain_order=True)
    return tables


def _mart(clickhouse: ClickHouse, name: str) -> pl.DataFrame:
    return pl.DataFrame(clickhouse.query_arrow(f"SELECT * FROM {name}"))  # noqa: S608 - our own marts
