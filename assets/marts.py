"""The dbt project as assets: attribution and KPI marts in ClickHouse, one tenant's dates per run.

Arguments for dbt are made by pure functions here and tested without dbt; SQL is in `dbt_project/`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import dagster as dg
from dagster import ResourceParam
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets

from assets.mart_pages import with_pages
from assets.partitions import TENANT_DAY, RunSlices, run_slices
from resources.clickhouse import ClickHouse
from resources.dbt_files import DBT_PROJECT_DIR, dbt_dir, dbt_executable, ensure_manifest
from resources.errors import PermanentError, SettingsError
from resources.file_lock import exclusive_file_lock
from resources.lake import Lake
from resources.pii import Keyring, TenantPii
from resources.registry import Registry
from resources.rules import RuleSet, RuleVersion, version_on
from resources.rules.blocked import blocked_ip_pseudonyms
from resources.rules.sql_vars import rule_vars
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
        manifest=ensure_manifest(settings),
        exclude="tag:restatement",  # other rule sets' versions: assets/restate.py
        partitions_def=TENANT_DAY,
        dagster_dbt_translator=MartTranslator(),
    )
    def marts(
        context: dg.AssetExecutionContext,
        dbt: DbtCliResource,
        *,
        lake: ResourceParam[Lake],
        clickhouse: ResourceParam[ClickHouse],
        registry: ResourceParam[Registry],
        settings: ResourceParam[Settings],
    ) -> Iterator[Any]:
        slices = contiguous(run_slices(context))
        # what dbt compiled and ran, for a look afterwards
        runs = dbt_dir(settings) / "runs" / context.run.run_id

        def build(variables: dict[str, Any]) -> Iterator[Any]:
            arguments = ["build", "--vars", json.dumps(variables)]
            target = runs / variables["start_date"]
            return dbt.cli(arguments, context=context, target_path=target).stream()

        with exclusive_file_lock(settings.home / f"marts-{slices.tenant_id}.lock"):  # see ADR 0003
            variables = vars_of_run(slices, lake, registry, settings)
            results = one_result_each([partial(build, each) for each in variables])
            yield from with_pages(results, clickhouse, slices)

    return marts


def vars_of_run(
    slices: RunSlices, lake: Lake, registry: Registry, settings: Settings
) -> list[dict[str, Any]]:
    """The vars of each dbt invocation of a run, all of one snapshot of the lake.

    Raises:
        SettingsError: the rules block networks, and this process has no keyring to tell them by.
    """
    clean_events = lake.clickhouse_source("clean.events")
    currency = registry.get(slices.tenant_id).currency
    return [
        dbt_vars(
            dates,
            clean_events=clean_events,
            rules=rules,
            currency=currency,
            blocked_ip_pseudonyms=blocked_for(slices.tenant_id, rules, settings),
        )
        for dates, rules in rule_ranges(slices, registry.rule_versions(slices.tenant_id))
    ]


def rule_ranges(slices: RunSlices, versions: Sequence[RuleVersion]) -> list[tuple[RunSlices, RuleSet]]:
    """A run's dates in ranges that stand under one rule set each, oldest first: one dbt invocation each."""
    under = {date: version_on(slices.tenant_id, versions, date).rules for date in slices.dates}
    return [
        (RunSlices(slices.tenant_id, tuple(dates)), rules)
        for rules, dates in groupby(slices.dates, key=under.__getitem__)
    ]


def blocked_for(tenant_id: str, rules: RuleSet, settings: Settings) -> list[str]:
    """The pseudonyms that the tenant's events from blocked networks bear; without such networks none, and no key.

    Raises:
        SettingsError: this process has no keyring.
    """
    if not rules.blocked_networks:
        return []
    if not settings.has_keyring:
        raise SettingsError(
            f"the rules of tenant {tenant_id} block networks, which are told by the keyring, and this process has "
            "none: give it the lander's UNMOGROWP_KEYRING, or take blocked_networks out of the rules"
        )
    return blocked_ip_pseudonyms(rules.blocked_networks, TenantPii(Keyring(settings.keys()), tenant_id))


def one_result_each(invocations: Sequence[Callable[[], Iterable[Any]]]) -> Iterator[Any]:
    """The events of several dbt invocations, run one after another, as if they were one.

    Dagster takes one result of an asset and of a check: the last invocation's, but a check that fails in any has
    failed. An invocation that raises ends them all.
    """
    failed: dict[tuple[Any, Any], Any] = {}
    for position, invocation in enumerate(invocations, start=1):
        for event in invocation():
            if isinstance(event, dg.AssetCheckResult):
                key = (event.asset_key, event.check_name)
                if not event.passed:
                    failed.setdefault(key, event)
                if position == len(invocations):
                    yield failed.get(key, event)
            elif position == len(invocations) or isinstance(event, dg.AssetObservation):
                yield event


def dbt_vars(
    slices: RunSlices,
    *,
    clean_events: str,
    rules: RuleSet,
    currency: str,
    blocked_ip_pseudonyms: Sequence[str] = (),
) -> dict[str, Any]:
    """The vars of one dbt invocation: one tenant, first and last date, the pinned lake table, the rules."""
    return {
        "tenant_id": slices.tenant_id,
        "start_date": slices.dates[0].isoformat(),
        "end_date": slices.dates[-1].isoformat(),
        "clean_events": clean_events,
        "tenant_currency": currency,
        "ruleset_hash": rules.content_hash,
        "rules": rule_vars(rules, blocked_ip_pseudonyms),
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
