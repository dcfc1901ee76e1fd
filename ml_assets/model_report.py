"""What a person sees of a training run on its asset page: shaping of metadata, nothing is computed."""

from collections.abc import Mapping

import dagster as dg

SHOWN_METRICS = (
    "rows",
    "mean_actual",
    "mean_predicted",
    "mae",
    "rmse",
    "tweedie_deviance",
    "spearman",
    "normalised_gini",
    "lift_top_decile",
)


COLUMNS = {
    "model": "crossfit_model",
    "mean": "crossfit_mean",
    "per source": "crossfit_source",
    "model, holdout": "holdout_model",
    "champion, holdout": "holdout_champion",
}


def comparison_table(metrics: Mapping[str, float]) -> dg.MetadataValue:
    """Metrics × (model, baselines, champion); columns that were not measured are left out."""
    present = {title: prefix for title, prefix in COLUMNS.items() if f"{prefix}_rows" in metrics}
    lines = ["| metric | " + " | ".join(present) + " |", "|---|" + "---:|" * len(present)]
    for name in SHOWN_METRICS:
        cells = (f"{metrics[f'{prefix}_{name}']:.4g}" for prefix in present.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def decile_markdown(deciles: list[tuple[int, int, float, float]]) -> dg.MetadataValue:
    """Tenths of the holdout from the highest predictions down, with a bar per actual mean."""
    highest = max((actual for _, _, actual, _ in deciles), default=0.0) or 1.0
    lines = ["| tenth | users | actual mean | predicted mean | |", "|---:|---:|---:|---:|---|"]
    for place, rows, actual, predicted in deciles:
        bar = "█" * round(20 * actual / highest)
        lines.append(f"| {place} | {rows} | {actual:.3f} | {predicted:.3f} | {bar} |")
    return dg.MetadataValue.md("\n".join(lines))
