"""What people look at first, read from the marts and small: installs by match and CTIT, fraud by publisher.

Of one tenant and some days; the asset pages, the demo's report and its page show the same rows. How they are drawn
is `resources.charts`; multi-touch credit is read by `resources.credit_marts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from resources.charts import COLOURS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from resources.clickhouse import ClickHouse

# CTIT: click (or view) to install time. The edges are those that rules of fraud speak of: 10 s (injection), an hour
# and a day (what people do), seven days (the usual window).
CTIT_EDGES_MS: Final = (10_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000)
CTIT_BINS: Final = ("<10 s", "<1 min", "<10 min", "<1 h", "<6 h", "<1 d", "<7 d", "≥7 d")
ORGANIC: Final = "organic"
SHOWN_CHANNELS: Final = len(COLOURS) - 1  # of a plot and its table; the rest is one more, the others
OTHERS: Final = "others"

_INSTALLS = """
SELECT
    tier, match_type, touch_type,
    arrayCount(edge -> ctit_ms >= edge, {edges:Array(Int64)}) AS bin,
    count() AS installs
FROM installs
WHERE tenant_id = {tenant_id:String} AND event_date BETWEEN {first:Date} AND {last:Date}
GROUP BY tier, match_type, touch_type, bin
ORDER BY tier, match_type, touch_type, bin
"""
_FRAUD = """
SELECT
    source, rule, verdict,
    uniqExact(findings.event_date) AS days,
    sum(findings.touches) AS touches,
    sum(findings.installs) AS installs,
    argMax(findings.reason, (findings.installs, findings.touches, findings.event_date)) AS reason
FROM fraud_daily AS findings
WHERE tenant_id = {tenant_id:String} AND event_date BETWEEN {first:Date} AND {last:Date}
GROUP BY source, rule, verdict
ORDER BY verdict, installs DESC, source, rule
"""


def installs_by_match(clickhouse: ClickHouse, tenant_id: str, first: dt.date, last: dt.date) -> pl.DataFrame:
    """Installs by `tier`, `match` (`device_id`, `view by device_id`, `organic` …) and `bin` of CTIT_BINS.

    An organic install has no CTIT: its bin is null.
    """
    parameters = {"tenant_id": tenant_id, "first": first, "last": last, "edges": list(CTIT_EDGES_MS)}
    rows = pl.DataFrame(clickhouse.query_arrow(_INSTALLS, parameters))
    is_view = pl.col("touch_type") == "impression"
    return rows.select(
        pl.col("tier").cast(pl.Int64),
        match=pl.when(is_view).then("view by " + pl.col("match_type")).otherwise("match_type"),
        bin=pl.when(pl.col("match_type") != ORGANIC).then(pl.col("bin").cast(pl.Int64)),
        installs=pl.col("installs").cast(pl.Int64),
    ).sort("tier", "match", "bin")


def ctit_counts(installs: pl.DataFrame) -> dict[str, list[int]]:
    """Match → installs per bin of CTIT_BINS, best matches first; organic installs have no CTIT and are left out."""
    counts: dict[str, list[int]] = {}
    for match, place, count in installs.drop_nulls("bin").select("match", "bin", "installs").iter_rows():
        counts.setdefault(match, [0] * len(CTIT_BINS))[place] += count
    return counts


def match_counts(installs: pl.DataFrame) -> list[tuple[int, str, int]]:
    """(tier, match, installs), best tiers first, most installs first within one."""
    summed = installs.group_by("tier", "match").agg(pl.col("installs").sum())
    return list(summed.sort("tier", "installs", "match", descending=[False, True, False]).iter_rows())


def fraud_findings(clickhouse: ClickHouse, tenant_id: str, first: dt.date, last: dt.date) -> pl.DataFrame:
    """Findings by publisher, rule and verdict over the days; `reason` is that of the day with the most installs."""
    parameters = {"tenant_id": tenant_id, "first": first, "last": last}
    rows = pl.DataFrame(clickhouse.query_arrow(_FRAUD, parameters))
    return rows.with_columns(pl.col("days", "touches", "installs").cast(pl.Int64))


def ranked_channels(rows: pl.DataFrame, measure: str = "conversions") -> list[str]:
    """Channels of credit rows, those with the most under all models together first."""
    totals = rows.group_by("channel").agg(pl.col(measure).sum())
    return totals.sort(measure, "channel", descending=[True, False])["channel"].to_list()


def credit_by_model(
    rows: pl.DataFrame,
    models: Sequence[str],
    measure: str = "conversions",
    *,
    ranked: Sequence[str] | None = None,
    shown_channels: int = SHOWN_CHANNELS,
) -> tuple[list[str], dict[str, dict[str, float]]]:
    """The channels to show in their order, and model → channel → amount; the channels after them are one, the others.

    Args:
        rows: model, channel and the measure; of one type of conversion.
        models: in the order to show them; those without a row are left out.
        measure: `conversions` or `revenue_micros`.
        ranked: every channel, in the order to show them; most credited first when not given.
        shown_channels: how many channels keep their names.
    """
    order = ranked_channels(rows, measure) if ranked is None else list(ranked)
    named, shown = order, order
    if len(order) > shown_channels:
        named = [channel for channel in order if channel != OTHERS][:shown_channels]
        shown = [*named, OTHERS]
    present = set(rows["model"].unique())
    amounts: dict[str, dict[str, float]] = {model: {} for model in models if model in present}
    for model, channel, amount in rows.select("model", "channel", measure).iter_rows():
        if model in amounts:
            name = channel if channel in named else OTHERS
            amounts[model][name] = amounts[model].get(name, 0.0) + amount
    return shown, amounts
