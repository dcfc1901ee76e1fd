"""The jobs of the graph: which assets run together. One process per run: imports cost more than small steps."""

import dagster as dg

MART_ASSETS = (
    "skan_postbacks",
    "installs",
    "campaign_daily",
    "kpi_daily",
    "usage_daily",
    "cohorts",
    "cohort_curves",
    "funnel_daily",
    "skan_daily",
    "skan_events_daily",
    "ssot_daily",
    "device_days",
    "device_milestones",
    "credited_conversions",
    "attribution_credits",
    "journey_paths",
    "channel_credits",
    "attributed_purchases",
    "fraud_daily",
    "install_events",
    "returning_sessions",
    "install_flags",
    "reengagements",
    "touch_decisions",
)
SCORING_ASSETS = ("ltv_scores", "tenant_exports")

SLICE_JOB = dg.define_asset_job(
    "slice_job",
    selection=dg.AssetSelection.assets("clean_events", *MART_ASSETS, "user_features", *SCORING_ASSETS),
    executor_def=dg.in_process_executor,
    description="Everything of a (tenant, date) slice: clean, marts, features, scores, exports.",
)
MARTS_JOB = dg.define_asset_job(
    "marts_job",
    selection=dg.AssetSelection.assets(*MART_ASSETS, "user_features", *SCORING_ASSETS),
    executor_def=dg.in_process_executor,
    description="A reopened slice: marts and what follows from them; clean events stay.",
)
TRAIN_JOB = dg.define_asset_job(
    "train_job",
    selection=dg.AssetSelection.assets("ltv_model"),
    executor_def=dg.in_process_executor,
    description="Trains one tenant's LTV model and promotes it if it is better.",
)
PUBLISH_JOB = dg.define_asset_job(
    "publish_job",
    selection=dg.AssetSelection.assets(*SCORING_ASSETS),
    executor_def=dg.in_process_executor,
    description="Scores and exports of a slice, after a new champion.",
)
