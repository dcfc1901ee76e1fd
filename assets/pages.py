"""What Dagster's asset pages show of marts, as Markdown: a plot and its numbers as a table. Text in, text out.

Reading the marts and attaching the metadata is the assets' business (`assets.mart_pages`, `assets.channel_credits`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from resources.attribution_summaries import CTIT_BINS, credit_by_model, ctit_counts, match_counts
from resources.charts import histograms, markdown_image, stacked_bars
from resources.credit.channel_models import MODELS

FRAUD_ROWS = 30  # of the table on a page; the mart has them all


def credit_markdown(rows: pl.DataFrame, title: str) -> str:
    """Conversions by channel (down) and model (across), above them the same as a plot."""
    shown, amounts = credit_by_model(rows, MODELS)
    plot = markdown_image(stacked_bars(title, amounts, shown), title)
    cells = [
        [code(channel), *(f"{of_model.get(channel, 0.0):,.2f}" for of_model in amounts.values())]
        for channel in shown
    ]
    return "\n".join([plot, "", *markdown_table(["channel", *amounts], cells)])


def installs_markdown(installs: pl.DataFrame) -> tuple[str, str]:
    """Of `installs_by_match`: a CTIT histogram per match with its table, and installs by tier as a table."""
    if installs.is_empty():
        return "no installs on these days", "no installs on these days"
    counts = ctit_counts(installs)
    title = "Click (or view) to install time"
    plot = markdown_image(histograms(title, CTIT_BINS, counts), title)
    rows = [[match, *(f"{count:,}" for count in of_match)] for match, of_match in counts.items()]
    total = installs["installs"].sum()
    tiers = [
        [str(tier), match, f"{count:,}", f"{count / total:.1%}"]
        for tier, match, count in match_counts(installs)
    ]
    return (
        "\n".join([plot, "", *markdown_table(["match", *CTIT_BINS], rows)]),
        "\n".join(markdown_table(["tier", "match", "installs", "share"], tiers, left=2)),
    )


def fraud_markdown(findings: pl.DataFrame) -> str:
    """Of `fraud_findings`: a row per publisher, rule and verdict."""
    if findings.is_empty():
        return "nothing was rejected or flagged on these days"
    rows = [
        [
            code(row["source"]),
            row["rule"],
            row["verdict"],
            f"{row['touches']:,}",
            f"{row['installs']:,}",
            row["reason"].replace("|", "\\|"),
        ]
        for row in findings.head(FRAUD_ROWS).iter_rows(named=True)
    ]
    heads = ["publisher", "rule", "verdict", "touches", "installs", "why"]
    left = findings.height - len(rows)
    more = [f"\n… and {left} more in marts.fraud_daily"] if left > 0 else []
    return "\n".join([*markdown_table(heads, rows, left=3), *more])


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of a Markdown table: its first `left` columns to the left, the others to the right."""
    rule = "---|" * left + "---:|" * (len(heads) - left)
    return [f"| {' | '.join(heads)} |", f"|{rule}", *(f"| {' | '.join(row)} |" for row in rows)]


def code(text: str) -> str:
    """A channel's name inside a Markdown table: the tenant's own text, so no pipe and no markup."""
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`" if text else "(none)"
