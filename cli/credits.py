"""`unmogrowp attribution credits`: channels' multi-touch credit of a tenant's period, from the marts.

Models that weigh touches are sums over the period. Markov, Shapley and removal per path are computed anew from all its
journeys: the sum of days would be another number, since a path's rate of a day is not that of a month.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, fail, table
from cli.stack import JsonOption
from resources.clickhouse import ClickHouse, ClickHouseRefusedError
from resources.embedded.stack import running_stack
from resources.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl
    from rich.console import Console

CONVERSIONS = ("install", "purchase", "event")
MODELS_ABREAST = 4  # columns that fit a terminal of 80 characters, their names in the header


def credits_command(
    *,
    tenant: Annotated[str, typer.Option(help="tenant id")],
    first: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first UTC day")],
    last: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last UTC day")],
    model: Annotated[
        list[str] | None, typer.Option(help="a model's name, again for several [default: all]")
    ] = None,
    app: Annotated[str | None, typer.Option(help="of one app [default: each app]")] = None,
    conversion: Annotated[str | None, typer.Option(help="install, purchase or event [default: each]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Credit channels for a tenant's installs, purchases and named events, under one model or beside each other."""
    from resources.credit.channel_models import MODELS  # noqa: PLC0415 - numpy and SciPy: 0.5 CPU s of import

    models = _known("model", model, MODELS)
    conversions = _known("conversion", [conversion] if conversion else None, CONVERSIONS)
    if first > last:
        fail(f"--from {first:%Y-%m-%d} lies after --to {last:%Y-%m-%d}: give the earlier day first")
    rows = _credits(tenant, first.date(), last.date(), models)
    wanted = [
        row
        for row in rows.iter_rows(named=True)
        if row["conversion_type"] in conversions and app in (None, row["app_id"])
    ]
    payload = {
        "tenant_id": tenant,
        "from": f"{first:%Y-%m-%d}",
        "to": f"{last:%Y-%m-%d}",
        "models": models,
        "credits": wanted,
    }
    emit(payload, as_json, lambda console: _render(console, payload))


def _credits(tenant: str, first: dt.date, last: dt.date, models: Sequence[str]) -> pl.DataFrame:
    from resources.credit.channel_models import channel_credits  # noqa: PLC0415 - as above
    from resources.credit_marts import PERIOD, is_unbuilt, journeys, touch_sums  # noqa: PLC0415 - polars

    settings = load_settings()
    stack = running_stack(settings)
    clickhouse = ClickHouse.from_settings(settings.with_changes(**stack.ports) if stack else settings)
    try:
        sums = touch_sums(clickhouse, tenant, first, last, PERIOD)
        paths = journeys(clickhouse, tenant, first, last, PERIOD)
    except ClickHouseRefusedError as error:
        if not is_unbuilt(error):
            raise
        fail(
            "no credit was ever computed here: materialise the marts first "
            f"(unmogrowp backfill --tenant {tenant} --from {first} --to {last})"
        )
    return channel_credits(sums, paths, models)


def _known(what: str, names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    for name in names or ():
        if name.lower() not in known:
            fail(f"no {what} is called {name}: there are {', '.join(known)}")
    return list(dict.fromkeys(name.lower() for name in names)) if names else list(known)


def _render(console: Console, payload: dict[str, Any]) -> None:
    period = f"{payload['from']} to {payload['to']}"
    if not payload["credits"]:
        console.print(f"Nothing of tenant {payload['tenant_id']} converted from {period}: nothing to credit.")
    for (app, kind, name), rows in _groups(payload["credits"]):
        title = " ".join(part for part in (kind, name, f"· app {app}" if app else "", f"· {period}") if part)
        for measure, scale in (("conversions", 1.0), ("revenue_micros", 1e6)):
            if any(row[measure] for row in rows):
                label = "revenue" if measure == "revenue_micros" else measure
                for start in range(0, len(payload["models"]), MODELS_ABREAST):
                    models = payload["models"][start : start + MODELS_ABREAST]
                    console.print(
                        table(f"{title}: {label}", ("channel", *models), _cells(rows, models, measure, scale))
                    )


def _groups(rows: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, str, str], list[dict[str, Any]]]]:
    """Rows by app, conversion type and event name, in their order."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["app_id"], row["conversion_type"], row["event_name"]), []).append(row)
    yield from groups.items()


def _cells(
    rows: list[dict[str, Any]], models: Sequence[str], measure: str, scale: float
) -> list[tuple[object, ...]]:
    """A row per channel, most credited first."""
    amounts = {(row["channel"], row["model"]): row[measure] / scale for row in rows}
    channels = {channel for channel, _ in amounts}
    totals = {channel: sum(amounts.get((channel, model), 0.0) for model in models) for channel in channels}
    return [
        (channel or "(none)", *(round(amounts.get((channel, model), 0.0), 2) for model in models))
        for channel in sorted(channels, key=lambda channel: (-totals[channel], channel))
    ]
