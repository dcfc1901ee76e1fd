"""Credit per channel under every model, as rows: those that weigh touches are summed, those of paths computed.

Which models there are, the grouping by app and conversion, and the shape of a row belong here; the numbers of a model
are in `models`, and where credits and journeys are read in `resources.credit_marts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from resources.credit.frames import group_frame
from resources.credit.models import Credit, Model, credit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TOUCH_MODELS: Final = ("first", "last", "linear", "position", "w", "time_decay")
# name → (model, order of the Markov chain)
PATH_MODELS: Final[dict[str, tuple[Model, int]]] = {
    "markov_1": (Model.MARKOV, 1),
    "markov_2": (Model.MARKOV, 2),
    "markov_3": (Model.MARKOV, 3),
    "shapley": (Model.SHAPLEY, 1),
    "shapley_rate": (Model.SHAPLEY_RATE, 1),
    "removal_per_path": (Model.REMOVAL_PER_PATH, 1),
}
MODELS: Final = (*TOUCH_MODELS, *PATH_MODELS)
CONVERSION: Final = ("app_id", "conversion_type", "event_name")

CREDIT_SCHEMA: Final = pl.Schema(
    {
        "app_id": pl.String(),
        "conversion_type": pl.String(),
        "event_name": pl.String(),
        "model": pl.String(),
        "channel": pl.String(),
        "conversions": pl.Float64(),
        "revenue_micros": pl.Int64(),
        "removal_effect": pl.Float64(),
        "standard_error": pl.Float64(),
    }
)


def channel_credits(
    touch_sums: pl.DataFrame, paths: pl.DataFrame, models: Iterable[str] = MODELS
) -> pl.DataFrame:
    """Every channel's credit of one period: columns of CREDIT_SCHEMA, in the order of its first five.

    Per app, conversion and model the conversions sum to those of the period, the revenue to theirs exactly. Where
    nothing converted there is no credit to give, and no row.

    Args:
        touch_sums: app_id, conversion_type, event_name, model, channel, conversions, revenue_micros.
        paths: app_id, conversion_type, event_name, path (list), conversions, nulls, value_micros.
        models: names out of MODELS.
    """
    wanted = list(models)
    summed = touch_sums.filter(pl.col("model").is_in(wanted)).select(
        *CONVERSION,
        "model",
        "channel",
        "conversions",
        "revenue_micros",
        pl.lit(None, pl.Float64).alias("removal_effect"),
        pl.lit(None, pl.Float64).alias("standard_error"),
    )
    computed = [
        row
        for key, journeys in sorted(paths.group_by(CONVERSION), key=lambda group: str(group[0]))
        for row in _path_rows(key, journeys, [name for name in wanted if name in PATH_MODELS])
    ]
    frame = pl.concat([summed.cast(CREDIT_SCHEMA), pl.DataFrame(computed, CREDIT_SCHEMA, orient="row")])
    return frame.sort(*CONVERSION, "model", "channel")


def _path_rows(
    key: tuple[Any, ...], journeys: pl.DataFrame, models: Iterable[str]
) -> Iterator[tuple[Any, ...]]:
    """Rows of CREDIT_SCHEMA of one app's conversions of one type, if there are any."""
    if not journeys["conversions"].sum():
        return
    grouped = group_frame(journeys.rename({"path": "channels"}))
    for name in models:
        model, order = PATH_MODELS[name]
        for row in _rows(credit(grouped, model, order=order)):
            yield (*key, name, *row)


def _rows(one: Credit) -> Iterator[tuple[str, float, int, float | None, float | None]]:
    for place, channel in enumerate(one.channels):
        yield (
            channel,
            float(one.conversions[place]),
            one.value_micros[place],
            None if one.removal_effects is None else float(one.removal_effects[place]),
            None if one.standard_errors is None else float(one.standard_errors[place]),
        )
