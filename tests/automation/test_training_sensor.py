"""The training sensor: a tenant without a champion is tried again whenever its features change, one with it is not."""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.automation import ltv_training_sensor
from resources.lake import Lake
from resources.settings import Settings

AS_OF = dt.date(2026, 11, 10)
TENANT = "t1"


class Training:
    """The sensor over a lake with one day of features, tick by tick."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.lake = Lake(settings)
        self.lake.ensure_tables()
        self._sensor = ltv_training_sensor(settings)
        self._cursor: str | None = None
        schema = self.lake.arrow_schema("ml.user_features")
        empty: dict[pa.DataType, object] = {pa.large_string(): "", pa.float64(): 0.0, pa.bool_(): False}
        row = {field.name: empty.get(field.type, 0) for field in schema}
        rows = pa.Table.from_pylist([row | {"tenant_id": TENANT, "as_of": AS_OF}], schema=schema)
        self.lake.replace_slice("ml.user_features", rows, tenant_id=TENANT, date=AS_OF, run_id="r")

    def features_change(self) -> None:
        self._report("user_features", f"{AS_OF}|{TENANT}")

    def trained(self, *, is_promoted: bool) -> None:
        self._report("ltv_model", TENANT, {"promoted": is_promoted})

    def asked(self) -> list[str]:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self._cursor, resources={"lake": self.lake}
        )
        result: Any = self._sensor(context)
        self._cursor = result.cursor
        return [request.run_key for request in result.run_requests]

    def _report(self, asset: str, partition: str, metadata: dict[str, Any] | None = None) -> None:
        event = dg.AssetMaterialization(asset, partition=partition, metadata=metadata or {})
        self.instance.report_runless_asset_event(event)


@pytest.fixture
def training(tmp_path: Path) -> Any:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Training(Settings(home=tmp_path / "home"), instance)


def test_nothing_is_asked_for_while_features_stay_as_they_are(training: Training) -> None:
    assert training.asked() == []
    training.features_change()
    assert len(training.asked()) == 1
    assert training.asked() == []


def test_without_a_champion_every_change_of_the_features_asks_with_a_key_of_its_own(
    training: Training,
) -> None:
    keys = []
    for _ in range(2):
        training.features_change()
        keys += training.asked()
        training.trained(is_promoted=False)
    assert len(set(keys)) == 2


def test_with_a_champion_a_mature_day_is_asked_for_once(training: Training) -> None:
    training.trained(is_promoted=True)
    keys = []
    for _ in range(2):
        training.features_change()
        keys += training.asked()
    assert len(keys) == 2
    assert len(set(keys)) == 1  # Dagster launches a key once
