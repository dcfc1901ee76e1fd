"""How good an LTV prediction is, what it must beat, and the gate. Pure; nothing here trains or stores.

Revenue is zero for most users and heavy-tailed for the rest, so the deciding measures are the mean Tweedie
deviance (proper for a mean of such a variable) and the normalised Gini (who is worth more than whom); MAE is
reported but its optimum here is the median, zero.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Vector: TypeAlias = npt.NDArray[np.float64]

TWEEDIE_POWER = 1.5  # between Poisson (1) and gamma (2): a sum of a random number of purchases
SOURCE_PRIOR_ROWS = 20  # weight of the overall mean in a source's: small sources are noise
SMALLEST_PREDICTION = 1e-6  # currency units; the deviance is infinite at 0


@dataclass(frozen=True)
class Metrics:
    """Quality on one set of rows. Money in currency units; `lift_top_decile` is 1.0 for a random order."""

    rows: int
    mean_actual: float
    mean_predicted: float
    mae: float
    rmse: float
    tweedie_deviance: float
    spearman: float
    gini: float
    normalised_gini: float
    lift_top_decile: float

    def named(self, prefix: str) -> dict[str, float]:
        """The metrics as `prefix_name` → value."""
        return {f"{prefix}_{name}": float(value) for name, value in asdict(self).items()}


def evaluate(actual: Vector, predicted: Vector) -> Metrics:
    """Metrics of predictions against actual revenue (both ≥ 0, currency units, one row or more)."""
    error = predicted - actual
    best = _gini(actual, actual)
    gini = _gini(actual, predicted)
    return Metrics(
        rows=len(actual),
        mean_actual=float(actual.mean()),
        mean_predicted=float(predicted.mean()),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        tweedie_deviance=_tweedie_deviance(actual, predicted),
        spearman=_spearman(actual, predicted),
        gini=gini,
        normalised_gini=gini / best if best > 0 else 0.0,
        lift_top_decile=_top_decile_lift(actual, predicted),
    )


def decile_table(actual: Vector, predicted: Vector) -> list[tuple[int, int, float, float]]:
    """(decile, rows, mean actual, mean predicted) from the highest predictions to the lowest."""
    order = np.argsort(-predicted, kind="stable")
    parts = [part for part in np.array_split(order, 10) if len(part)]
    return [
        (place, len(part), float(actual[part].mean()), float(predicted[part].mean()))
        for place, part in enumerate(parts, start=1)
    ]


def mean_baseline(train_actual: Vector, rows: int) -> Vector:
    """The mean of the training rows for everyone: what knowing nothing gives."""
    return np.full(rows, train_actual.mean())


def source_baseline(train_sources: pl.Series, train_actual: Vector, sources: pl.Series) -> Vector:
    """Each source's (shrunken) mean of the training rows: what knowing the campaign report gives."""
    overall = float(train_actual.mean())
    names = train_sources.to_list()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for name, value in zip(names, train_actual.tolist(), strict=True):
        sums[name] = sums.get(name, 0.0) + value
        counts[name] = counts.get(name, 0) + 1
    means = {
        name: (sums[name] + SOURCE_PRIOR_ROWS * overall) / (counts[name] + SOURCE_PRIOR_ROWS) for name in sums
    }
    return np.array([means.get(name, overall) for name in sources.to_list()], dtype=np.float64)


@dataclass(frozen=True)
class Verdict:
    """May the challenger become champion, and why (not)."""

    promoted: bool
    reason: str


def gate(
    challenger: Metrics, baselines: dict[str, Metrics], on_holdout: Metrics, champion: Metrics | None
) -> Verdict:
    """Promote a challenger that beats every baseline and is not worse than the champion.

    Better means a lower Tweedie deviance and a higher normalised Gini. Against the champion, which was held
    to the same, the deviance on the holdout decides and an equal one passes (a retrained model knows newer
    days).

    Args:
        challenger: metrics of cross-fitted predictions of all users.
        baselines: metrics of the baselines, cross-fitted alike.
        on_holdout: the challenger's metrics on the holdout alone.
        champion: the present champion's on the same holdout, whose users no version was trained on.
    """
    for name, baseline in baselines.items():
        if challenger.tweedie_deviance >= baseline.tweedie_deviance:
            return Verdict(False, f"its deviance does not beat the {name} baseline's")
        if challenger.normalised_gini <= baseline.normalised_gini:
            return Verdict(False, f"it does not rank users better than the {name} baseline")
    if champion is not None and on_holdout.tweedie_deviance > champion.tweedie_deviance:
        return Verdict(False, "the present champion has the lower deviance on the same holdout")
    if champion is None:
        return Verdict(True, "it beats every baseline and there was no champion")
    return Verdict(True, "it beats every baseline and is not worse than the champion")


def _tweedie_deviance(actual: Vector, predicted: Vector) -> float:
    power = TWEEDIE_POWER
    mean = np.maximum(predicted, SMALLEST_PREDICTION)
    terms = (
        np.power(actual, 2 - power) / ((1 - power) * (2 - power))
        - actual * np.power(mean, 1 - power) / (1 - power)
        + np.power(mean, 2 - power) / (2 - power)
    )
    return float(2 * terms.mean())


def _gini(actual: Vector, predicted: Vector) -> float:
    """Area between the capture curve and the diagonal; rows of equal prediction share their actual value."""
    total = float(actual.sum())
    if total <= 0:
        return 0.0
    order = np.argsort(-predicted, kind="stable")
    _, starts, counts = np.unique(-predicted[order], return_index=True, return_counts=True)
    shared = np.repeat(np.add.reduceat(actual[order], starts) / counts, counts)
    captured = np.cumsum(shared) / total
    rows = len(actual)
    return float((captured - np.arange(1, rows + 1) / rows).sum() / rows)


def _spearman(actual: Vector, predicted: Vector) -> float:
    """Correlation of average ranks; 0 where either side is constant."""
    ranks = [pl.Series(values).rank("average").to_numpy() for values in (actual, predicted)]
    if any(rank.std() == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _top_decile_lift(actual: Vector, predicted: Vector) -> float:
    """Mean actual of the highest predicted tenth over the overall mean; 1.0 where predictions are equal."""
    overall = float(actual.mean())
    if overall <= 0 or float(np.ptp(predicted)) == 0.0:
        return 1.0
    top = np.argsort(-predicted, kind="stable")[: max(1, len(actual) // 10)]
    return float(actual[top].mean()) / overall
