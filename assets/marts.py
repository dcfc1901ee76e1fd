"""The dbt project as assets: attribution and KPI marts in ClickHouse, one tenant's dates per run.

Arguments for dbt are made by pure functions here and tested without dbt; SQL is in `dbt_project/`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster import ResourceParam
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets

from assets.partitions import TENANT_DAY, RunSlices, run_slices
from assets.rulesets import DEFAULT_RULES, RuleSet
from resources.dbt_files import DBT_PROJECT_DIR, dbt_dir, dbt_executable, ensure_manifest
from resources.errors import PermanentError
from resources.file_lock import exclusive_file_lock
from resources.lake import Lake
from resources.registry import Registry
from resources.settings import Settings

MARTS = ("installs", "campaign_daily", "kpi_daily")


class MartTranslator(DagsterDbtTranslator):
    """Models keep their own names as asset keys, so that lineage reads as in the design."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """`installs`, not `marts/installs`; sources say their key in their meta."""
        if dbt_resource_props["resource_type"] == "source":
            return super().get_asset_key(dbt_resource_props)
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002 - dagster-dbt's signature
        """All models are one group in the UI."""
        return "marts"


def build_marts(settings: Settings) -> dg.AssetsDefinition:
    """The dbt assets of the project as it is now."""

    @dbt_assets(
        manifest=ensure_manifest(settings), partitions_def=TENANT_DAY, dagster_dbt_translator=MartTranslator()
    )
    def marts(
        context: dg.AssetExecutionContext,
        dbt: DbtCliResource,
        lake: ResourceParam[Lake],
        registry: ResourceParam[Registry],
        settings: ResourceParam[Settings],
    ) -> Iterator[Any]:
        slices = contiguous(run_slices(context))
        target = (
            dbt_dir(settings) / "runs" / context.run.run_id
        )  # what dbt compiled and ran, for a look afterwards
        with exclusive_file_lock(settings.home / f"marts-{slices.tenant_id}.lock"):  # see ADR 0003
            variables = dbt_vars(
                slices,
                clean_events=lake.clickhouse_source("clean.events"),
                rules=DEFAULT_RULES,
                currency=registry.get(slices.tenant_id).currency,
            )
            build = ["build", "--vars", json.dumps(variables)]
            yield from dbt.cli(build, context=context, target_path=target).stream()

    return marts


def dbt_vars(slices: RunSlices, *, clean_events: str, rules: RuleSet, currency: str) -> dict[str, Any]:
    """The vars of one dbt invocation: one tenant, first and last date, the pinned lake table, the rules."""
    return {
        "tenant_id": slices.tenant_id,
        "start_date": slices.dates[0].isoformat(),
        "end_date": slices.dates[-1].isoformat(),
        "clean_events": clean_events,
        "tenant_currency": currency,
        "ruleset_hash": rules.content_hash,
        "click_window_ms": rules.click_window_ms,
        "view_window_ms": rules.view_window_ms,
        "lookback_days": rules.longest_window_days,
    }


def dbt_resource(settings: Settings) -> DbtCliResource:
    """Dbt's command line on this machine's profile."""
    return DbtCliResource(
        project_dir=str(DBT_PROJECT_DIR), profiles_dir=str(dbt_dir(settings)), dbt_executable=dbt_executable()
    )


def contiguous(slices: RunSlices) -> RunSlices:
    """The same slices; dbt replaces first..last whole, so a gap would empty days nobody asked for.

    Raises:
        PermanentError: the dates have a gap.
    """
    if (slices.dates[-1] - slices.dates[0]).days + 1 != len(slices.dates):
        raise PermanentError(f"{slices}: the dates have gaps; launch one run per range of consecutive dates")
    return slices
