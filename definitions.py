"""The one Definitions object of the platform: assets, ml_assets and their resources. Nothing else."""

import dagster as dg

import assets
import ml_assets
from assets.export_delivery import open_doors
from assets.marts import dbt_resource
from resources.clickhouse import ClickHouse
from resources.lake import Lake
from resources.library_environment import silence_library_telemetry
from resources.model_registry import ModelRegistry
from resources.object_store import open_object_store
from resources.registry import Registry
from resources.settings import Settings, load_settings


def build_resources(settings: Settings) -> dict[str, object]:
    """The doors to the outside, opened on first use."""
    return {
        "settings": settings,
        "lake": Lake(settings),
        "clickhouse": ClickHouse.from_settings(settings),
        "registry": Registry.from_settings(settings),
        "models": ModelRegistry(settings),
        "exports_store": open_object_store(settings),
        "deliveries": open_doors(settings),
        "dbt": dbt_resource(settings),
    }


def build_defs(settings: Settings, resource_overrides: dict[str, object] | None = None) -> dg.Definitions:
    """The platform's graph over these settings; tests swap resources by name."""
    return dg.Definitions.merge(
        assets.build_defs(settings),
        ml_assets.build_defs(),
        dg.Definitions(resources={**build_resources(settings), **(resource_overrides or {})}),
    )


silence_library_telemetry()
defs = build_defs(load_settings())
