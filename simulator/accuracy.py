"""How right the attribution was: decided installs against the truth they were simulated from. Pure counting."""

from __future__ import annotations

import polars as pl

ORGANIC = "organic"


def accuracy(truth: pl.DataFrame, decided: pl.DataFrame) -> dict[str, float | int]:
    """Precision and recall of deterministic credit, and recall of organic installs.

    Args:
        truth: `install_id`, `true_match` (click, view or organic) and `true_touch_id` of every simulated install.
        decided: `install_id` and `touch_id` (empty when organic) of the mart.

    Returns:
        Counts, and shares between 0 and 1. Credit is right only if it went to the very touch that caused the
        install, not merely to its campaign.
    """
    joined = truth.join(decided.select("install_id", "touch_id"), on="install_id", how="left")
    caused = pl.col("true_match") != ORGANIC
    credited = pl.col("touch_id").fill_null("") != ""
    right = caused & (pl.col("touch_id") == pl.col("true_touch_id"))
    counts = joined.select(
        installs=pl.len(),
        decided=pl.col("touch_id").is_not_null().sum(),
        caused=caused.sum(),
        credited=credited.sum(),
        right=right.fill_null(value=False).sum(),
        organic=(~caused).sum(),
        organic_right=(~caused & ~credited & pl.col("touch_id").is_not_null()).sum(),
    ).row(0, named=True)
    return {
        **counts,
        "deterministic_precision": _share(counts["right"], counts["credited"]),
        "deterministic_recall": _share(counts["right"], counts["caused"]),
        "organic_recall": _share(counts["organic_right"], counts["organic"]),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
