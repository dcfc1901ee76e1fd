"""features → model → scores as Dagster runs over a real lake, a real MLflow and a real tenant registry."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.partitions import TENANT_DIMENSION, range_tags, slice_key
from ml_assets import build_defs
from ml_assets.features import FEATURES_TABLE
from ml_assets.scores import SCORES_TABLE, unsound
from resources.errors import ModelNotFoundError
from resources.lake import Lake
from resources.ltv_scorer import CHALLENGER, CHAMPION, load_ltv_scorer
from resources.model_registry import ModelRegistry
from resources.registry import Registry
from resources.settings import Settings
from tests.unit.ml_assets.synthetic_users import FIRST_DAY, HORIZON_DAYS, clean_events, features, purchases_of

TENANT_ID = "t1"
DAYS = [FIRST_DAY + dt.timedelta(days=n) for n in range(4)]


@dataclass
class Stack:
    """Real resources over one home, and a way to materialise one asset."""

    lake: Lake
    models: ModelRegistry
    registry: Registry
    doors: dict[str, Any]
    instance: dg.DagsterInstance
    checks: dict[str, bool] = field(default_factory=dict)

    def materialize(self, asset: str, **how: Any) -> Mapping[str, Any]:
        doors = {name: dg.ResourceDefinition.hardcoded_resource(door) for name, door in self.doors.items()}
        definitions = dg.Definitions.merge(build_defs(), dg.Definitions(resources=doors))
        job = definitions.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(asset)]
        result = job.execute_in_process(asset_selection=selection, instance=self.instance, **how)
        assert result.success
        self.checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
        event = result.asset_materializations_for_node(asset)[0]  # one per partition of the run, all alike
        return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), ltv_horizon_days=HORIZON_DAYS)
    lake, models = Lake(settings), ModelRegistry(settings)
    lake.ensure_tables()
    registry = Registry(settings.registry_url)
    registry.migrate()
    registry.request(TENANT_ID, "starter", "test")
    fill(lake)
    doors = {
        "lake": lake,
        "models": models,
        "registry": registry,
        "settings": settings,
        "clickhouse": None,  # only user_features reads it, and its pure function has its own tests
    }
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TENANT_DIMENSION, [TENANT_ID, "t2"])
        yield Stack(lake, models, registry, doors, instance)
    registry.close()


def fill(lake: Lake) -> None:
    users = features(TENANT_ID, 1200)
    lake.replace_slices(FEATURES_TABLE, users, tenant_id=TENANT_ID, dates=DAYS, run_id="test")
    schema = lake.read_slices("clean.events", TENANT_ID, DAYS).schema
    bought = clean_events(purchases_of(users), schema)
    days = sorted(set(bought["event_date"].to_list()))
    lake.replace_slices("clean.events", bought, tenant_id=TENANT_ID, dates=days, run_id="test")


def scores(stack: Stack) -> pl.DataFrame:
    return stack.lake.read_slices(SCORES_TABLE, TENANT_ID, DAYS)


def test_the_graph_trains_promotes_and_scores_and_doing_it_twice_is_doing_it_once(stack: Stack) -> None:
    without = stack.materialize("ltv_scores", tags=range_tags(TENANT_ID, DAYS[0], DAYS[-1]))
    assert without["rows"] == 0
    assert "no champion" in without["reason"]

    first = stack.materialize("ltv_model", partition_key=TENANT_ID)
    assert first["trained"] is True
    assert first["promoted"] is True
    assert first["metrics"]["crossfit_model_rmse"] < first["metrics"]["crossfit_source_rmse"]
    assert stack.models.by_alias("ltv_t1", CHALLENGER).version == first["version"] == "1"

    scored = stack.materialize("ltv_scores", tags=range_tags(TENANT_ID, DAYS[0], DAYS[-1]))
    assert scored["rows"] == 1200
    assert stack.checks == {"scores_are_sound": True}
    assert sum(scored["rows_by_date"].values()) == 1200
    before = scores(stack)

    assert stack.materialize("ltv_model", partition_key=TENANT_ID)["version"] == "1"
    stack.materialize("ltv_scores", partition_key=slice_key(TENANT_ID, DAYS[1]))
    assert scores(stack).equals(before)
    assert load_ltv_scorer(stack.models, TENANT_ID, CHAMPION).horizon_days == HORIZON_DAYS


def test_a_tenant_with_no_mature_day_gets_no_model_and_is_told_why(stack: Stack) -> None:
    stack.registry.request("t2", "starter", "test")
    metadata = stack.materialize("ltv_model", partition_key="t2")
    assert metadata["trained"] is False
    assert "0 users" in metadata["reason"]
    with pytest.raises(ModelNotFoundError):
        load_ltv_scorer(stack.models, "t2")


def test_the_check_finds_missing_extra_repeated_and_bad_scores() -> None:
    users = features(TENANT_ID, 3)
    keys = users.select("tenant_id", "as_of", "app_id", "user_id")
    good = keys.with_columns(score=pl.Series([0.0, 1.0, 2.0]))
    assert unsound(users, good, has_champion=True) == []
    assert unsound(users, good.head(2), has_champion=True) == ["1 users have no score"]
    assert unsound(users, good, has_champion=False) == ["3 scores have no user"]
    repeated = pl.concat([good, good.head(1)])
    assert unsound(users, repeated, has_champion=True) == ["1 users have more than one score"]
    bad = good.with_columns(score=pl.Series([-1.0, float("nan"), None]))
    assert unsound(users, bad, has_champion=True) == ["3 scores are negative or not finite"]
