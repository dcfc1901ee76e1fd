"""What users are predicted to be worth and how likely they leave, from the scores that were pushed.

A model whose name begins with `churn` gives probabilities; every other gives micro-units of the tenant's currency.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from tenant_plane.detail_views import ChurnBin, ChurnSet, Value, ValueBySource, ValueSet
from tenant_plane.reports.periods import DAYS_OF
from tenant_plane.score_store import CHURN, ScoreSet, ScoreStore
from tenant_plane.views import HistogramBin

CHURN_BINS = 10  # tenths: the reader thinks of probabilities in them
AT_RISK_ABOVE = 0.5


def value(tenant_id: str, period: str, scores: ScoreStore) -> Value:
    """The newest predictions of both kinds; a period earlier gives the comparison."""
    ltv, churn = scores.latest(excluding=CHURN), scores.latest(beginning=CHURN)
    return Value(
        tenant_id=tenant_id,
        period=period,
        ltv=None if ltv is None else value_set(ltv, _earlier(ltv, period, scores), scores),
        by_source=[] if ltv is None else by_source(scores.frame(ltv)),
        churn=None if churn is None else churn_set(churn, scores.frame(churn)),
    )


def value_set(latest: ScoreSet, earlier: ScoreSet | None, scores: ScoreStore) -> ValueSet | None:
    """The distribution of a score set; none when it is empty."""
    found = scores.distribution(latest)
    if found is None:
        return None
    before = None if earlier is None else scores.distribution(earlier)
    return ValueSet(
        model=latest.model,
        as_of=latest.as_of,
        users=found.users,
        mean_micros=found.mean_micros,
        p50_micros=found.p50_micros,
        p90_micros=found.p90_micros,
        histogram=[HistogramBin(**vars(each)) for each in found.histogram],
        previous_as_of=earlier.as_of if earlier and before else None,
        previous_mean_micros=before.mean_micros if before else None,
    )


def by_source(frame: pl.DataFrame) -> list[ValueBySource]:
    """Users and predicted value by the source that the model saw; without one, the source is empty."""
    source = pl.col("features").str.json_path_match("$.source").fill_null("").alias("source")
    grouped = frame.select(source, "score").group_by("source").agg(pl.len().alias("users"), pl.sum("score"))
    found = [
        ValueBySource(
            source=row["source"],
            users=row["users"],
            mean_micros=round(row["score"] / row["users"]),
            total_micros=round(row["score"]),
        )
        for row in grouped.to_dicts()
    ]
    return sorted(found, key=lambda row: (-row.total_micros, row.source))


def churn_set(latest: ScoreSet, frame: pl.DataFrame) -> ChurnSet | None:
    """The distribution of probabilities in tenths; none when it is empty."""
    if frame.is_empty():
        return None
    tenths = (frame["score"] * CHURN_BINS).floor().clip(0, CHURN_BINS - 1).cast(pl.Int64).to_list()
    counts = [0] * CHURN_BINS
    for tenth in tenths:
        counts[tenth] += 1
    return ChurnSet(
        model=latest.model,
        as_of=latest.as_of,
        users=frame.height,
        mean=float(frame["score"].sum()) / frame.height,
        at_risk_users=frame.filter(pl.col("score") > AT_RISK_ABOVE).height,
        histogram=[
            ChurnBin(from_=at / CHURN_BINS, to=(at + 1) / CHURN_BINS, users=users)
            for at, users in enumerate(counts)
        ],
    )


def _earlier(latest: ScoreSet, period: str, scores: ScoreStore) -> ScoreSet | None:
    before = latest.as_of - dt.timedelta(days=DAYS_OF[period])
    return scores.latest(latest.model, not_after=before)
