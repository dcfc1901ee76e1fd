"""`ltv_scores`: the champion's prediction for every user of a slice, and the check of what was written.

Which model is champion is decided in ltv.py; how features become numbers, in resources.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from assets.partitions import TENANT_DAY, RunSlices, run_slices, slices_of_keys
from ml_assets.features import FEATURES_TABLE
from ml_assets.ltv import champion_of
from ml_assets.mappings import OF_TENANT
from resources.lake import Lake
from resources.ltv_scorer import LtvScorer
from resources.model_registry import ModelRegistry

SCORES_TABLE = "ml.scores"
SCORE_SCHEMA = {
    "tenant_id": pl.String,
    "as_of": pl.Date,
    "model_name": pl.String,
    "model_version": pl.String,
    "app_id": pl.String,
    "user_id": pl.String,
    "score": pl.Float64,
    "horizon_days": pl.Int64,
}


@dg.asset(
    partitions_def=TENANT_DAY,
    deps=["user_features", dg.AssetDep("ltv_model", partition_mapping=OF_TENANT)],
    group_name="ml",
    kinds={"iceberg", "onnx"},
    description="The champion's predicted revenue per user as of the install day (Iceberg ml.scores).",
)
def ltv_scores(
    context: dg.AssetExecutionContext, lake: ResourceParam[Lake], models: ResourceParam[ModelRegistry]
) -> dg.MaterializeResult[None]:
    """Features of the slices, scored by the champion; without one the slices are emptied."""
    slices = run_slices(context)
    features = lake.read_slices(FEATURES_TABLE, slices.tenant_id, slices.dates)
    champion = champion_of(models, slices.tenant_id)
    scores = scored(features, champion)
    lake.replace_slices(
        SCORES_TABLE, scores, tenant_id=slices.tenant_id, dates=slices.dates, run_id=context.run.run_id
    )
    return dg.MaterializeResult(metadata=scores_metadata(slices, scores, champion))


@dg.asset_check(
    asset=ltv_scores,
    blocking=True,
    description="Every score is finite and not negative, one per feature row; none without a champion.",
)
def scores_are_sound(
    context: dg.AssetCheckExecutionContext, lake: ResourceParam[Lake], models: ResourceParam[ModelRegistry]
) -> dg.AssetCheckResult:
    """Reads back from the lake what the run's slices hold now; trusts nothing that the asset reported."""
    slices = slices_of_keys(context.op_execution_context.partition_keys)
    features = lake.read_slices(FEATURES_TABLE, slices.tenant_id, slices.dates)
    scores = lake.read_slices(SCORES_TABLE, slices.tenant_id, slices.dates)
    problems = unsound(features, scores, has_champion=champion_of(models, slices.tenant_id) is not None)
    return dg.AssetCheckResult(
        passed=not problems,
        description=f"{slices}: {'; '.join(problems)}" if problems else None,
        metadata={"features": features.height, "scores": scores.height, "problems": problems},
    )


def scored(features: pl.DataFrame, champion: LtvScorer | None) -> pl.DataFrame:
    """Columns of schemas/tables/ml.scores.json, one row per feature row; none without a champion."""
    if champion is None or features.is_empty():
        return pl.DataFrame(schema=SCORE_SCHEMA)
    return features.select(
        "tenant_id",
        "as_of",
        pl.lit(champion.name).alias("model_name"),
        pl.lit(champion.version).alias("model_version"),
        "app_id",
        "user_id",
        pl.Series("score", champion.predict_micros(features)),
        pl.lit(champion.horizon_days, dtype=pl.Int64).alias("horizon_days"),
    )


def unsound(features: pl.DataFrame, scores: pl.DataFrame, *, has_champion: bool) -> list[str]:
    """What is wrong with the scores of these features, one sentence each; none when they are sound."""
    problems = []
    expected = features if has_champion else features.clear()
    keys = ["tenant_id", "as_of", "app_id", "user_id"]
    lacking = expected.select(keys).join(scores.select(keys), on=keys, how="anti").height
    extra = scores.select(keys).join(expected.select(keys), on=keys, how="anti").height
    repeated = scores.height - scores.select(keys).n_unique()
    is_sound = pl.col("score").is_finite() & (pl.col("score") >= 0)
    bad = scores.filter(~is_sound.fill_null(value=False)).height
    if lacking:
        problems.append(f"{lacking} users have no score")
    if extra:
        problems.append(f"{extra} scores have no user")
    if repeated:
        problems.append(f"{repeated} users have more than one score")
    if bad:
        problems.append(f"{bad} scores are negative or not finite")
    return problems


def scores_metadata(slices: RunSlices, scores: pl.DataFrame, champion: LtvScorer | None) -> dict[str, Any]:
    """Rows per date, the model, and the spread of the predictions in micros."""
    if champion is None:
        return {"rows": 0, "model": "none", "reason": f"{slices}: no champion; materialise ltv_model first"}
    spread = scores["score"].describe() if scores.height else pl.DataFrame({"statistic": [], "value": []})
    return {
        "rows": scores.height,
        "rows_by_date": rows_by_date(scores, slices.dates),
        "model": f"{champion.name} version {champion.version}",
        "score_micros": {str(name): round(float(value)) for name, value in spread.iter_rows()},
    }


def rows_by_date(frame: pl.DataFrame, dates: Sequence[dt.date]) -> dict[str, int]:
    """Rows of each date asked for, zero where there are none."""
    counts = dict(frame.group_by("as_of").len().iter_rows())
    return {str(day): int(counts.get(day, 0)) for day in dates}
