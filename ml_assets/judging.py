"""A challenger's trial: trained, cross-fitted, and compared with baselines and champion. Nothing is stored here.

The model that may be served is trained on three quarters of the users; the holdout is the same users in every
run, so a champion is never measured on users it was trained on. Against the baselines every quarter is
predicted in turn by a model that has not seen it: one holdout of 233 users in which one payer made a quarter
of the revenue refused a model that beat both baselines in 32 of 32 other splits (simulator, 7 and 14 days).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.evaluation import (
    Metrics,
    Vector,
    Verdict,
    decile_table,
    evaluate,
    gate,
    mean_baseline,
    source_baseline,
)
from ml_assets.labels import HOLDOUT_PERCENT, LABEL, folds, split
from ml_assets.training import TrainedModel, target_units, train
from resources.feature_encoding import feature_matrix
from resources.ltv_scorer import MICROS_PER_UNIT, LtvScorer, open_session, predict_units

PAYERS_MIN = 20  # fewer paying users and the trees learn those users, not what payers have in common
HOLDOUT_PAYERS_MIN = 5  # fewer and the comparison with the champion is noise


@dataclass(frozen=True)
class Judged:
    """A trained challenger, its metrics and the baselines', and the gate's verdict."""

    model: TrainedModel
    train_rows: int
    holdout: dict[str, Metrics]
    crossfit: dict[str, Metrics]
    verdict: Verdict
    deciles: list[tuple[int, int, float, float]]

    def metrics(self) -> dict[str, float]:
        """Every metric by name: `holdout_model_…`, `crossfit_source_…` and so on.

        Who: `model`, `mean` and `source` (the baselines), on the holdout also `champion`.
        """
        named: dict[str, float] = {}
        for where, all_metrics in (("holdout", self.holdout), ("crossfit", self.crossfit)):
            for who, metrics in all_metrics.items():
                named |= metrics.named(f"{where}_{who}")
        return named | {"train_rows": float(self.train_rows), "onnx_parity": self.model.parity}


@dataclass(frozen=True)
class _Fold:
    """Actual and predicted values of held-out users, in currency units."""

    model: TrainedModel
    train_rows: int
    actual: Vector
    predicted: dict[str, Vector]


def too_little(frame: pl.DataFrame, rows_min: int) -> str | None:
    """Why these rows cannot train a model honestly, None when they can."""
    if frame.height < rows_min:
        return f"{frame.height} users with an observed horizon, {rows_min} are needed: wait for more days"
    rest, held_out = split(frame, HOLDOUT_PERCENT)
    payers, held_out_payers = ((part[LABEL] > 0).sum() for part in (rest, held_out))
    if payers < PAYERS_MIN or held_out_payers < HOLDOUT_PAYERS_MIN:
        return (
            f"{payers} paying users to train on and {held_out_payers} held out, {PAYERS_MIN} and "
            f"{HOLDOUT_PAYERS_MIN} are needed: wait for more days"
        )
    return None


def judge(frame: pl.DataFrame, champion: LtvScorer | None) -> Judged:
    """Train and compare; the first fold's model is the challenger. The champion is only met on its holdout."""
    parts = folds(frame)
    tried = [_try(rest, held_out) for rest, held_out in parts]
    first = tried[0]
    holdout = {who: evaluate(first.actual, predicted) for who, predicted in first.predicted.items()}
    if champion is not None:
        predicted = champion.predict_micros(parts[0][1]) / MICROS_PER_UNIT
        holdout["champion"] = evaluate(first.actual, predicted)
    actual = np.concatenate([fold.actual for fold in tried])
    crossfitted = {who: np.concatenate([fold.predicted[who] for fold in tried]) for who in first.predicted}
    crossfit = {who: evaluate(actual, predicted) for who, predicted in crossfitted.items()}
    baselines = {who: metrics for who, metrics in crossfit.items() if who != "model"}
    verdict = gate(crossfit["model"], baselines, holdout["model"], holdout.get("champion"))
    deciles = decile_table(actual, crossfitted["model"])
    return Judged(first.model, first.train_rows, holdout, crossfit, verdict, deciles)


def _try(rest: pl.DataFrame, held_out: pl.DataFrame) -> _Fold:
    model = train(rest)
    known = target_units(rest)
    predicted = {
        "model": predict_units(open_session(model.onnx), feature_matrix(held_out, model.encoding)),
        "mean": mean_baseline(known, held_out.height),
        "source": source_baseline(rest["source"], known, held_out["source"]),
    }
    return _Fold(model, rest.height, target_units(held_out), predicted)
