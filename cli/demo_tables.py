"""The demo's report for a person at a terminal: tables, with bars of block characters where shapes matter.

The numbers are `cli.demo_report`'s; the same as a page is `cli.demo_page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from cli.output import table
from resources.attribution_summaries import CTIT_BINS, credit_by_model
from resources.charts import named_series, text_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

MICROS = 1_000_000
TOP_CAMPAIGNS = 6
BAR = 6  # characters
COLUMN = 18  # characters of a bar with its number and the table's lines between
MODEL_METRICS = ("tweedie_deviance", "mae", "rmse", "normalised_gini", "lift_top_decile")
FRAUD_ROWS = 8
CONFUSION_COLUMNS = 6  # with names such as `view by device_id`, in 80 characters
Cells = tuple[object, ...]
MODEL_HEADS = ("metric", "model", "mean", "mean per source")


def render_report(console: Console, report: dict[str, Any]) -> None:
    """The report as tables for a person."""
    columns = ("tenant_id", "sent", "clean", "duplicates", "quarantined", "installs")
    console.print(
        table("Events", columns, [[tenant[key] for key in columns] for tenant in report["tenants"]])
    )
    for tenant in report["tenants"]:
        _render_tenant(console, tenant)
        _render_findings(console, tenant["tenant_id"], report["findings"][tenant["tenant_id"]])
    if report["attribution"]:
        rows = [
            (key, round(value, 4) if isinstance(value, float) else value)
            for key, value in report["attribution"].items()
        ]
        console.print(table("Attribution against the truth", ("measure", "value"), rows))
    if report["confusion"]:
        title = "Truth against decision, installs; ! is credit to another touch"
        console.print(table(title, *confusion_lines(report["confusion"])))
    for tenant_id, metrics in report["ltv"].items():
        if metrics:
            title = f"{tenant_id}: LTV champion, version {metrics['version']}"
            console.print(table(title, MODEL_HEADS, model_rows(metrics)))
    console.print(table("Seconds", ("step", "s"), list(report["seconds"].items())))
    console.print(f"As a page, with plots: {report['report']}", soft_wrap=True)
    if report["kept"]:
        heads = ("service", "url")
        console.print(table("Running; `unmogrowp down` ends it", heads, list(report["urls"].items())))


def model_rows(metrics: dict[str, Any]) -> list[Cells]:
    """The champion beside its baselines, on rows none of them was fitted on (cross-fitted)."""
    return [
        (measure, *(round(metrics[f"crossfit_{who}_{measure}"], 4) for who in ("model", "mean", "source")))
        for measure in MODEL_METRICS
    ]


def confusion_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[Cells]]:
    """Heads and lines: what was true down, what was decided across, and who stole it where somebody did."""
    decided = list(dict.fromkeys(row["decided"] for row in sorted(rows, key=lambda row: row["decided"])))
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        of_true = counts.setdefault(row["true"], dict.fromkeys(decided, 0))
        of_true[row["decided"]] += row["installs"]
    return ["true \\ decided", *decided], [(true, *of_true.values()) for true, of_true in counts.items()]


def confusion_lines(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[Cells]]:
    """`confusion_table` where it fits a terminal, else a line per pair that occurred."""
    heads, lines = confusion_table(rows)
    if len(heads) <= CONFUSION_COLUMNS:
        return heads, lines
    return ["true", "decided", "installs"], [
        (line[0], decided, count)
        for line in lines
        for decided, count in zip(heads[1:], line[1:], strict=True)
        if count
    ]


def credit_table(rows: Sequence[dict[str, Any]], measure: str, width: int) -> tuple[list[str], list[Cells]]:
    """Heads and lines: models down, the biggest channels that fit the width across, each amount behind its bar."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    fitting = max((width - COLUMN) // COLUMN - 1, 1)
    shown, amounts = credit_by_model(pl.DataFrame(rows), models, measure, shown_channels=fitting)
    scale = MICROS if measure == "revenue_micros" else 1
    largest = max((amount for of_model in amounts.values() for amount in of_model.values()), default=0.0)
    lines: list[Cells] = [
        (model, *(_barred(of_model.get(channel, 0.0), largest, scale) for channel in shown))
        for model, of_model in amounts.items()
    ]
    return ["model", *map(named_series, shown)], lines


def ctit_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[Cells]]:
    """Heads and lines: times from click to install down, matches across, each count behind a bar of its match."""
    matches = list(dict.fromkeys(row["match"] for row in rows))
    counts = {(row["match"], row["ctit"]): row["installs"] for row in rows}
    most = {match: max(counts[match, name] for name in CTIT_BINS) for match in matches}
    lines: list[Cells] = [
        (
            name,
            *(
                f"{text_bar(counts[match, name], most[match], BAR):<{BAR}} {counts[match, name]:>6,}"
                for match in matches
            ),
        )
        for name in CTIT_BINS
    ]
    return ["CTIT", *matches], lines


def _barred(amount: float, largest: float, scale: int) -> str:
    return f"{text_bar(amount, largest, BAR):<{BAR}} {amount / scale:>8,.1f}"


def _render_findings(console: Console, name: str, found: dict[str, Any]) -> None:
    for kind, measure in (("install", "conversions"), ("purchase", "revenue_micros")):
        of_kind = [row for row in found["credits"] if row["conversion_type"] == kind]
        what = "revenue" if measure == "revenue_micros" else f"{kind}s"
        if of_kind:
            console.print(
                table(f"{name}: {what} by channel and model", *credit_table(of_kind, measure, console.width))
            )
        else:
            console.print(f"{name}: no {kind}s yet, no credit to give")
    if found["ctit"]:
        console.print(table(f"{name}: installs by time from click (or view)", *ctit_table(found["ctit"])))
    if found["fraud"]:
        heads = ("publisher", "rule", "verdict", "installs", "why")
        lines = [
            [row["source"], *(row[key] for key in ("rule", "verdict", "installs", "reason"))]
            for row in found["fraud"]
        ]
        console.print(table(f"{name}: fraud findings", heads, lines[:FRAUD_ROWS]))
        if len(lines) > FRAUD_ROWS:
            console.print(f"… and {len(lines) - FRAUD_ROWS} more in the page")
    else:
        console.print(f"{name}: no fraud found")


def _render_tenant(console: Console, tenant: dict[str, Any]) -> None:
    name = tenant["tenant_id"]
    held = [
        (
            f"{dataset}, newest day" if dataset == "ltv_scores" else dataset,
            rows,
            tenant["tenant_rows"].get(dataset, 0),
        )
        for dataset, rows in sorted(tenant["export_rows"].items())
    ]
    console.print(table(f"{name}: rows", ("dataset", "exported", "at tenant"), held))
    top = [
        (
            row["source"],
            row["campaign"],
            row["installs"],
            _units(row["revenue_micros"]),
            _units(row["spend_micros"]),
        )
        for row in tenant["campaign_credit"][:TOP_CAMPAIGNS]
    ]
    heads = ("source", "campaign", "installs", "revenue", "spend")
    console.print(table(f"{name}: credit, top {TOP_CAMPAIGNS}", heads, top))


def _units(micros: int) -> float:
    return round(micros / MICROS, 2)
