"""`ltv_model`: the tenant's revenue model, trained, judged, registered, and promoted when it deserves it.

Assembly of labels.py, judging.py and the registry lives here; their logic does not, and scoring does not.
Training again on the same rows makes no second version.
"""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl
from dagster import ResourceParam

from assets.partitions import TENANT
from ml_assets.features import FEATURES_TABLE
from ml_assets.judging import Judged, judge, too_little
from ml_assets.labels import (
    HOLDOUT_PERCENT,
    LABEL,
    LABEL_COLUMNS,
    fingerprint,
    label_dates,
    labelled,
    mature_dates,
)
from ml_assets.mappings import OF_TENANT
from ml_assets.model_report import comparison_table, decile_markdown
from ml_assets.training import PARAMS, RECIPE
from resources.errors import ModelNotFoundError
from resources.lake import Lake, current_snapshot_id
from resources.ltv_scorer import (
    ARCHIVE_FILE,
    CARD_FILE,
    CHALLENGER,
    CHAMPION,
    ENCODING_FILE,
    MODEL_FILE,
    LtvScorer,
    load_ltv_scorer,
    ltv_model_name,
)
from resources.model_registry import ModelRegistry, ModelVersion
from resources.registry import Registry
from resources.settings import Settings

EXPERIMENT = "ltv"
FINGERPRINT_TAG = "training_fingerprint"
VERDICT_TAG = "verdict"
PROMOTED = "promoted"


@dataclass(frozen=True)
class TrainingSet:
    """Labelled rows of the mature days, and where they come from."""

    tenant_id: str
    frame: pl.DataFrame
    dates: tuple[dt.date, ...]
    horizon_days: int
    currency: str
    features_snapshot_id: int | None

    @property
    def fingerprint(self) -> str:
        """Equal when training would give the same model."""
        return fingerprint(self.frame, f"{RECIPE}|{self.horizon_days}|{self.currency}|{HOLDOUT_PERCENT}")


@dg.asset(
    partitions_def=TENANT,
    deps=[dg.AssetDep("user_features", partition_mapping=OF_TENANT)],
    group_name="ml",
    kinds={"xgboost", "mlflow", "onnx"},
    description="Revenue after the install day per user: challenger of the mature days, champion by gate.",
)
def ltv_model(
    context: dg.AssetExecutionContext,
    lake: ResourceParam[Lake],
    models: ResourceParam[ModelRegistry],
    registry: ResourceParam[Registry],
    settings: ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """The tenant's mature rows, a model compared with baselines and champion, and its registration."""
    tenant_id = context.partition_key
    data = read_training_set(lake, tenant_id, settings.ltv_horizon_days, registry.get(tenant_id).currency)
    if (lacking := too_little(data.frame, settings.ltv_min_training_rows)) is not None:
        return dg.MaterializeResult(metadata={"trained": False, "reason": lacking})
    known = models.find(ltv_model_name(tenant_id), tag=FINGERPRINT_TAG, value=data.fingerprint)
    if known is not None:
        promote(models, known)
        return dg.MaterializeResult(metadata=known_metadata(known, models.metrics(known)))
    judged = judge(data.frame, champion_of(models, tenant_id))
    version = register(models, data, judged, context.run.run_id)
    promote(models, version)
    return dg.MaterializeResult(metadata=judged_metadata(version, data, judged))


def read_training_set(lake: Lake, tenant_id: str, horizon_days: int, currency: str) -> TrainingSet:
    """Features of the tenant's mature days with their labels; empty when no day is mature."""
    snapshot_id = current_snapshot_id(lake.table(FEATURES_TABLE))
    feature_dates = lake.slice_dates(FEATURES_TABLE, tenant_id)
    dates = mature_dates(feature_dates, lake.slice_dates("clean.events", tenant_id), horizon_days)
    if not dates:
        empty = pl.DataFrame(schema={LABEL: pl.Int64})
        return TrainingSet(tenant_id, empty, (), horizon_days, currency, snapshot_id)
    features = lake.read_slices(FEATURES_TABLE, tenant_id, dates)
    events = lake.read_slices("clean.events", tenant_id, label_dates(dates, horizon_days), LABEL_COLUMNS)
    frame = labelled(features, events, horizon_days=horizon_days, currency=currency)
    return TrainingSet(tenant_id, frame, tuple(dates), horizon_days, currency, snapshot_id)


def champion_of(models: ModelRegistry, tenant_id: str) -> LtvScorer | None:
    """The tenant's present champion, None when there is none."""
    try:
        return load_ltv_scorer(models, tenant_id)
    except ModelNotFoundError:
        return None


def register(models: ModelRegistry, data: TrainingSet, judged: Judged, run_id: str) -> ModelVersion:
    """Log run, metrics and files; the verdict goes with the version, so a retry promotes alike."""
    card = {
        "tenant_id": data.tenant_id,
        "horizon_days": data.horizon_days,
        "currency": data.currency,
        "target": "revenue in currency units after as_of, within the horizon",
        "trained_from": str(data.dates[0]),
        "trained_through": str(data.dates[-1]),
        "features_snapshot_id": data.features_snapshot_id,
        "rounds": judged.model.rounds,
        FINGERPRINT_TAG: data.fingerprint,
    }
    return models.register(
        ltv_model_name(data.tenant_id),
        experiment=EXPERIMENT,
        files={
            MODEL_FILE: judged.model.onnx,
            ARCHIVE_FILE: judged.model.ubj,
            ENCODING_FILE: judged.model.encoding.to_json().encode(),
            CARD_FILE: json.dumps(card, sort_keys=True, indent=2).encode(),
        },
        params={**PARAMS, "rounds": judged.model.rounds, "horizon_days": data.horizon_days},
        metrics=judged.metrics(),
        tags={
            "tenant_id": data.tenant_id,
            "dagster_run_id": run_id,
            "features_snapshot_id": str(data.features_snapshot_id),
            FINGERPRINT_TAG: data.fingerprint,
            VERDICT_TAG: PROMOTED if judged.verdict.promoted else judged.verdict.reason,
        },
    )


def promote(models: ModelRegistry, version: ModelVersion) -> None:
    """Make it the challenger, and the champion when its verdict says so; never back to an older version."""
    models.set_alias(version.name, CHALLENGER, version.version)
    if version.tags.get(VERDICT_TAG) != PROMOTED:
        return
    try:
        champion = models.by_alias(version.name, CHAMPION)
    except ModelNotFoundError:
        champion = None
    if champion is None or int(champion.version) < int(version.version):
        models.set_alias(version.name, CHAMPION, version.version)


def judged_metadata(version: ModelVersion, data: TrainingSet, judged: Judged) -> dict[str, Any]:
    """What is worth seeing of a fresh model: the verdict, the comparison, the tenths, where it came from."""
    return {
        **known_metadata(version, judged.metrics()),
        "reason": judged.verdict.reason,
        "days": f"{data.dates[0]}..{data.dates[-1]}",
        "tenths": decile_markdown(judged.deciles),
        "features_snapshot_id": str(data.features_snapshot_id),
    }


def known_metadata(version: ModelVersion, metrics: dict[str, float]) -> dict[str, Any]:
    """The same of a version that these rows had already trained."""
    return {
        "trained": True,
        "model": version.name,
        "version": version.version,
        "promoted": version.tags.get(VERDICT_TAG) == PROMOTED,
        "reason": f"version {version.version} was trained on exactly these rows; its verdict stands",
        "comparison": comparison_table(metrics),
        "metrics": dg.MetadataValue.json(metrics),
    }
