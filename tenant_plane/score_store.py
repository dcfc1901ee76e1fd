"""The tenant's model scores: one Parquet file per (model, as-of day), replaced whole.

Belongs here: storing pushed scores, paging through the newest ones, and their distribution.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from tenant_plane.database import now_ms, replace_row, score_sets
from tenant_plane.files import replace_atomically
from tenant_plane.mart_store import parquet_bytes
from tenant_plane.push import PushResult

CHURN = "churn"  # models whose names begin so give probabilities, not money
HISTOGRAM_BINS = 12  # a bar stays wide enough to hit with a finger on a 360 px wide screen
COLUMNS: list[pa.Field[Any]] = [
    pa.field("user_id", pa.string(), nullable=False),
    pa.field("score", pa.float64(), nullable=False),
    pa.field("features", pa.string(), nullable=False),
]
SCHEMA = pa.schema(COLUMNS)


@dataclass(frozen=True)
class Score:
    """One user's prediction; `features` is what the model saw."""

    user_id: str
    score: float
    features: dict[str, object]


@dataclass(frozen=True)
class ScoreSet:
    """One model's scores as of one day."""

    model: str
    as_of: dt.date
    generated_at_ms: int
    rows: int
    pushed_at_ms: int


@dataclass(frozen=True)
class Bin:
    """Users whose score is in [from, to); the last bin includes its upper end. Micros."""

    from_micros: int
    to_micros: int
    users: int


@dataclass(frozen=True)
class Distribution:
    """What the predicted values of a score set look like. Micros, rounded to whole ones."""

    users: int
    mean_micros: int
    p50_micros: int
    p90_micros: int
    histogram: list[Bin]


class ScoreStore:
    """Scores under `home/scores/<model>/as_of=<d>/data.parquet`, highest score first."""

    def __init__(self, home: Path, engine: sa.Engine) -> None:
        self._root = home / "scores"
        self._engine = engine

    def put(self, model: str, as_of: dt.date, generated_at_ms: int, scores: list[Score]) -> PushResult:
        """Store a model's scores as of a day, in the place of earlier ones for the same day."""
        ordered = sorted(scores, key=lambda item: (-item.score, item.user_id))
        table = pa.table(
            {
                "user_id": [item.user_id for item in ordered],
                "score": [item.score for item in ordered],
                "features": [json.dumps(item.features, sort_keys=True) for item in ordered],
            },
            schema=SCHEMA,
        )
        replace_atomically(self._path(model, as_of), parquet_bytes(table))
        with self._engine.begin() as connection:
            replaced = replace_row(
                connection,
                score_sets,
                model=model,
                as_of=as_of,
                generated_at_ms=generated_at_ms,
                rows=len(ordered),
                pushed_at_ms=now_ms(),
            )
        return PushResult(len(ordered), replaced)

    def latest(
        self,
        model: str | None = None,
        *,
        beginning: str = "",
        excluding: str | None = None,
        not_after: dt.date | None = None,
    ) -> ScoreSet | None:
        """The score set with the newest as-of day; none where there is none.

        Args:
            model: of this model alone.
            beginning: of models whose name begins so.
            excluding: not of models whose name begins so.
            not_after: as of this day or an earlier one.
        """
        found = [
            each
            for each in self.sets(model)
            if each.model.startswith(beginning)
            and not (excluding and each.model.startswith(excluding))
            and (not_after is None or each.as_of <= not_after)
        ]
        return found[0] if found else None

    def models(self) -> list[str]:
        """Names of all models that scores were pushed of."""
        query = sa.select(score_sets.c.model).distinct().order_by(score_sets.c.model)
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def sets(self, model: str | None = None) -> list[ScoreSet]:
        """Every score set (of one model, or of all), newest first."""
        query = sa.select(score_sets).order_by(
            score_sets.c.as_of.desc(), score_sets.c.generated_at_ms.desc(), score_sets.c.model
        )
        if model is not None:
            query = query.where(score_sets.c.model == model)
        with self._engine.connect() as connection:
            return [
                ScoreSet(row.model, row.as_of, row.generated_at_ms, row.rows, row.pushed_at_ms)
                for row in connection.execute(query)
            ]

    def frame(self, scores: ScoreSet) -> pl.DataFrame:
        """A whole score set: user_id, score, features (JSON text)."""
        return pl.read_parquet(self._path(scores.model, scores.as_of), hive_partitioning=False)

    def stored_bytes(self, model: str) -> int:
        """What the model's files take on disk."""
        return sum(path.stat().st_size for path in (self._root / model).glob("as_of=*/data.parquet"))

    def page(self, scores: ScoreSet, *, limit: int, offset: int) -> list[Score]:
        """Part of a score set, highest score first, then by user id."""
        table = pq.read_table(self._path(scores.model, scores.as_of)).slice(offset, limit)
        return [Score(row["user_id"], row["score"], json.loads(row["features"])) for row in table.to_pylist()]

    def distribution(self, scores: ScoreSet) -> Distribution | None:
        """Mean, quantiles and histogram of a score set; none when it is empty."""
        column = pq.read_table(self._path(scores.model, scores.as_of), columns=["score"]).column("score")
        return distribution(column.to_numpy())

    def _path(self, model: str, as_of: dt.date) -> Path:
        return self._root / model / f"as_of={as_of.isoformat()}" / "data.parquet"


def distribution(scores_micros: np.ndarray) -> Distribution | None:
    """The distribution of predicted values; bins are equally wide up to the 99th percentile.

    Values are heavy-tailed: equal bins up to the maximum would put nearly everybody into the first one, so
    the last bin takes everything above the 99th percentile.
    """
    if scores_micros.size == 0:
        return None
    p50, p90, p99 = (float(value) for value in np.quantile(scores_micros, [0.5, 0.9, 0.99]))
    low, high = math.floor(scores_micros.min()), math.ceil(scores_micros.max())
    step = max(1, math.ceil((math.ceil(p99) - low) / HISTOGRAM_BINS))
    edges = [low + step * index for index in range(HISTOGRAM_BINS)]
    edges.append(max(high, edges[-1] + step))
    counts, _ = np.histogram(scores_micros, bins=np.array(edges, dtype=np.float64))
    bins = [Bin(edges[i], edges[i + 1], int(counts[i])) for i in range(HISTOGRAM_BINS)]
    mean_micros = round(float(scores_micros.mean()))
    return Distribution(int(scores_micros.size), mean_micros, round(p50), round(p90), bins)
