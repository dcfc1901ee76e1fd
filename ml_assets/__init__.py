"""Features → models → scores, as one part of the asset graph: `build_defs()` assembles it.

Resources (`lake`, `clickhouse`, `registry`, `models`, `settings`) come from whoever assembles the whole.
"""

from __future__ import annotations

import dagster as dg


def build_defs() -> dg.Definitions:
    """The assets of the ML graph with their checks, without their resources."""
    from ml_assets.features import user_features_asset  # noqa: PLC0415 - keeps `import ml_assets` cheap
    from ml_assets.ltv import ltv_model  # noqa: PLC0415 - as above
    from ml_assets.scores import ltv_scores, scores_are_sound  # noqa: PLC0415 - as above

    return dg.Definitions(
        assets=[user_features_asset, ltv_model, ltv_scores], asset_checks=[scores_are_sound]
    )
