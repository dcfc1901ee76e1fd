"""`channel_credits` over a real ClickHouse: exact, conserved, apart by day, app and tenant; and what people see."""

from __future__ import annotations

import base64
import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import dagster as dg
import polars as pl
import pytest

from assets.channel_credits import CHANNEL_CREDITS, channel_credits_asset
from assets.pages import credit_markdown
from assets.partitions import range_tags
from resources.credit.channel_models import MODELS, PATH_MODELS, channel_credits
from resources.settings import Settings
from tests.support.credit_marts import (
    CREDITS,
    DAY,
    NEXT,
    PATHS,
    TOY_CONVERSIONS,
    TOY_EFFECTS,
    put,
    put_toy,
    served,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.clickhouse import ClickHouse


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with served(tmp_path_factory.mktemp("credits")) as opened:
        yield opened


def materialize(
    clickhouse: ClickHouse, settings: Settings, tenant: str, first: dt.date, last: dt.date
) -> dg.AssetMaterialization:
    settings.home.mkdir(exist_ok=True)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", [tenant])
        result = dg.materialize(
            [channel_credits_asset],
            instance=instance,
            resources={"clickhouse": clickhouse, "settings": settings},
            tags=range_tags(tenant, first, last),
            selection="channel_credits",
        )
        return result.asset_materializations_for_node("channel_credits")[0]


def stored(clickhouse: ClickHouse, tenant: str) -> pl.DataFrame:
    sql = f"SELECT * FROM {CHANNEL_CREDITS.name} WHERE tenant_id = {{tenant:String}} ORDER BY ALL"
    return pl.DataFrame(clickhouse.query_arrow(sql, {"tenant": tenant}))


def by_channel(rows: pl.DataFrame, model: str, column: str) -> dict[str, Any]:
    return dict(rows.filter(pl.col("model") == model).select("channel", column).iter_rows())


def test_a_days_credit_is_the_models_of_its_journeys_and_the_sums_of_its_touches(
    clickhouse: ClickHouse, settings: Settings
) -> None:
    put_toy(clickhouse, "t_toy", DAY)
    metadata = materialize(clickhouse, settings, "t_toy", DAY, DAY).metadata
    rows = stored(clickhouse, "t_toy")
    assert by_channel(rows, "markov_1", "removal_effect") == pytest.approx(TOY_EFFECTS, rel=0, abs=1e-12)
    assert by_channel(rows, "markov_1", "conversions") == pytest.approx(TOY_CONVERSIONS, rel=0, abs=1e-12)
    assert by_channel(rows, "last", "conversions") == {"A": 5.0, "C": 19.0}
    assert by_channel(rows, "linear", "conversions") == pytest.approx(
        {"A": 5 + 10 / 3 + 2, "B": 10 / 3 + 1.5, "C": 10 / 3 + 1.5 + 2 + 2}
    )
    assert set(rows["model"].unique()) == {"last", "linear", *PATH_MODELS}
    for model in rows["model"].unique():
        assert sum(by_channel(rows, model, "conversions").values()) == pytest.approx(24, abs=1e-9)
        assert sum(by_channel(rows, model, "revenue_micros").values()) == 24 * 7
    assert metadata["purchases"].value == 24.0
    assert metadata["revenue_micros"].value == 24 * 7


def test_days_and_apps_and_tenants_are_computed_apart_and_a_rerun_changes_nothing(
    clickhouse: ClickHouse, settings: Settings
) -> None:
    put_toy(clickhouse, "t_two", DAY, app="app1")
    put_toy(clickhouse, "t_two", NEXT, app="app2", micros=11)
    put_toy(clickhouse, "t_next_door", DAY, app="app1", micros=13)
    materialize(clickhouse, settings, "t_two", DAY, NEXT)
    at_once = stored(clickhouse, "t_two")
    for day in (NEXT, DAY):
        materialize(clickhouse, settings, "t_two", day, day)
    assert stored(clickhouse, "t_two").equals(at_once)
    of_day = (
        at_once.filter(pl.col("model") == "shapley")
        .group_by("event_date", "app_id")
        .agg(pl.col("revenue_micros").sum())
    )
    assert sorted(of_day.iter_rows()) == [(DAY, "app1", 24 * 7), (NEXT, "app2", 24 * 11)]
    assert stored(clickhouse, "t_next_door").is_empty()


def test_a_day_that_lost_its_conversions_loses_its_rows(clickhouse: ClickHouse, settings: Settings) -> None:
    put_toy(clickhouse, "t_empties", DAY)
    materialize(clickhouse, settings, "t_empties", DAY, DAY)
    assert not stored(clickhouse, "t_empties").is_empty()
    put(clickhouse, CREDITS, "t_empties", DAY, [])
    unconverted = {
        "tenant_id": "t_empties",
        "event_date": DAY,
        "app_id": "app",
        "conversion_type": "install",
        "event_name": "",
        "path": ["A"],
        "conversions": 0,
        "nulls": 9,
        "value_micros": 0,
    }
    put(clickhouse, PATHS, "t_empties", DAY, [unconverted])
    assert materialize(clickhouse, settings, "t_empties", DAY, DAY).metadata["rows"].value == 0
    assert stored(clickhouse, "t_empties").is_empty()


def test_the_asset_page_shows_every_model_as_a_plot_and_a_table() -> None:
    channels = [f"net_{n}" for n in range(9)] + ["pipe|`tick` <b>"]
    rows = pl.DataFrame(
        [(model, channel, 10.0 - place) for model in MODELS for place, channel in enumerate(channels)],
        schema=["model", "channel", "conversions"],
        orient="row",
    )
    text = credit_markdown(rows, "installs by channel")
    encoded = re.search(r"\(data:image/svg\+xml;base64,([^)]+)\)", text)
    assert encoded
    drawn = ET.fromstring(base64.b64decode(encoded[1]))  # noqa: S314 - our own document
    assert set(MODELS) <= {node.text for node in drawn.iter() if node.tag.endswith("text")}
    lines = text.split("\n\n")[1].splitlines()
    assert len(lines) == 2 + 8  # seven channels and the others
    assert lines[2].startswith("| `net_0` | 10.00 |")
    assert lines[-1].startswith("| `others` | 6.00 |")
    alone = credit_markdown(rows.filter(pl.col("channel") == "pipe|`tick` <b>"), "x")
    assert "| `pipe\\|'tick' <b>` |" in alone


def test_only_the_models_asked_for_are_computed() -> None:
    key = {"app_id": "app", "conversion_type": "install", "event_name": ""}
    sums = pl.DataFrame([{**key, "model": "first", "channel": "a", "conversions": 1.0, "revenue_micros": 0}])
    paths = pl.DataFrame([{**key, "path": ["a"], "conversions": 1, "nulls": 0, "value_micros": 0}])
    assert channel_credits(sums, paths, ["markov_2"])["model"].to_list() == ["markov_2"]
    assert channel_credits(sums, paths, ["first"])["model"].to_list() == ["first"]
